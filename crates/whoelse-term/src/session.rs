//! One run of the client: its threads, the queues between them, and an orderly end.
//!
//! Three threads. This one drives the client; one prints what it tells ([`Speaker`]); one reads
//! what is typed ([`Keyboard`]). Whatever ends the run, the terminal is as it was before.

use std::io::{self, BufReader, IsTerminal};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff_local::tz::TimeZone;
use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc as queue, watch};
use tokio::time::timeout;
use whoelse_client::driver::{self, Ended, Input};
use whoelse_client::{Told, core};
use whoelse_proto::Place;

use crate::Options;
use crate::ask::{Ask, Given, Person, Script};
use crate::complete::Completion;
use crate::compose::{Line, Tone};
use crate::failure::{Failure, Kind, code};
use crate::interruption::{Caller, Interruption};
use crate::keyboard::Keyboard;
use crate::line::EditedLines;
use crate::people::People;
use crate::plain::{Lines, PlainLines};
use crate::render::Render;
use crate::screen::{Printer, Screen};
use crate::shown::Shown;
use crate::speaker::{Control, Speaker};
use crate::terminal::{self, Terminal};

/// Notices on their way to the screen. More, and the server waits.
const TOLD_MAX: usize = 256;

/// Lines on their way to the client. More, and whoever writes them waits.
const LINES_MAX: usize = 64;

/// The same for the line editor, which never waits. More, and they are refused.
const EDITED_LINES_MAX: usize = 10_000;

/// How long the output may take for the last lines before they are given up: nothing that was
/// not shown is lost, because it was not acknowledged.
const LAST_LINES_WAIT: Duration = Duration::from_secs(10);

/// How long the editor may take to end when it is told to, and how often it is told.
const EDITOR_WAIT: Duration = Duration::from_secs(1);
const EDITOR_NUDGE: Duration = Duration::from_millis(20);

/// How long the last lines may take when the editor has not ended.
const STUCK_EDITOR_WAIT: Duration = Duration::from_secs(1);

/// Runs a client from the first prompt to the last line.
pub(crate) fn run(options: Options) -> Result<ExitCode, Failure> {
    let terminal = Arc::new(Terminal::new());
    let given = Given::new(options.user.clone(), options.password_file.as_deref())?;
    // Before any thread exists: from here on no signal ends the program in the middle of things.
    let runtime = Builder::new_current_thread().enable_all().build().map_err(cannot_start)?;
    let interruption = Arc::new(Interruption::default());
    let stop = {
        let _entered = runtime.enter();
        stop_signals(Arc::clone(&interruption)).map_err(cannot_start)?
    };
    let (told, telling) = queue::channel(TOLD_MAX);
    let (shown, showing) = watch::channel(0);
    let (session, inputs) =
        Session::begin(&options, &terminal, given, telling, shown, interruption);
    let driver_options = driver::Options {
        config: core::Config {
            interactive: session.person,
            takeover: options.takeover,
            invite: options.invite.clone(),
            place: Place { host: options.host.clone(), port: options.port },
            device_name: options.device_name.clone(),
            vouch: options.vouch.clone(),
            links: options.links.clone(),
        },
        state: options.state.clone(),
        expected_key: options.expected_key,
        // Whoever does not see the key cannot compare it.
        compares: session.person && io::stdout().is_terminal(),
        store: options.store,
    };
    let ended = runtime.block_on(driver::run(driver_options, inputs, told.clone(), showing, stop));
    let result = session.end(ended, told, runtime, &options, &terminal);
    // A thread that still waits for a key holds the terminal, too.
    terminal.restore();
    result
}

/// Completes when the program is told to stop.
fn stop_signals(interruption: Arc<Interruption>) -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                // The editor was meant, and had ended a moment before.
                _ = interrupt.recv() => if !interruption.is_ours() { return },
                _ = terminate.recv() => return,
                _ = hang_up.recv() => return,
            }
        }
    })
}

/// Why the output came to an end. It is no failure that nobody listens any more, as when the
/// reader of a pipe has had enough.
fn cannot_write(error: &io::Error) -> Option<Failure> {
    (error.kind() != io::ErrorKind::BrokenPipe).then(|| {
        Failure::new(
            Kind::Other,
            Line::new().say("cannot write the output: ").say(Shown::line(&error.to_string())),
            Line::new().say("What was not shown comes again at the next login."),
        )
    })
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::new(
        Kind::Other,
        Line::new().say("cannot start: ").say(Shown::line(&error.to_string())),
        Line::new().say("The system lacks something; try again later."),
    )
}

