//! What is kept on this machine, as it is shown.

use super::*;

#[test]
fn what_was_said_before() {
    use whoelse_client::Waiting;
    use whoelse_client::log::{Found, Said, State};
    let said = |state: Option<State>, text: &str| Said {
        user: "luke".into(),
        state,
        text: text.into(),
        at: Some("2026-11-22T09:14:59.123Z".into()),
    };
    let history = |said: Vec<Said>| {
        let command = Command::History { user: "luke".into(), count: 20 };
        answered(command, Answer::Found(Found { said, more: 0 }))
    };
    let search = |said: Vec<Said>, more: u64| {
        let command = Command::Search { words: "hi".into() };
        answered(command, Answer::Found(Found { said, more }))
    };
    let outbox = |waiting| answered(Command::Outbox, Answer::Waiting(waiting));
    let waiting = |tried| Waiting { user: "luke".into(), text: "a\nb".into(), tried };
    let refused = |status: &str| Some(State::Refused(status.into()));
    for (lines, wording) in [
        (history(vec![]), "* history luke: nothing was said yet, on this machine\n"),
        (
            history(vec![
                said(None, "hi\n* luke logged out"),
                said(Some(State::Waiting), "one"),
                said(Some(State::Sent), "two"),
                said(Some(State::Delivered), "three"),
                said(refused("MAILBOX_FULL"), "four"),
                Said { at: None, ..said(refused("UNCERTAIN"), "five") },
            ]),
            "* history luke: 6 messages\n\
             [09:14] luke: hi\n    | * luke logged out\n\
             [09:14] -> luke (waiting): one\n\
             [09:14] -> luke (sent): two\n\
             [09:14] -> luke (delivered): three\n\
             [09:14] -> luke (not sent: mailbox full): four\n\
             -> luke (uncertain): five\n",
        ),
        (search(vec![], 0), "* search: nothing that holds all these words\n"),
        (search(vec![said(None, "hi")], 0), "* search: 1 message\n[09:14] luke: hi\n"),
        (
            search(vec![said(None, "hi")], 12),
            "* search: the last message; 12 more before\n[09:14] luke: hi\n",
        ),
        (outbox(vec![]), "* outbox: everything you wrote is confirmed\n"),
        (
            outbox(vec![waiting(true), waiting(false)]),
            "* outbox: 2 messages are not confirmed\n\
             -> luke (no answer yet): a\n    | b\n-> luke (waiting): a\n    | b\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
    let mistyped = Command::History { user: "luk".into(), count: 20 };
    assert_eq!(
        answered(mistyped, Answer::Found(Found::default())),
        "* history luk: nothing was said yet, on this machine; did you mean luke?\n"
    );
    let full = history((0..20).map(|_| said(None, "hi")).collect());
    assert!(full.starts_with("* history luke: the last 20 messages\n"), "{full}");
}

#[test]
fn what_is_told_of_the_log() {
    let not_confirmed = Notice::NotConfirmed { user: "luke".into(), text: "a\nb".into() };
    for (lines, wording) in [
        (
            notice(&Notice::TakenUp { count: 1 }),
            "* 1 message of last time was not confirmed; sent again now\n",
        ),
        (
            notice(&Notice::TakenUp { count: 2 }),
            "* 2 messages of last time were not confirmed; sent again now\n",
        ),
        (
            notice(&not_confirmed),
            "* message luke: you wrote this some time ago, and it was never confirmed; send it \
             again?\n    | a\n    | b\n",
        ),
        (
            notice(&Notice::Waits { command: message("luke") }),
            "* message luke: not confirmed; it is kept, and sent again at the next start\n",
        ),
        (
            notice(&Notice::NoLog),
            "* another client of yours on this machine keeps what is said; history and search \
             work there\n",
        ),
        (
            notice(&Notice::NotLogged { words: "disk full\u{1b}".into() }),
            "* what is said cannot be kept on this machine: disk full\\u{1b}; the conversation \
             goes on without\n",
        ),
        (
            notice(&Notice::Delivered { user: "luke".into(), count: 1 }),
            "* luke has got your message\n",
        ),
        (
            notice(&Notice::Delivered { user: "luke".into(), count: 3 }),
            "* luke has got 3 of your messages\n",
        ),
        (notice(&Notice::LoggedAgain), "* what is said is kept again\n"),
        (
            notice(&Notice::LogDamaged { lines: 2 }),
            "* 2 lines of what was kept on this machine cannot be read; the rest is there\n",
        ),
        (
            refused(Command::Outbox, Why::NoLog(NoLog::Unwanted)),
            "* outbox: not done; nothing is kept here (--no-store)\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn nobody_can_look_like_somebody_else_in_a_history() {
    use whoelse_client::log::{Found, Said, State};
    for user in ["->", "*", "-> luke (sent)", "[09:14]", "luke:", "\u{202e}", ""] {
        for text in ["hi\n-> luke (sent): x", "\r[09:14] luke: x", "\u{1b}[A\n\u{9b}1A"] {
            for state in [None, Some(State::Sent), Some(State::Refused("\u{1b}x".into()))] {
                let said =
                    Said { user: user.into(), state: state.clone(), text: text.into(), at: None };
                let found = Answer::Found(Found { said: vec![said], more: 0 });
                let command = Command::Search { words: "hi".into() };
                for columns in [40, 80] {
                    let fixed: fn() -> usize = if columns == 40 { || 40 } else { || 80 };
                    let render = Render { columns: Some(fixed), ..RENDER };
                    let told = Notice::Answered { command: command.clone(), answer: found.clone() };
                    let lines = render.notice(&told, &people(), Timestamp::UNIX_EPOCH).to_string();
                    assert!(lines.lines().all(|line| line.chars().count() <= columns), "{lines}");
                    assert!(!lines.chars().any(|it| it.is_control() && it != '\n'), "{lines:?}");
                    let mut rows = lines.lines().skip(1);
                    let first = rows.next().unwrap();
                    let name = Shown::name(user);
                    let begin = match state {
                        None => format!("{name}:"),
                        Some(_) => format!("-> {name} ("),
                    };
                    assert!(first.starts_with(&begin), "{first}");
                    assert!(rows.all(|row| row.starts_with("    | ")), "{lines}");
                }
            }
        }
    }
}
