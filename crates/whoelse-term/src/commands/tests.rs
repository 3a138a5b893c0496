//! Reading lines.

use whoelse_proto::Role;

use super::*;

fn command(line: &str) -> Command {
    match parse(line) {
        Ok(Some(Wish::Command(command))) => command,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_command_is_read() {
    let user = || "luke".to_owned();
    for (line, wanted) in [
        ("message luke hi there", Command::Message { user: user(), text: "hi there".into() }),
        ("broadcast hi  all", Command::Broadcast { text: "hi  all".into() }),
        ("whoelse", Command::Whoelse),
        ("whoelsesince 900", Command::WhoelseSince { seconds: 900 }),
        ("block luke", Command::Block { user: user() }),
        ("unblock luke", Command::Unblock { user: user() }),
        ("startprivate luke", Command::StartPrivate { user: user(), unencrypted: false }),
        (
            "startprivate luke --unencrypted",
            Command::StartPrivate { user: user(), unencrypted: true },
        ),
        ("accept luke", Command::Accept { user: user() }),
        ("decline luke", Command::Decline { user: user() }),
        ("links", Command::Links),
        ("files", Command::Files),
        ("cancel luke", Command::Cancel { which: "luke".into() }),
        ("cancel 3", Command::Cancel { which: "3".into() }),
        (
            "sendfile luke  /tmp/my file.pdf",
            Command::SendFile { user: user(), path: "/tmp/my file.pdf".into() },
        ),
        (
            "sendfile luke '/tmp/my file.pdf'",
            Command::SendFile { user: user(), path: "/tmp/my file.pdf".into() },
        ),
        ("safety luke", Command::Safety { user: user(), step: SafetyStep::Show }),
        ("safety luke confirm", Command::Safety { user: user(), step: SafetyStep::Confirm }),
        ("safety luke accept", Command::Safety { user: user(), step: SafetyStep::Accept }),
        ("private luke psst", Command::Private { user: user(), text: "psst".into() }),
        ("stopprivate luke", Command::StopPrivate { user: user() }),
        ("history luke", Command::History { user: user(), count: 20 }),
        ("history luke 5", Command::History { user: user(), count: 5 }),
        ("search hi  there", Command::Search { words: "hi  there".into() }),
        ("outbox", Command::Outbox),
        ("logout", Command::Logout),
        ("invite", Command::Invite { role: Role::Member }),
        ("invite admin", Command::Invite { role: Role::Admin }),
        ("invites", Command::Invites),
        ("invites revoke 4", Command::RevokeInvite { number: 4 }),
        ("devices", Command::Devices),
        ("devices revoke laptop", Command::RevokeDevice { name: "laptop".into() }),
        ("lock luke", Command::Lock { user: user() }),
        ("unlock luke", Command::Unlock { user: user() }),
    ] {
        assert_eq!(command(line), wanted);
        assert_eq!(command(&format!("  /{line} \t")), wanted, "with a slash and spaces around");
    }
    assert_eq!(parse("passwd"), Ok(Some(Wish::Passwd)));
    assert_eq!(parse("help"), Ok(Some(Wish::Help(None))));
    assert_eq!(parse("help /block"), Ok(Some(Wish::Help(Some(find("block").unwrap())))));
}

#[test]
fn what_is_shared_and_fetched_is_named_up_to_the_end_of_the_line() {
    let user = || "luke".to_owned();
    for (line, wanted) in [
        ("share film.mkv", Command::Share { path: "film.mkv".into(), with: vec![] }),
        ("register film.mkv", Command::Share { path: "film.mkv".into(), with: vec![] }),
        (
            "share a film.mkv with everyone",
            Command::Share { path: "a film.mkv".into(), with: vec![] },
        ),
        (
            "share ~/gone with the wind.mkv with luke  yoda",
            Command::Share {
                path: "~/gone with the wind.mkv".into(),
                with: vec![user(), "yoda".into()],
            },
        ),
        (
            "share 'me with luke' with luke",
            Command::Share { path: "me with luke".into(), with: vec![user()] },
        ),
        ("share 'me with luke'", Command::Share { path: "me with luke".into(), with: vec![] }),
        ("share a with b/c", Command::Share { path: "a with b/c".into(), with: vec![] }),
        ("shares", Command::Shares),
        ("unshare a film.mkv", Command::Unshare { which: "a film.mkv".into() }),
        ("search-files", Command::SearchFiles { words: String::new() }),
        ("search-files film  mkv", Command::SearchFiles { words: "film  mkv".into() }),
        ("searchFile film", Command::SearchFiles { words: "film".into() }),
        ("searchChunk film.mkv", Command::SearchParts { which: "film.mkv".into(), parts: vec![] }),
        (
            "searchChunk a film.mkv 1-20,25",
            Command::SearchParts { which: "a film.mkv".into(), parts: vec![1..=20, 25..=25] },
        ),
        ("search-parts 2 0-3", Command::SearchParts { which: "2 0-3".into(), parts: vec![] }),
        ("get 2", Command::Get { which: "2".into() }),
        ("get luke/'my' film.mkv", Command::Get { which: "luke/'my' film.mkv".into() }),
        ("get \"my film.mkv\"", Command::Get { which: "my film.mkv".into() }),
        ("seed", Command::Seed { yes: None }),
        ("seed yes", Command::Seed { yes: Some(true) }),
        ("seed no", Command::Seed { yes: Some(false) }),
    ] {
        assert_eq!(command(line), wanted);
    }
}

#[test]
fn a_text_keeps_its_inner_spaces_and_lines() {
    assert_eq!(
        command("message luke    a  b\n  c\n"),
        Command::Message { user: "luke".into(), text: "a  b\n  c".into() }
    );
    assert_eq!(
        command("message luke\n/logout"),
        Command::Message { user: "luke".into(), text: "/logout".into() }
    );
}

#[test]
fn blank_lines_ask_for_nothing() {
    for line in ["", "   ", "\t\n"] {
        assert_eq!(parse(line), Ok(None));
    }
}

#[test]
fn an_unknown_command_is_repeated_with_the_nearest() {
    for (typed, meant) in [
        ("mesage", Some("message")),
        ("Message", Some("message")),
        ("whoesle", Some("whoelse")),
        ("whoelsesinse", Some("whoelsesince")),
        ("blok", Some("block")),
        ("unblok", Some("unblock")),
        ("msg", Some("message")),
        ("quit", Some("logout")),
        ("who", Some("whoelse")),
        ("start", Some("startprivate")),
        ("broad", Some("broadcast")),
        ("messageluke", Some("message")),
        ("xyzzy", None),
        ("", None),
    ] {
        let error = UsageError::Unknown { word: typed.into(), nearest: meant };
        assert_eq!(parse(&format!("/{typed} luke hi")), Err(error));
    }
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    let missing =
        |word, argument| Err(UsageError::Missing { definition: find(word).unwrap(), argument });
    assert_eq!(parse("message"), missing("message", User));
    assert_eq!(parse("message luke"), missing("message", Text));
    assert_eq!(parse("broadcast  "), missing("broadcast", Text));
    assert_eq!(parse("whoelsesince"), missing("whoelsesince", Seconds));
    assert_eq!(parse("invites revoke"), missing("invites", RevokeNumber));
    assert_eq!(parse("sendfile luke"), missing("sendfile", Path));
    assert_eq!(parse("cancel"), missing("cancel", Which));
    assert_eq!(parse("share"), missing("share", Share));
    assert_eq!(parse("register"), missing("share", Share));
    assert_eq!(parse("get"), missing("get", File));
    let definition = find("seed").unwrap();
    assert_eq!(parse("seed maybe"), Err(UsageError::TooMuch { definition }));
    assert_eq!(parse("devices revoke"), missing("devices", RevokeName));
    let not_number = |typed: &str| {
        Err(UsageError::NotNumber { definition: find("invites").unwrap(), typed: typed.into() })
    };
    assert_eq!(parse("invites revoke four"), not_number("four"));
    assert_eq!(parse("invites revoke -1"), not_number("-1"));
    for typed in ["0", "five", "-1", "+1", "1.5"] {
        let definition = find("history").unwrap();
        let error = UsageError::NotCount { definition, typed: typed.into() };
        assert_eq!(parse(&format!("history luke {typed}")), Err(error));
    }
    for word in [
        "outbox",
        "history luke 5",
        "invite",
        "invites",
        "devices",
        "passwd",
        "whoelse",
        "logout",
        "block luke",
        "help block",
        "whoelsesince 1",
        "links",
        "files",
        "cancel 3",
        "safety luke",
        "safety luke confirm",
        "startprivate luke",
    ] {
        let definition = find(word.split(' ').next().unwrap()).unwrap();
        assert_eq!(parse(&format!("{word} more")), Err(UsageError::TooMuch { definition }));
    }
}

#[test]
fn seconds_are_digits() {
    for typed in ["ten", "-1", "1.5", "0x10", "１"] {
        let definition = find("whoelsesince").unwrap();
        let error = UsageError::NotSeconds { definition, typed: typed.into() };
        assert_eq!(parse(&format!("whoelsesince {typed}")), Err(error));
    }
    assert_eq!(
        command("whoelsesince 99999999999999999999999"),
        Command::WhoelseSince { seconds: u64::MAX }
    );
}

#[test]
fn the_table_agrees_with_the_client() {
    for definition in COMMANDS {
        let arguments = Arguments { definition: None, ..Arguments::default() };
        match (definition.build)(arguments) {
            Wish::Command(command) => assert_eq!(command.word(), definition.word),
            Wish::Passwd => assert_eq!(definition.word, "passwd"),
            Wish::Help(_) => assert_eq!(definition.word, "help"),
        }
        assert!(definition.help.len() <= 64, "{}: the help fits a line", definition.word);
    }
    assert_eq!(find("private").unwrap().usage(), "private <user> <text>");
}
