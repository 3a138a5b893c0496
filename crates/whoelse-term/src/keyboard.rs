//! The thread that reads what is typed, and turns it into wishes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::mpsc as queue;
use whoelse_client::driver::Input;
use whoelse_client::{Command, Question};

use crate::ask::Ask;
use crate::commands::{Wish, parse};
use crate::compose::{Line, Text};
use crate::failure::Failure;
use crate::interruption::Interruption;
use crate::plain::{Lines, Typed};
use crate::render::Render;
use crate::screen::Screen;
use crate::shown::Shown;
use crate::speaker::Control;

/// How long a person waits to be told that a password was wrong. Whoever waits longer is called away
/// from its line again.
const VERDICT_WAIT: Duration = Duration::from_secs(5);

/// Reads what is typed.
pub(crate) struct Keyboard<S> {
    /// Who types, and on what.
    pub(crate) source: S,
    pub(crate) controls: mpsc::Receiver<Control>,
    pub(crate) inputs: queue::Sender<Input>,
    pub(crate) screen: Arc<Screen>,
    pub(crate) render: Render,
    /// A person types, who needs hints, and whose last line means logging out.
    pub(crate) person: bool,
    /// The person is an administrator, who is told of more commands.
    pub(crate) admin: bool,
    /// The person has a line editor. Then the queue to the client is never waited for: the
    /// editor must go on, because the client may be waiting for the printer, and the printer
    /// for the editor.
    pub(crate) edited: bool,
    /// Calls the person away from its line when there is a question.
    pub(crate) interruption: Arc<Interruption>,
    /// Nothing more is wanted.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// Whether to read on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Line,
    Stop,
}

