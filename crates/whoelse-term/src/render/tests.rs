//! The wording, as a table: what happened, and every line a person sees of it.

mod files;
mod kept;
mod links;
mod swarm;

use whoelse_client::{Distrust, Passwords};
use whoelse_proto::{Fingerprint, InviteSecret, Place};

use super::*;
use crate::commands::{self, find};

const RENDER: Render = Render { colour: false, columns: None, person: true, zone: TimeZone::UTC };

fn people() -> People {
    let mut people = People::default();
    people.learn(&Notice::Came { name: "luke".into() });
    people
}

fn notice(notice: &Notice) -> String {
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    RENDER.notice(notice, &people(), now).to_string()
}

fn on(user: &str) -> Command {
    Command::Block { user: user.into() }
}

fn message(user: &str) -> Command {
    Command::Message { user: user.into(), text: "hi".into() }
}

fn broadcast() -> Command {
    Command::Broadcast { text: "hi".into() }
}

fn start(user: &str) -> Command {
    Command::StartPrivate { user: user.into(), unencrypted: false }
}

fn answered(command: Command, answer: Answer) -> String {
    notice(&Notice::Answered { command, answer })
}

fn refused(command: Command, why: Why) -> String {
    answered(command, Answer::Refused(Refusal::new(why)))
}

fn said(from: &str, text: &str, at: Option<&str>) -> String {
    notice(&Notice::Message { from: from.into(), text: text.into(), at: at.map(str::to_owned) })
}