/// How lines are to look. Only a terminal with a line editor gets more than bare lines: where
/// there is none, a program may read them, or a person has asked for them.
fn render(colour: bool, edited: bool, person: bool) -> Render {
    Render {
        colour: colour && edited,
        columns: edited.then_some(terminal::columns as fn() -> usize),
        person,
        zone: TimeZone::system(),
    }
}

/// The threads of a run.
struct Session {
    screen: Arc<Screen>,
    people: Arc<Mutex<People>>,
    render: Render,
    /// A person types, who can be asked.
    person: bool,
    /// The person has a line editor.
    edited: bool,
    /// Nothing more is to be typed.
    stopping: Arc<AtomicBool>,
    interruption: Arc<Interruption>,
    threads: Threads,
}

#[derive(Default)]
struct Threads {
    keyboard: Option<JoinHandle<Result<(), Failure>>>,
    /// Says when everything was printed, and how that went.
    spoken: Option<mpsc::Receiver<io::Result<()>>>,
}

/// Tells the printer that the keyboard is gone, and the editor with it: what the editor held is
/// printed without it.
struct CloseGate(Arc<Screen>);

impl Drop for CloseGate {
    fn drop(&mut self) {
        self.0.gate.close();
    }
}

impl Session {
    /// Starts the threads, with a line editor if the terminal can carry one.
    fn begin(
        options: &Options,
        terminal: &Arc<Terminal>,
        given: Given,
        told: queue::Receiver<Told>,
        shown: watch::Sender<u64>,
        interruption: Arc<Interruption>,
    ) -> (Self, queue::Receiver<Input>) {
        let person = io::stdin().is_terminal();
        let mut session = Self {
            screen: Arc::new(Screen::new(Box::new(io::stdout()))),
            people: Arc::default(),
            render: render(options.colour, false, person),
            person,
            edited: false,
            stopping: Arc::default(),
            interruption,
            threads: Threads::default(),
        };
        let (controls, controlled) = mpsc::channel();
        let editor = if session.person && io::stdout().is_terminal() && !options.plain {
            let completion = Completion {
                people: Arc::clone(&session.people),
                home: options.links.home.clone(),
            };
            EditedLines::new(
                &session.screen,
                terminal,
                completion,
                options.colour,
                &session.stopping,
            )
        } else {
            None
        };
        session.edited = editor.is_some();
        session.render = render(options.colour, session.edited, person);
        let (lines, printer) = editor.unzip();
        let caller = Caller {
            interruption: Arc::clone(&session.interruption),
            screen: Arc::clone(&session.screen),
            terminal: (!session.edited).then(|| Arc::clone(terminal)),
        };
        let speaker = Speaker {
            told,
            shown,
            controls,
            people: Arc::clone(&session.people),
            render: session.render.clone(),
            printer: Printer::new(Arc::clone(&session.screen), printer),
            caller: person.then_some(caller),
        };
        let (done, spoken) = mpsc::channel();
        // If nobody waits for it any more, nobody needs to know.
        thread::spawn(move || done.send(speaker.run()).unwrap_or_default());
        session.threads.spoken = Some(spoken);
        let plain = || BufReader::new(io::stdin());
        let inputs = match (lines, session.person) {
            (Some(lines), _) => {
                session.read(Person::new(given, Arc::clone(terminal), lines, false), controlled)
            }
            (None, true) => {
                let lines = PlainLines(plain());
                session.read(Person::new(given, Arc::clone(terminal), lines, true), controlled)
            }
            (None, false) => session.read(Script::new(given, plain()), controlled),
        };
        (session, inputs)
    }