impl<S: Ask + Lines> Keyboard<S> {
    /// Reads until the person leaves, or nobody wants to know any more.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let mut name = loop {
            match self.controls.recv() {
                Ok(Control::LoggedIn { name, admin }) => {
                    self.admin = admin;
                    break name;
                }
                Ok(Control::Ask(question)) => {
                    if self.answer(question, false)? == Next::Stop {
                        return Ok(());
                    }
                }
                Ok(Control::Settled) => {}
                Err(mpsc::RecvError) => return Ok(()),
            }
        };
        self.source.done();
        if self.person {
            self.print(&self.render.remark(if self.edited {
                "help lists the commands, Tab completes, Ctrl-D leaves"
            } else {
                "help lists the commands, Ctrl-D leaves"
            }));
        }
        while !self.stopping.load(Ordering::SeqCst) {
            match self.asked(&mut name, true)? {
                None => {}
                Some(Next::Line) => continue,
                Some(Next::Stop) => break,
            }
            let prompt = Line::new().say(Shown::name(&name)).say("> ").prompt();
            let typed = self.source.next(&prompt);
            let is_end = typed == Typed::End;
            let is_blank = matches!(&typed, Typed::Line(line) if line.is_empty());
            // A line during which a question came may be an answer typed too early: it goes nowhere.
            let asked = if is_end { None } else { self.asked(&mut name, !is_blank)? };
            let next = match asked {
                Some(next) => next,
                None => self.take(typed)?,
            };
            if next == Next::Stop {
                break;
            }
        }
        Ok(())
    }

    /// Puts the question that has come, if one has. With `rest` there may be more of a line that was
    /// being typed, which is no answer.
    fn asked(&mut self, name: &mut String, rest: bool) -> Result<Option<Next>, Failure> {
        loop {
            // What was typed after the question was announced must not be taken before it comes.
            let announced = self.interruption.is_announced();
            let control =
                if announced { self.controls.recv().ok() } else { self.controls.try_recv().ok() };
            match control {
                Some(Control::Ask(question)) => {
                    let next = self.answer(question, rest && self.person)?;
                    let next = self.settle(next)?;
                    // What is typed next is no answer, and may be seen.
                    self.source.done();
                    return Ok(Some(next));
                }
                Some(Control::LoggedIn { name: new, admin }) => {
                    *name = new;
                    self.admin = admin;
                }
                Some(Control::Settled) => {}
                None => return Ok(None),
            }
            if !announced {
                return Ok(None);
            }
        }
    }

    /// Waits for what comes of an answer in mid-session. Meanwhile nothing is typed into a line, of
    /// which there could be a rest when the same is asked again.
    fn settle(&mut self, mut next: Next) -> Result<Next, Failure> {
        while next == Next::Line && self.person && !self.stopping.load(Ordering::SeqCst) {
            match self.controls.recv_timeout(VERDICT_WAIT) {
                Ok(Control::Ask(question)) => next = self.answer(question, false)?,
                _ => break,
            }
        }
        Ok(next)
    }

    fn answer(&mut self, question: Question, rest: bool) -> Result<Next, Failure> {
        self.interruption.seen();
        self.screen.gate.ask();
        if rest && !matches!(self.source.ready(), Ok(Some(()))) {
            self.screen.gate.free();
            return Ok(Next::Stop);
        }
        let source = &mut self.source;
        let answer = match question {
            Question::Trust => source.trust().map(|yes| yes.map(Input::Trust)),
            Question::Name => source.name().map(|name| name.map(Input::Name)),
            Question::Password => source.password().map(|password| password.map(Input::Password)),
            Question::NewName => source.new_name().map(|name| name.map(Input::Name)),
            Question::NewPassword => {
                source.new_password().map(|password| password.map(Input::Password))
            }
        };
        self.screen.gate.free();
        let Some(input) = answer? else { return Ok(Next::Stop) };
        Ok(self.send(input))
    }

    /// Asks for the passwords that a change needs. Whoever asks for it and then leaves the
    /// question has changed nothing, and goes on.
    fn change_password(&mut self) -> Result<Next, Failure> {
        if !self.person {
            return Ok(self.refuse("passwd: not done; it needs a terminal, to ask unseen"));
        }
        self.screen.gate.ask();
        let passwords = self.source.passwords();
        self.screen.gate.free();
        self.source.done();
        Ok(match passwords? {
            Some(passwords) => self.send(Input::Command(Command::Passwd(passwords))),
            None => self.refuse("passwd: not done"),
        })
    }

    fn take(&mut self, typed: Typed) -> Result<Next, Failure> {
        Ok(match typed {
            Typed::Line(line) if matches!(parse(&line), Ok(Some(Wish::Passwd))) => {
                self.change_password()?
            }
            typed => self.take_line(typed),
        })
    }

    fn take_line(&mut self, typed: Typed) -> Next {
        let line = match typed {
            Typed::Line(line) => line,
            Typed::Interrupt { empty } => {
                if empty {
                    self.print(&self.render.remark("Ctrl-D or logout to leave"));
                }
                return Next::Line;
            }
            Typed::TooLong => return self.refuse("that line is too long; it was not sent"),
            Typed::NotUtf8 => return self.refuse("that line is not UTF-8; it was not sent"),
            Typed::End if self.person => {
                self.send(Input::Leave);
                return Next::Stop;
            }
            Typed::End => {
                self.send(Input::End);
                return Next::Stop;
            }
        };
        match parse(&line) {
            Ok(None | Some(Wish::Passwd)) => Next::Line,
            Ok(Some(Wish::Help(definition))) => {
                self.print(&self.render.help(definition, self.admin));
                Next::Line
            }
            Ok(Some(Wish::Command(Command::Logout))) => {
                self.send(Input::Command(Command::Logout));
                Next::Stop
            }
            Ok(Some(Wish::Command(command))) => self.send(Input::Command(command)),
            Err(mistake) => {
                self.print(&self.render.mistake(&mistake));
                Next::Line
            }
        }
    }

    fn send(&self, input: Input) -> Next {
        if !self.edited {
            return match self.inputs.blocking_send(input) {
                Ok(()) => Next::Line,
                Err(_) => Next::Stop,
            };
        }
        match self.inputs.try_send(input) {
            Ok(()) => Next::Line,
            Err(queue::error::TrySendError::Full(_)) => {
                self.refuse("too many commands at once; that one was not sent")
            }
            Err(queue::error::TrySendError::Closed(_)) => Next::Stop,
        }
    }

    fn refuse(&self, words: &'static str) -> Next {
        self.print(&self.render.objection(words));
        Next::Line
    }

    fn print(&self, text: &Text) {
        // If the output is gone, the other thread that prints notices, and everything ends.
        self.screen.print(text).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::{self, Write};
    use std::sync::Mutex;

    use jiff_local::tz::TimeZone;
    use whoelse_client::Passwords;
    use whoelse_proto::Password;

    use super::*;
    use crate::ask::Answer;

    /// Somebody who gives the same answer to every question and types some lines.
    struct Typist {
        lines: VecDeque<Typed>,
        /// What is typed is not to be seen.
        hidden: bool,
        /// Where to put questions during the next line, and how many.
        asks: Option<(mpsc::Sender<Control>, usize)>,
        /// How often a line was dropped for a question.
        called: Arc<Mutex<usize>>,
    }

    impl Ask for Typist {
        fn trust(&mut self) -> Answer<bool> {
            Ok(Some(true))
        }

        fn name(&mut self) -> Answer<String> {
            Ok(Some("hans".into()))
        }

        fn password(&mut self) -> Answer<Password> {
            self.hidden = true;
            Ok(Some(Password::from("secret")))
        }

        fn new_name(&mut self) -> Answer<String> {
            Ok(Some("anna".into()))
        }

        fn new_password(&mut self) -> Answer<Password> {
            self.hidden = true;
            Ok(Some(Password::from("long enough")))
        }

        fn passwords(&mut self) -> Answer<Passwords> {
            self.hidden = true;
            Ok(Some(Passwords { old: "secret".into(), new: "long enough".into() }))
        }

        fn ready(&mut self) -> Answer<()> {
            self.hidden = true;
            *self.called.lock().unwrap() += 1;
            Ok(Some(()))
        }

        fn done(&mut self) {
            self.hidden = false;
        }
    }

    impl Lines for Typist {
        fn next(&mut self, prompt: &Text) -> Typed {
            assert_eq!(&**prompt, "hans> ");
            assert!(!self.hidden, "a line is typed blindly");
            if let Some((asks, count)) = self.asks.take() {
                (0..count).for_each(|_| asks.send(Control::Ask(Question::Password)).unwrap());
                asks.send(Control::Settled).unwrap();
            }
            self.lines.pop_front().unwrap_or(Typed::End)
        }
    }

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What reaches the client, and what is printed, when this is typed after a login.
    fn typed(lines: &[&str], person: bool, room: usize) -> (Vec<String>, String) {
        let (inputs, printed, _) = typed_and_asked(lines, person, room, 0);
        (inputs, printed)
    }

    /// The same, perhaps with questions during the first line; and how often a line was dropped.
    fn typed_and_asked(
        lines: &[&str],
        person: bool,
        room: usize,
        asked: usize,
    ) -> (Vec<String>, String, usize) {
        let called = Arc::new(Mutex::new(0));
        let lines = lines.iter().map(|&line| match line {
            "^C" => Typed::Interrupt { empty: true },
            "(too long)" => Typed::TooLong,
            "(not UTF-8)" => Typed::NotUtf8,
            line => Typed::Line(line.into()),
        });
        let (control, controls) = mpsc::channel();
        for question in [Question::Trust, Question::Name, Question::Password] {
            control.send(Control::Ask(question)).unwrap();
        }
        control.send(Control::LoggedIn { name: "hans".into(), admin: false }).unwrap();
        control.send(Control::Ask(Question::Password)).unwrap();
        control.send(Control::Settled).unwrap();
        let (inputs, mut received) = queue::channel(room);
        let paper = Paper::default();
        let keyboard = Keyboard {
            source: Typist {
                lines: lines.collect(),
                hidden: false,
                asks: (asked > 0).then_some((control, asked)),
                called: Arc::clone(&called),
            },
            controls,
            inputs,
            screen: Arc::new(Screen::new(Box::new(paper.clone()))),
            render: Render { colour: false, columns: None, person, zone: TimeZone::UTC },
            person,
            admin: false,
            edited: person,
            interruption: Arc::default(),
            stopping: Arc::default(),
        };
        keyboard.run().unwrap();
        let inputs = std::iter::from_fn(|| received.try_recv().ok()).map(|input| match input {
            Input::Trust(yes) => format!("trust:{yes}"),
            Input::Name(name) => format!("name:{name}"),
            Input::Password(password) => format!("password:{}", password.expose()),
            Input::Leave => "leave".to_owned(),
            Input::Command(command) => command.word().to_owned(),
            Input::End => "end".to_owned(),
        });
        let inputs = inputs.collect();
        let paper = paper.0.lock().unwrap().clone();
        let called = *called.lock().unwrap();
        (inputs, String::from_utf8(paper).unwrap(), called)
    }

    #[test]
    fn a_line_during_which_a_password_is_asked_for_goes_nowhere_and_is_not_shown() {
        for (line, called) in [("falcon*solo", 2), ("message luke hi", 2), ("^C", 2), ("", 1)] {
            let (inputs, printed, times) = typed_and_asked(&[line, "whoelse"], true, 9, 1);
            let secret = "password:secret";
            assert_eq!(inputs[3..], [secret, secret, "whoelse", "leave"], "{line}");
            assert_eq!(printed.lines().count(), 1, "{printed}");
            // What is left of the line is no answer, unless the line was ended for it.
            assert_eq!(times, called, "{line}");
        }
        // Who leaves, leaves.
        let (inputs, ..) = typed_and_asked(&[], true, 9, 1);
        assert_eq!(inputs.last().map(String::as_str), Some("leave"));
    }

    #[test]
    fn a_line_that_ends_between_the_announcement_and_the_question_goes_nowhere() {
        // Long enough for a line that is taken by mistake.
        const MISTAKE_WAIT: Duration = Duration::from_millis(100);
        let interruption = Arc::new(Interruption::default());
        interruption.announce(None);
        let (control, controls) = mpsc::channel();
        control.send(Control::LoggedIn { name: "hans".into(), admin: false }).unwrap();
        let (inputs, mut received) = queue::channel(9);
        let keyboard = Keyboard {
            source: Typist {
                lines: [Typed::Line("message luke half".into())].into(),
                hidden: false,
                asks: None,
                called: Arc::default(),
            },
            controls,
            inputs,
            screen: Arc::new(Screen::new(Box::new(Paper::default()))),
            render: Render { colour: false, columns: None, person: true, zone: TimeZone::UTC },
            person: true,
            admin: false,
            edited: false,
            interruption: Arc::clone(&interruption),
            stopping: Arc::default(),
        };
        let (said, words) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| keyboard.run().unwrap());
            scope.spawn(move || {
                while let Some(input) = received.blocking_recv() {
                    said.send(matches!(input, Input::Password(_))).unwrap();
                }
            });
            let first = words.recv_timeout(MISTAKE_WAIT);
            assert_eq!(first, Err(mpsc::RecvTimeoutError::Timeout), "the line was taken");
            control.send(Control::Ask(Question::Password)).unwrap();
            control.send(Control::Settled).unwrap();
            assert_eq!(words.recv(), Ok(true), "the answer");
        });
    }

    #[test]
    fn a_password_that_was_wrong_is_asked_for_again_without_another_key() {
        let (inputs, _, times) = typed_and_asked(&["half", "whoelse"], true, 9, 3);
        assert_eq!(
            inputs[4..],
            ["password:secret", "password:secret", "password:secret", "whoelse", "leave"]
        );
        assert_eq!(times, 2, "before the first of them only");
    }

    #[test]
    fn a_person_logs_in_types_commands_and_leaves_with_the_last_line() {
        let (inputs, printed) = typed(&["whoelse", "", "mesage x", "passwd", "^C"], true, 9);
        let answers = ["trust:true", "name:hans", "password:secret", "password:secret"];
        assert_eq!(inputs[..4], answers);
        assert_eq!(inputs[4..], ["whoelse", "passwd", "leave"]);
        assert_eq!(
            printed,
            "* help lists the commands, Tab completes, Ctrl-D leaves\n\
             * mesage: unknown command; did you mean message?\n\
             * Ctrl-D or logout to leave\n"
        );
    }

    #[test]
    fn the_end_of_a_script_is_the_end_of_input_unless_it_says_logout() {
        let (inputs, printed) = typed(&["whoelse"], false, 9);
        assert_eq!(inputs[4..], ["whoelse", "end"]);
        assert_eq!(printed, "");
        let (inputs, _) = typed(&["logout", "whoelse"], false, 9);
        assert_eq!(inputs[4..], ["logout"]);
    }

    #[test]
    fn lines_that_cannot_be_read_are_refused_and_the_next_are_read() {
        let (inputs, printed) = typed(&["(too long)", "(not UTF-8)", "whoelse"], false, 9);
        assert_eq!(inputs[4..], ["whoelse", "end"]);
        assert_eq!(
            printed,
            "* that line is too long; it was not sent\n* that line is not UTF-8; it was not sent\n"
        );
    }

    #[test]
    fn a_script_cannot_change_the_password() {
        let (inputs, printed) = typed(&["passwd"], false, 9);
        assert_eq!(inputs[4..], ["end"]);
        assert_eq!(printed, "* passwd: not done; it needs a terminal, to ask unseen\n");
    }

    #[test]
    fn the_editor_never_waits_for_the_client() {
        let (inputs, printed) = typed(&["whoelse", "whoelse", "whoelse"], true, 6);
        assert_eq!(inputs[4..], ["whoelse", "whoelse"]);
        assert!(printed.ends_with("* too many commands at once; that one was not sent\n"));
    }
}