#[test]
fn what_others_say() {
    for (lines, wording) in [
        (said("hans", "hello", None), "hans: hello\n"),
        (said("hans", "hello", Some("2026-11-22T11:59:30Z")), "hans: hello\n"),
        (said("hans", "hello", Some("2026-11-22T09:14:59.123Z")), "[09:14] hans: hello\n"),
        (said("hans", "hello", Some("2026-11-20T09:14:00Z")), "[2026-11-20 09:14] hans: hello\n"),
        (said("hans", "hello", Some("yesterday")), "hans: hello\n"),
        (
            said("hans", "one\n* two\nluke: three", None),
            "hans: one\n    | * two\n    | luke: three\n",
        ),
        (said("hans", "", None), "hans: \n"),
        (
            notice(&Notice::Broadcast { from: "hans".into(), text: "a\nb".into() }),
            "hans (to everybody): a\n    | b\n",
        ),
        (notice(&Notice::Came { name: "luke".into() }), "* luke logged in\n"),
        (notice(&Notice::Left { name: "luke".into() }), "* luke logged out\n"),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn nobody_can_speak_as_somebody_else_or_as_the_program() {
    // Whoever the sender and whatever the text: the first word tells what a line is.
    for from in ["*", "* luke", "luke:", "luke: hi\nhans", "[09:14]", "\r* x", "    |"] {
        for text in
            ["hi", "hi\n* luke logged out", "hi\r* luke logged out", "\n\nluke: hi", "\u{1b}[A"]
        {
            let lines = said(from, text, None);
            let mut lines = lines.lines();
            let first = lines.next().unwrap().split(' ').next().unwrap();
            assert_eq!(first, format!("{}:", Shown::name(from)));
            assert!(lines.all(|line| line.starts_with("    | ")));
            let everybody = notice(&Notice::Broadcast { from: from.into(), text: text.into() });
            let first = everybody.split(' ').next().unwrap();
            assert_eq!(first, Shown::name(from).as_str());
            assert!(!first.ends_with(':'));
        }
    }
}

#[test]
fn what_became_of_a_request() {
    let names = |names: &[&str]| Answer::Names(names.iter().map(|&name| name.into()).collect());
    let counted = |n_sent, n_blocked| Answer::Counted { n_sent, n_blocked };
    let since = || Command::WhoelseSince { seconds: 900 };
    let unblock = || Command::Unblock { user: "luke".into() };
    let address = Answer::Address { address: "127.0.0.1".parse().ok(), port: Some(5000) };
    for (lines, wording) in [
        (answered(message("luke"), Answer::Done), "* message luke: sent\n"),
        (answered(on("luke"), Answer::Done), "* block luke: luke is blocked now\n"),
        (answered(unblock(), Answer::Done), "* unblock luke: luke is no longer blocked\n"),
        (answered(broadcast(), counted(2, 0)), "* broadcast: sent to 2 people\n"),
        (
            answered(broadcast(), counted(1, 1)),
            "* broadcast: sent to 1 person; not to 1 person who blocked you\n",
        ),
        (
            answered(broadcast(), counted(0, 0)),
            "* broadcast: sent to nobody; nobody else is online\n",
        ),
        (
            answered(broadcast(), counted(0, 2)),
            "* broadcast: sent to nobody; not to 2 people who blocked you\n",
        ),
        (answered(Command::Whoelse, names(&[])), "* whoelse: nobody else is online\n"),
        (
            answered(Command::Whoelse, names(&["luke"])),
            "* whoelse: 1 other person is online\nluke\n",
        ),
        (
            answered(Command::Whoelse, names(&["luke", "yoda"])),
            "* whoelse: 2 other people are online\nluke\nyoda\n",
        ),
        (answered(since(), names(&[])), "* whoelsesince 900: nobody else was online\n"),
        (
            answered(since(), names(&["luke"])),
            "* whoelsesince 900: 1 other person was online\nluke\n",
        ),
        (
            answered(start("luke"), address),
            "* startprivate luke: not done; that client takes only links that nobody encrypts. To \
             make one all the same: startprivate luke --unencrypted\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_became_of_requests_about_people_and_devices() {
    let key = Fingerprint([7; 32]);
    let link = |place: &str| InviteLink {
        place: place.parse().unwrap(),
        key,
        secret: InviteSecret::new([9; 16]),
        vouch: None,
    };
    let invited = |guessed, here| {
        let answer = Answer::Invited {
            link: Box::new(link("chat.example:443")),
            expires_in_s: 604_800,
            guessed,
            here,
        };
        answered(Command::Invite { role: Role::Member }, answer)
    };
    let pass_on = "* invite: valid for 7 days, for one person. Pass this line on:\n\
                   whoelse client whoelse://chat.example:443/\
                   BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc/CQkJCQkJCQkJCQkJCQkJCQ\n";
    let guess = "* invite: the address in it was guessed; the operator can say what it is with \
                 --public-address\n";
    let invite = |number, role: &str, by: Option<&str>| IncomingInvite {
        number,
        role: role.into(),
        by: by.map(str::to_owned),
        expires_in: 90_000,
    };
    let device = |name: &str, this| IncomingDevice {
        device_name: name.into(),
        added: "2026-11-20T09:14:00.000Z".into(),
        used: "\u{1b}[A".into(),
        this,
        ..IncomingDevice::default()
    };
    let passwords = Passwords { old: "a".into(), new: "b".into() };
    let luke = || "luke".to_owned();
    for (lines, wording) in [
        (invited(false, None), pass_on.to_owned()),
        (
            invited(false, "localhost".parse().ok()),
            format!(
                "{pass_on}* invite: it leads to chat.example port 443, as the server says; its key was \
                 seen at localhost port 12346, where you are\n"
            ),
        ),
        (invited(true, None), format!("{pass_on}{guess}")),
        (answered(Command::Invites, Answer::Invites(vec![])), "* invites: none are open\n".into()),
        (
            answered(
                Command::Invites,
                Answer::Invites(vec![
                    invite(3, "admin", None),
                    invite(12, "member", Some("hans\u{1b}")),
                ]),
            ),
            "* invites: 2 are open\n  3: for an administrator, made by the operator, valid for 25 \
             more hours\n  12: for a member, made by hans\\u{1b}, valid for 25 more hours\n"
                .into(),
        ),
        (
            answered(Command::Devices, Answer::Devices(vec![device("laptop", true)])),
            "* devices: 1 logs in without a password\n  laptop: since 2026-11-20 09:14, last used \
             \\u{1b}[A (this one)\n"
                .into(),
        ),
        (
            answered(Command::RevokeInvite { number: 3 }, Answer::Done),
            "* invites revoke 3: taken back\n".into(),
        ),
        (
            answered(Command::RevokeDevice { name: "old phone".into() }, Answer::Done),
            "* devices revoke old\\u{20}phone: that device needs the password again\n".into(),
        ),
        (
            answered(Command::Passwd(passwords), Answer::Done),
            "* passwd: changed; your other devices need the new password\n".into(),
        ),
        (
            answered(Command::Lock { user: luke() }, Answer::Done),
            "* lock luke: luke cannot log in any more\n".into(),
        ),
        (
            answered(Command::Unlock { user: luke() }, Answer::Done),
            "* unlock luke: luke can log in again\n".into(),
        ),
        (
            refused(Command::Devices, Why::Original),
            "* devices: not done; servers of the original system know nothing like it\n".into(),
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn a_line_to_pass_on_is_never_broken() {
    let render = Render { columns: Some(|| 40), ..RENDER };
    let link = InviteLink {
        place: "chat.example:443".parse().unwrap(),
        key: Fingerprint([7; 32]),
        secret: InviteSecret::new([9; 16]),
        vouch: None,
    };
    let line = format!("whoelse client {}", link.expose());
    let answer =
        Answer::Invited { link: Box::new(link), expires_in_s: 60, guessed: true, here: None };
    let told = Notice::Answered { command: Command::Invite { role: Role::Member }, answer };
    let lines = render.notice(&told, &People::default(), Timestamp::UNIX_EPOCH);
    assert!(lines.lines().any(|it| it == line), "{}", &*lines);
}

#[test]
fn who_is_there_on_both_sides() {
    let key = Fingerprint([7; 32]);
    let place = Place { host: "chat.example".into(), port: 443 };
    let invited =
        |by: Option<&str>, admin| notice(&Notice::Invited { by: by.map(str::to_owned), admin });
    for (lines, wording) in [
        (
            notice(&Notice::Stranger { place, key }),
            "* the server at chat.example port 443 is not known here yet. Its key is\n  \
             BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n* compare it with the line 'key' at the \
             server's start, or ask whoever runs it; nothing was sent to it yet\n",
        ),
        (invited(Some("hans"), false), "* hans invites you to this server\n"),
        (invited(None, true), "* you are invited to this server, as an administrator\n"),
        (
            notice(&Notice::JoinRefused { sentence: "No.\n* x".into() }),
            "* not joined; the server says: No.\\u{a}* x\n",
        ),
        (
            notice(&Notice::ResumeRefused { sentence: None }),
            "* this device does not log in without the password\n",
        ),
        (
            notice(&Notice::Security(Security::FirstContact { key })),
            "* this server's key is BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc (first contact: \
             remembered)\n",
        ),
        (
            notice(&Notice::Security(Security::Plain)),
            "* this connection is not encrypted (same machine)\n",
        ),
        (notice(&Notice::Security(Security::Known)), ""),
        (
            notice(&Notice::Security(Security::Verified { by_invite: true })),
            "* the server has the key that the invite names: verified and remembered\n",
        ),
        (
            notice(&Notice::Security(Security::Verified { by_invite: false })),
            "* the server has the key that it must have: verified and remembered\n",
        ),
        (
            notice(&Notice::Security(Security::Trusted)),
            "* the server's key is remembered from now on\n",
        ),
        (
            notice(&Notice::WayBack { place: "chat.example:443".parse().unwrap() }),
            "* next time: whoelse client chat.example 443\n",
        ),
        (notice(&Notice::FailedLogins { count: 3 }), "* 3 failed logins since your last session\n"),
        (notice(&Notice::FailedLogins { count: 1 }), "* 1 failed login since your last session\n"),
        (
            notice(&Notice::NotKept { words: "disk full".into() }),
            "* cannot keep what would be of use the next time: disk full\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn why_a_request_was_refused() {
    let private = |user: &str| Command::Private { user: user.into(), text: "hi".into() };
    let stop = || Command::StopPrivate { user: "luke".into() };
    for (lines, wording) in [
        (refused(message("hans"), Why::Yourself), "* message hans: not sent; that is yourself\n"),
        (refused(on("hans"), Why::Yourself), "* block hans: not done; that is yourself\n"),
        (
            refused(on("luk"), Why::UserNotExist),
            "* block luk: not done; there is nobody called luk; did you mean luke?\n",
        ),
        (
            refused(message("xyz"), Why::UserNotExist),
            "* message xyz: not sent; there is nobody called xyz\n",
        ),
        (
            refused(message("luke"), Why::UserBlocked),
            "* message luke: not sent; luke has blocked you\n",
        ),
        (
            refused(
                Command::Passwd(Passwords { old: "a".into(), new: "b".into() }),
                Why::WrongPassword,
            ),
            "* passwd: not done; the password until now is another one\n",
        ),
        (
            refused(message("luke"), Why::MailboxFull),
            "* message luke: not sent; too much mail waits for luke already\n",
        ),
        (
            refused(Command::Unblock { user: "luke".into() }, Why::NotBlocked),
            "* unblock luke: not done; luke was not blocked\n",
        ),
        (
            refused(start("luke"), Why::UserOffline),
            "* startprivate luke: not done; luke is offline, or cannot be reached directly\n",
        ),
        (
            refused(private("luke"), Why::NoLink),
            "* private luke: not sent; there is no private link with luke; start one first: \
             startprivate luke\n",
        ),
        (
            refused(stop(), Why::NoLink),
            "* stopprivate luke: not done; there is no private link with luke\n",
        ),
        (
            refused(message("luke"), Why::TooLong { bytes: 70_000, bytes_max: 65_536 }),
            "* message luke: not sent; it is too long, with 70000 bytes; 65536 fit\n",
        ),
        (
            refused(message("luke"), Why::TooManyKept),
            "* message luke: not sent; too many messages wait for the connection already\n",
        ),
        (
            refused(on("luke"), Why::Other("BLOCK_LIST_FULL".into())),
            "* block luke: not done; the server says: BLOCK_LIST_FULL\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
    let mut refusal = Refusal::new(Why::Other("TOO_FAST".into()));
    refusal.retry_after = Some(2);
    assert_eq!(
        answered(broadcast(), Answer::Refused(refusal.clone())),
        "* broadcast: not sent; the server says: TOO_FAST; try again in 2 seconds\n"
    );
    refusal.sentence = Some("Slow down.\u{1b}[2J".into());
    assert_eq!(
        answered(broadcast(), Answer::Refused(refusal)),
        "* broadcast: not sent; the server says: Slow down.\\u{1b}[2J\n"
    );
    let mut refusal = Refusal::new(Why::UserNotExist);
    refusal.suggestion = Some("leia".into());
    assert_eq!(
        answered(message("lea"), Answer::Refused(refusal)),
        "* message lea: not sent; there is nobody called lea; did you mean leia?\n"
    );
}

#[test]
fn what_happens_to_the_connection() {
    let name = || "hans".to_owned();
    let lost = |loss| notice(&Notice::Lost { loss, retry_ms: 470 });
    let still =
        |trouble, last_report| notice(&Notice::StillLost { trouble, retry_ms: 8_000, last_report });
    let back = |resent, sent| notice(&Notice::Back { after_ms: 9_000, resent, sent });
    let later = |locked| notice(&Notice::LoginLater { locked, retry_ms: 42_000 });
    for (lines, wording) in [
        (notice(&Notice::LoggedIn { name: name(), admin: false }), "* logged in as hans\n"),
        (
            notice(&Notice::Absent {
                place: Place { host: "chat.example".into(), port: 443 },
                trouble: Trouble::Refused,
            }),
            "* no connection to chat.example port 443: nothing is listening there\n",
        ),
        (
            notice(&Notice::WithoutServer { name: name(), retry_ms: 470 }),
            "* going on without the server: history, search and outbox show what is kept here, and \
             messages wait; trying again in 0.4 s\n",
        ),
        (
            notice(&Notice::WrongPassword { name: name(), sentence: None }),
            "* login hans: wrong name or password\n",
        ),
        (
            notice(&Notice::WrongPassword { name: name(), sentence: Some("2 tries left.".into()) }),
            "* login hans: the server says: 2 tries left.\n",
        ),
        (lost(Loss::Closed), "* connection lost: the server closed it; trying again in 0.4 s\n"),
        (lost(Loss::Broken("reset".into())), "* connection lost: reset; trying again in 0.4 s\n"),
        (lost(Loss::Cut), "* connection lost: it was cut; trying again in 0.4 s\n"),
        (
            lost(Loss::NoAnswer),
            "* connection lost: the server does not answer; trying again in 0.4 s\n",
        ),
        (
            lost(Loss::Garbage),
            "* connection closed: the server sent something incomprehensible; trying again in \
             0.4 s\n",
        ),
        (
            still(Trouble::Refused, false),
            "* still no connection: nothing is listening there; trying again in 8 seconds\n",
        ),
        (
            still(Trouble::NoAnswer, true),
            "* still no connection: there is no answer; trying again in 8 seconds; from now on \
             quietly (Ctrl-D leaves)\n",
        ),
        (
            later(true),
            "* login: the name is locked after three wrong passwords; trying again in 42 \
             seconds\n",
        ),
        (later(false), "* login: the server cannot take it now; trying again in 42 seconds\n"),
        (back(0, 0), "* back after 9 seconds\n"),
        (back(1, 0), "* back after 9 seconds; 1 message sent again\n"),
        (back(2, 1), "* back after 9 seconds; 2 messages sent again; 1 message sent now\n"),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn advice_for_people_is_not_given_to_programs() {
    let render = Render { person: false, ..RENDER };
    let still =
        Notice::StillLost { trouble: Trouble::NoAnswer, retry_ms: 8_000, last_report: true };
    assert_eq!(
        render.notice(&still, &People::default(), Timestamp::UNIX_EPOCH),
        "* still no connection: there is no answer; trying again in 8 seconds; from now on \
         quietly\n"
    );
}

#[test]
fn who_is_there_at_the_beginning_is_not_shown() {
    assert_eq!(notice(&Notice::Present { names: vec!["luke".into()] }), "");
}

/// What a terminal of this width shows of a message, in a window that is never too narrow.
fn rows(columns: fn() -> usize, from: &str, text: &str) -> Vec<String> {
    let render = Render { columns: Some(columns), ..RENDER };
    let message = Notice::Message { from: from.into(), text: text.into(), at: None };
    let lines = render.notice(&message, &People::default(), Timestamp::UNIX_EPOCH);
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn rows_that_do_not_fit_are_continued_under_our_mark() {
    let text = format!("{}luke: hello", " ".repeat(74));
    assert_eq!(rows(|| 80, "hans", &text), ["hans:", "    | luke: hello"]);
    let long = format!("{}* luke logged out", "x".repeat(74));
    assert_eq!(rows(|| 80, "hans", &long)[1..], ["    | * luke logged out"]);
    assert_eq!(
        rows(|| 20, "hans", "one\ntwo three four five"),
        ["hans: one", "    | two three four", "    | five"]
    );
    assert_eq!(said("hans", &text, None), format!("hans: {text}\n"));
}

#[test]
fn notes_and_the_help_are_wrapped_under_themselves() {
    let render = Render { columns: Some(|| 60), colour: true, ..RENDER };
    let lost = Notice::Missing { first: 5, last: 6 };
    assert_eq!(
        render.notice(&lost, &People::default(), Timestamp::UNIX_EPOCH),
        "\u{1b}[33m* messages are missing before this one (numbers 5 to 6); the\u{1b}[0m\n\
         \u{1b}[33m  server will send them again at the next login\u{1b}[0m\n"
    );
    let help = render.help(None, false);
    assert!(help.starts_with(
        "  message <user> <text>    send a message; it waits for\n                           \
         people who are away\n"
    ));
    assert!(help.lines().all(|line| line.len() <= 60), "{}", &*help);
}

#[test]
fn what_happens_to_requests_without_a_connection() {
    for (lines, wording) in [
        (
            notice(&Notice::Kept { command: message("luke") }),
            "* message luke: kept, to be sent when the connection is back\n",
        ),
        (
            notice(&Notice::NotAsked { command: Command::Whoelse }),
            "* whoelse: not done; there is no connection now\n",
        ),
        (
            notice(&Notice::Uncertain { command: broadcast() }),
            "* broadcast: uncertain: no answer came to it in time; it may or may not have been \
             done\n",
        ),
        (
            notice(&Notice::Unsent { command: message("luke") }),
            "* message luke: not sent; there is no connection\n",
        ),
        (
            notice(&Notice::Missing { first: 5, last: 6 }),
            "* messages are missing before this one (numbers 5 to 6); the server will send them \
             again at the next login\n",
        ),
        (
            notice(&Notice::ServerSays { sentence: "hm\n* x".into() }),
            "* the server says: hm\\u{a}* x\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn how_a_session_ends() {
    let locked = |now| Ending::Refused(LoginRefusal::Locked { now, retry_after: Some(60) });
    for (ending, wording) in [
        (Ending::LoggedOut, "* logged out\n"),
        (Ending::Interrupted, "* logged out, because the program was stopped\n"),
        (
            Ending::Unconfirmed { lost: false },
            "* logged out, though not everything was confirmed\n",
        ),
        (
            Ending::Timeout,
            "* timeout: the server has logged you out, because no command came for too long\n",
        ),
        (
            Ending::Ended {
                reason: "LOCKED".into(),
                sentence: Some("Logged out: an administrator locked this account.".into()),
            },
            "* the session has ended; the server says: Logged out: an administrator locked this account.\n",
        ),
        (
            Ending::Ended { reason: "NEW\u{7}".into(), sentence: None },
            "* the session has ended; the server says: NEW\\u{7}\n",
        ),
        (
            Ending::Distrusted {
                place: Place { host: "chat.example".into(), port: 443 },
                distrust: Distrust::NoEncryption,
            },
            "* The server offers no encryption. Nothing was sent.\n",
        ),
        (Ending::TakenOver, "* logged out: you have logged in elsewhere\n"),
        (Ending::Lost, "* the connection did not come back within a minute; giving up\n"),
        (
            locked(true),
            "* cannot log in again: third wrong password: the name is locked for 60 seconds\n",
        ),
        (
            locked(false),
            "* cannot log in again: the name is locked for 60 more seconds after three wrong \
             passwords\n",
        ),
        (
            Ending::Refused(LoginRefusal::AlreadyLoggedIn),
            "* cannot log in again: already logged in elsewhere\n",
        ),
        (
            Ending::Refused(LoginRefusal::WrongPassword { sentence: None }),
            "* cannot log in again: wrong name or password\n",
        ),
    ] {
        assert_eq!(notice(&Notice::Ended { ending }), wording);
    }
}

#[test]
fn what_was_typed_wrongly() {
    for (typed, wording) in [
        ("mesage luke hi", "* mesage: unknown command; did you mean message?\n"),
        ("xyzzy", "* xyzzy: unknown command; help lists those there are\n"),
        ("\u{1b}[2J", "* \\u{1b}[2J: unknown command; help lists those there are\n"),
        ("message", "* message: whom? use: message <user> <text>\n"),
        ("message luke", "* message: what? use: message <user> <text>\n"),
        ("whoelsesince", "* whoelsesince: since how many seconds? use: whoelsesince <seconds>\n"),
        (
            "whoelsesince ten",
            "* whoelsesince: ten is not a number of seconds; use: whoelsesince <seconds>\n",
        ),
        (
            "invites revoke x",
            "* invites: x is not a number of the list; use: invites [revoke <n>]\n",
        ),
        ("devices revoke", "* devices: which? use: devices [revoke <name>]\n"),
        ("devices forget laptop", "* devices: that is too much; use: devices [revoke <name>]\n"),
        ("block luke yoda", "* block: that is too much; use: block <user>\n"),
    ] {
        assert_eq!(&*RENDER.mistake(&commands::parse(typed).unwrap_err()), wording);
    }
}

#[test]
fn the_help_names_every_command() {
    let help = RENDER.help(None, true);
    assert_eq!(help.lines().count(), commands::COMMANDS.len());
    assert!(help.starts_with(
        "  message <user> <text>    send a message; it waits for people who are away\n"
    ));
    assert!(help.lines().all(|line| line.starts_with("  ") && line.len() <= 92));
    let members = RENDER.help(None, false);
    assert!(help.contains("  unlock <user>") && !members.contains("  lock <user>"));
    assert_eq!(
        &*RENDER.help(Some(find("unblock").unwrap()), false),
        "  unblock <user>: take a block back\n"
    );
}

#[test]
fn colours_mark_what_is_not_said_to_one_person_alone() {
    let render = Render { colour: true, ..RENDER };
    let now = Timestamp::UNIX_EPOCH;
    let line = |notice| render.notice(&notice, &People::default(), now);
    let (from, text) = ("hans".to_owned(), "a\nb".to_owned());
    assert_eq!(
        line(Notice::Message { from: from.clone(), text: text.clone(), at: None }),
        "hans: a\n    | b\n"
    );
    assert_eq!(
        line(Notice::Broadcast { from, text }),
        "\u{1b}[36mhans (to everybody): a\u{1b}[0m\n\u{1b}[36m    | b\u{1b}[0m\n"
    );
}

#[test]
fn words_of_the_server_are_marked_and_bounded() {
    let words = || format!("Trust me.\n* x {}", "y".repeat(70_000));
    let sentence = || Some(words());
    let ended = |ending| Notice::Ended { ending };
    for told in [
        Notice::ServerSays { sentence: words() },
        Notice::WrongPassword { name: "hans".into(), sentence: sentence() },
        Notice::JoinRefused { sentence: words() },
        Notice::ResumeRefused { sentence: sentence() },
        ended(Ending::Ended { reason: "REMOVED".into(), sentence: sentence() }),
        ended(Ending::Ended { reason: words(), sentence: None }),
        ended(Ending::Refused(LoginRefusal::WrongPassword { sentence: sentence() })),
        ended(Ending::Refused(LoginRefusal::Barred { sentence: sentence() })),
        ended(Ending::Refused(LoginRefusal::InviteInvalid { sentence: sentence() })),
        ended(Ending::Refused(LoginRefusal::Other { status: words(), sentence: None })),
        Notice::Answered {
            command: message("luke"),
            answer: Answer::Refused(Refusal::new(Why::Other(words()))),
        },
    ] {
        let lines = notice(&told);
        assert!(lines.contains("the server says: Trust me.\\u{a}* x yyy"), "{lines}");
        assert!(lines.chars().count() < 500 && lines.lines().count() == 1, "{}", lines.len());
    }
    let device = IncomingDevice {
        device_name: words(),
        added: words(),
        used: words(),
        ..IncomingDevice::default()
    };
    let lines = answered(Command::Devices, Answer::Devices(vec![device]));
    assert!(lines.chars().count() < 400, "{}", lines.len());
}

#[test]
fn keys_and_commands_stand_on_lines_of_their_own_where_lines_have_a_width() {
    let narrow = Render { columns: Some(|| 30), ..RENDER };
    let key = Fingerprint([7; 32]);
    let lines = |told| narrow.notice(&told, &People::default(), Timestamp::UNIX_EPOCH).to_string();
    assert_eq!(
        lines(Notice::Security(Security::FirstContact { key })),
        format!("* this server's key is\n  {key}\n  (first contact: remembered)\n")
    );
    let place = "a.long.name.for.a.server.example:443".parse().unwrap();
    assert_eq!(
        lines(Notice::WayBack { place }),
        "* next time:\n  whoelse client a.long.name.for.a.server.example 443\n"
    );
}
