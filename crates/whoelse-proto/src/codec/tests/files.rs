//! Requests about shared files and what is answered, there and back.

use super::{assert_wrong, link, there};
use crate::codec::{Incoming, IncomingFile, IncomingSource, decode, encode_event};
use crate::event::{Action, Answer, Dialect, Event, FileSource, FoundFile, Outcome, OwnShare};
use crate::keys::{DeviceKey, FileHash, Signature};
use crate::limits::{SEARCH_BYTES_MAX, SHARED_BYTES_MAX, SHARED_WITH_MAX};
use crate::link::{NewLink, Purpose};
use crate::names::Name;
use crate::parts::PartMap;
use crate::refusal::Refusal;
use crate::request::Command;
use crate::share::{Scope, Share, SharedName};

const HASH: FileHash = FileHash([4; 32]);

fn share(with: Option<Vec<&'static str>>) -> Share<'static> {
    Share {
        hash: HASH,
        size: 500,
        name: SharedName::new("film \"1\" é.mkv").unwrap(),
        with: with.map(|names| names.into_iter().map(Into::into).collect()),
        signature: Signature([5; 64]),
    }
}

#[test]
fn requests_about_files_arrive_as_they_were_sent() {
    let new = NewLink { name: link(), purpose: Purpose::File(HASH) };
    let words = || "film \t mkv".into();
    for (command, expected) in [
        (Command::Share(share(None)), format!("{:?}", Command::Share(share(None)))),
        (
            Command::Share(share(Some(vec!["luke", "yödä"]))),
            format!("{:?}", Command::Share(share(Some(vec!["luke", "yödä"])))),
        ),
        (Command::Unshare { hash: HASH }, format!("Unshare {{ hash: {HASH:?} }}")),
        (Command::Shares, "Shares".into()),
        (Command::SearchFiles { words: words() }, "SearchFiles { words: \"film \\t mkv\" }".into()),
        (Command::Sources { hash: HASH }, format!("Sources {{ hash: {HASH:?} }}")),
        (
            Command::Have { hash: HASH, parts: "gaA".into() },
            format!("Have {{ hash: {HASH:?}, parts: \"gaA\" }}"),
        ),
        (
            Command::StartPrivate { user: "luke".into(), link: Some(new.clone()) },
            format!("StartPrivate {{ user: \"luke\", link: Some({new:?}) }}"),
        ),
    ] {
        assert_eq!(there(command), expected);
    }
    let all = decode(br#"{"action":"search_files"}"#).unwrap();
    assert!(matches!(all.command, Command::SearchFiles { words } if words.is_empty()));
}

/// A `share` in which one member is another, or none.
fn share_with(member: &str, value: Option<&str>) -> String {
    let sound = [
        ("hash", format!("\"{HASH}\"")),
        ("size", "500".to_owned()),
        ("name", "\"a\"".to_owned()),
        ("signature", format!("\"{}\"", Signature([5; 64]))),
    ];
    let mut frame = r#"{"action":"share","id":"q""#.to_owned();
    for (key, value) in sound.iter().filter(|(key, _)| *key != member) {
        frame += &format!(",\"{key}\":{value}");
    }
    if let Some(value) = value {
        frame += &format!(",\"{member}\":{value}");
    }
    frame + "}"
}

#[test]
fn what_is_wrong_with_requests_about_files_is_said() {
    assert!(decode(share_with("size", Some(&SHARED_BYTES_MAX.to_string())).as_bytes()).is_ok());
    let many = serde_json::to_string(&vec!["a"; SHARED_WITH_MAX + 1]).unwrap();
    let (large, long) = ((SHARED_BYTES_MAX + 1).to_string(), format!("\"{}\"", "x".repeat(256)));
    for (member, value, expected) in [
        ("hash", None, "'hash' is missing"),
        ("hash", Some("\"AAAA\""), "'hash' is not sound"),
        ("size", None, "'size' is missing"),
        ("size", Some("0"), "'size' must be a number from 1 to"),
        ("size", Some(&large), "'size' must be a number from 1 to"),
        ("size", Some("1.5"), "'size' must be a whole number"),
        ("size", Some("\"1\""), "'size' must be a whole number"),
        ("name", None, "'name' is missing"),
        ("name", Some("\"\""), "'name' is not fit"),
        ("name", Some("\"a/b\""), "'name' is not fit"),
        ("name", Some(r#""a\u001bb""#), "'name' is not fit"),
        ("name", Some(&long), "'name' is not fit"),
        ("signature", None, "'signature' is missing"),
        ("signature", Some("\"x\""), "'signature' is not sound"),
        ("with", Some("\"luke\""), "'with' must be an array"),
        ("with", Some("null"), "'with' must be an array"),
        ("with", Some("[]"), "'with' must be an array"),
        ("with", Some("[7]"), "'with' must be an array"),
        ("with", Some(r#"["a\u0000"]"#), "'with' must be an array"),
        ("with", Some(&many), "'with' must be an array"),
    ] {
        assert_wrong(share_with(member, value).as_bytes(), expected);
    }
    let words = "x".repeat(SEARCH_BYTES_MAX + 1);
    for (rest, expected) in [
        (r#""action":"unshare""#.to_owned(), "'hash' is missing"),
        (r#""action":"sources","hash":7"#.to_owned(), "'hash' must be a string"),
        (format!(r#""action":"have","hash":"{HASH}""#), "'parts' is missing"),
        (format!(r#""action":"search_files","words":"{words}""#), "'words' has at most"),
        (r#""action":"search_files","words":["a"]"#.to_owned(), "'words' must be a string"),
    ] {
        assert_wrong(format!(r#"{{"id":"q",{rest}}}"#).as_bytes(), expected);
    }
}

fn said(event: &Event) -> Incoming {
    let mut out = Vec::new();
    encode_event(event, Dialect::Protocol, &mut out);
    Incoming::decode(&out).unwrap()
}

fn answered(action: Action, outcome: Outcome) -> Incoming {
    said(&Event::Answer(Answer { action, id: None, outcome }))
}

#[test]
fn files_and_sources_are_read_by_clients() {
    let (name, yoda) = (SharedName::new("a \\ b").unwrap(), Name::new("yoda").unwrap());
    let with = Scope::People([yoda.clone()].into());
    let own = OwnShare { hash: HASH, size: 7, name: name.clone(), with, sources: 2 };
    let expected = IncomingFile {
        hash: HASH.to_string(),
        size: 7,
        name: "a \\ b".into(),
        with: Some(vec!["yoda".into()]),
        sources: 2,
        ..IncomingFile::default()
    };
    let answer = answered(Action::Shares, Outcome::Shares(vec![own]));
    assert_eq!((answer.status.as_deref(), answer.files), (Some("SUCCESS"), Some(vec![expected])));
    let (device, signature) = (DeviceKey([1; 32]), Signature([5; 64]));
    let file = FoundFile {
        hash: HASH,
        size: 1 << 40,
        name,
        with: Scope::Everyone,
        from: yoda.clone(),
        device,
        device_name: "laptop".into(),
        signature,
        sources: 0,
    };
    let answer =
        answered(Action::SearchFiles, Outcome::Found { files: vec![file.clone()], more: true });
    assert_eq!(answer.more, Some(true));
    let read = &answer.files.unwrap()[0];
    assert_eq!((read.size, &read.with, &*read.from), (1 << 40, &None, "yoda"));
    assert_eq!((&*read.device, &*read.device_name), (&*device.to_string(), "laptop"));
    assert_eq!(read.signature, signature.to_string());
    let found = Outcome::Found { files: vec![file], more: false };
    assert_eq!(answered(Action::SearchFiles, found).more, None);
    let parts = PartMap::all(11);
    let source = FileSource { user: yoda, device, device_name: "phone".into(), parts };
    let answer = answered(Action::Sources, Outcome::Sources(vec![source]));
    let expected = IncomingSource {
        user: "yoda".into(),
        device: device.to_string(),
        device_name: "phone".into(),
        parts: "_-A".into(),
    };
    assert_eq!(answer.sources, Some(vec![expected]));
}

#[test]
fn a_link_for_a_file_says_for_which() {
    let request = said(&Event::PrivateRequest {
        from: Name::new("yoda").unwrap(),
        link: link(),
        purpose: Purpose::File(HASH),
        device: DeviceKey([1; 32]),
        device_name: "laptop".into(),
    });
    assert_eq!(request.purpose.as_deref(), Some("file"));
    assert_eq!(request.file, Some(HASH.to_string()));
    assert_eq!(Purpose::parse("file", Some(HASH)), Some(Purpose::File(HASH)));
    assert_eq!(Purpose::parse("talk", None), Some(Purpose::Talk));
    for (word, file) in [("file", None), ("talk", Some(HASH)), ("walk", None), ("", Some(HASH))] {
        assert_eq!(Purpose::parse(word, file), None, "{word}");
    }
}

#[test]
fn refusals_about_files_say_what_to_do() {
    for (refusal, action, status, part) in [
        (Refusal::FileNotExist, Action::Unshare, "FILE_NOT_EXIST", "You share"),
        (Refusal::FileNotExist, Action::Sources, "FILE_NOT_EXIST", "with you"),
        (Refusal::FileNotExist, Action::StartPrivate, "FILE_NOT_EXIST", "That person"),
        (
            Refusal::UserUnknown { user: "lucke".into(), suggestion: Name::new("luke").ok() },
            Action::Share,
            "USER_NOT_EXIST",
            "'lucke'. Did you mean 'luke'?",
        ),
        (Refusal::TooManyFiles, Action::Share, "TOO_MANY_FILES", "Unshare some"),
        (Refusal::TooManyFiles, Action::Have, "TOO_MANY_FILES", "by you or by all"),
    ] {
        let is_unknown = matches!(refusal, Refusal::UserUnknown { .. });
        let answer = answered(action, Outcome::Refused(refusal));
        assert_eq!(answer.user.as_deref(), is_unknown.then_some("lucke"));
        assert_eq!(answer.suggestion.as_deref(), is_unknown.then_some("luke"));
        assert_eq!(answer.status.as_deref(), Some(status));
        assert!(answer.message.is_some_and(|message| message.contains(part)), "{part}");
    }
}