    /// Starts the thread that reads what is typed.
    fn read<S>(&mut self, source: S, controls: mpsc::Receiver<Control>) -> queue::Receiver<Input>
    where
        S: Ask + Lines + Send + 'static,
    {
        let (inputs, typed) =
            queue::channel(if self.edited { EDITED_LINES_MAX } else { LINES_MAX });
        let keyboard = Keyboard {
            source,
            controls,
            inputs,
            screen: Arc::clone(&self.screen),
            render: self.render.clone(),
            person: self.person,
            admin: false,
            edited: self.edited,
            interruption: Arc::clone(&self.interruption),
            stopping: Arc::clone(&self.stopping),
        };
        let close = CloseGate(Arc::clone(&self.screen));
        self.threads.keyboard = Some(thread::spawn(move || {
            let _close = close;
            keyboard.run()
        }));
        typed
    }

    /// Ends the threads and says how it all ended.
    fn end(
        mut self,
        ended: Ended,
        told: queue::Sender<Told>,
        runtime: Runtime,
        options: &Options,
        terminal: &Terminal,
    ) -> Result<ExitCode, Failure> {
        let wait = self.stop_keyboard(ended.logged_in, terminal);
        runtime.block_on(async {
            let rest = async {
                for untold in ended.untold {
                    if told.send(untold).await.is_err() {
                        break;
                    }
                }
            };
            timeout(wait, rest).await.unwrap_or_default();
        });
        drop(told);
        // The look-up of a name may still be under way; nobody waits for it.
        runtime.shutdown_background();
        let spoken = self.threads.spoken.and_then(|spoken| spoken.recv_timeout(wait).ok());
        let keyboard = self.threads.keyboard.take().filter(JoinHandle::is_finished);
        if let Some(Ok(Err(failure))) = keyboard.map(JoinHandle::join) {
            return Err(failure);
        }
        if let Some(Err(error)) = spoken {
            return match cannot_write(&error) {
                Some(failure) => Err(failure),
                None => Ok(ExitCode::from(Kind::Other as u8)),
            };
        }
        let name = ended.name.unwrap_or_default();
        let failure = Failure::before_login(&ended.ending, &options.host, options.port, &name);
        match failure.filter(|_| !ended.logged_in) {
            Some(failure) => Err(failure),
            None => Ok(code(&ended.ending)),
        }
    }

    /// Ends the line that is being typed. Says how long the last lines may take from here on.
    fn stop_keyboard(&mut self, logged_in: bool, terminal: &Terminal) -> Duration {
        self.stopping.store(true, Ordering::SeqCst);
        let Some(keyboard) = &self.threads.keyboard else { return LAST_LINES_WAIT };
        let until = Instant::now() + EDITOR_WAIT;
        let editing = logged_in && self.edited;
        while editing && !keyboard.is_finished() && Instant::now() < until {
            if self.screen.gate.is_editing() {
                // The editor cannot be called off, but it takes an interrupt for Ctrl-C, and
                // then leaves the terminal in order. Nobody else is interrupted: the signal
                // has been taken over by us before any thread began.
                self.screen.gate.leave();
                kill_process(getpid(), Signal::INT).unwrap_or_default();
            } else if self.screen.gate.is_asking() {
                break;
            }
            thread::sleep(EDITOR_NUDGE);
        }
        if self.screen.gate.is_editing() {
            // It does not want to end; then the end comes without it. From now on lines are
            // written past it, and what it still holds it will hardly print any more.
            self.screen.gate.close();
            terminal.restore_from_editor();
            return STUCK_EDITOR_WAIT;
        }
        if self.person && self.screen.gate.is_asking() {
            // What follows begins on a line of its own, not behind the question.
            self.screen.gate.close();
            self.screen.print(&Line::new().end(Tone::Plain, false)).unwrap_or_default();
        }
        self.screen.gate.close();
        LAST_LINES_WAIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_editor_gets_colours_and_rows() {
        for (colour, edited, coloured) in
            [(true, true, true), (true, false, false), (false, true, false)]
        {
            let render = render(colour, edited, true);
            assert_eq!((render.colour, render.columns.is_some()), (coloured, edited));
        }
    }

    #[test]
    fn an_output_that_cannot_be_written_is_reported_unless_its_reader_has_left() {
        assert_eq!(cannot_write(&io::ErrorKind::BrokenPipe.into()), None);
        let failure = cannot_write(&io::ErrorKind::StorageFull.into()).unwrap();
        assert!(failure.line().starts_with("whoelse: cannot write the output: "));
        assert_eq!((failure.line().lines().count(), failure.code()), (1, 1));
    }
}
