//! The codec against frames good and bad.

mod files;

use super::decode::Fault;
use super::*;
use crate::event::*;
use crate::keys::{DeviceKey, EndpointKey, FileHash, ReceiptKey, RelayTicket};
use crate::limits::{CARD_BYTES_MAX, DEPTH_MAX, MEMBERS_MAX, RECEIPTS_MAX};
use crate::link::{LinkAnswer, LinkName, LinkReason, NewLink, Purpose};
use crate::names::Name;
use crate::refusal::Refusal;
use crate::request::{Command, RequestId};

/// What the server answers to a frame that is not a request.
fn answer(frame: &[u8]) -> String {
    let mut out = Vec::new();
    match decode(frame) {
        Ok(request) => panic!("accepted {request:?}"),
        Err(malformed) => {
            encode_event(&Event::Malformed(malformed), Dialect::Plain, &mut out);
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn requests_are_read_whatever_the_order_and_the_unknown_members() {
    let request = decode(
        br#"{"message":"a \"b\" \u00e9","x":{"y":[1e400,-0,{}]},"id":"7","user":"luke","action":"message"}"#,
    )
    .unwrap();
    assert_eq!(request.id.unwrap().as_str(), "7");
    let Command::Message { user, message } = request.command else { panic!() };
    assert_eq!((&*user, &*message), ("luke", "a \"b\" é"));
}

#[test]
fn seconds_may_be_a_number_or_digits() {
    for (since, expected) in [
        ("900", 900_000),
        ("\"900\"", 900_000),
        ("0", 0),
        ("1.5", 1500),
        ("18446744073709551615", u64::MAX),
        ("\"99999999999999999999999999\"", u64::MAX),
    ] {
        let frame = format!(r#"{{"action":"whoelsesince","since":{since}}}"#);
        let Command::WhoelseSince { since_ms } = decode(frame.as_bytes()).unwrap().command else {
            panic!()
        };
        assert_eq!(since_ms, expected, "{since}");
    }
    for since in ["-1", "\"-1\"", "\"\"", "\"1.5\"", "1e400", "null", "[]", "true", "\"9 \""] {
        let frame = format!(r#"{{"action":"whoelsesince","since":{since}}}"#);
        let answer = answer(frame.as_bytes());
        assert!(answer.contains(r#""action":"whoelsesince""#), "{answer}");
        assert!(answer.contains("BAD_REQUEST") && answer.contains("'since'"), "{answer}");
    }
}

#[test]
fn what_is_wrong_is_said_under_the_action_and_id_that_could_be_read() {
    let deep = format!(
        r#"{{"x":{}1{},"action":"block","id":"q"}}"#,
        "[".repeat(DEPTH_MAX as usize),
        "]".repeat(DEPTH_MAX as usize)
    );
    let many: String = (0..MEMBERS_MAX).map(|n| format!(r#""m{n}":1,"#)).collect();
    let many = format!(r#"{{"action":"block","id":"q",{many}"user":"x"}}"#);
    let ids = vec!["a"; RECEIPTS_MAX + 1];
    let too_many_ids = serde_json::json!({"action": "receipts", "id": "q", "ids": ids}).to_string();
    for (frame, expected) in [
        (br#"{"action":"block","id":"q"}"#.as_slice(), "'user' is missing"),
        (br#"{"action":"block","id":"q","user":7}"#, "'user' must be a string"),
        (br#"{"id":"q","user":"a","user":"b","action":"block"}"#, "twice"),
        (br#"{"action":"block","id":"q","user":"x","z":1,"z":2}"#, "twice"),
        (br#"{"action":"block","id":"q","user":"x","z":{"a":1,"a":2}}"#, "twice"),
        (br#"{"action":"block","id":"q","user":"\ud800"}"#, "surrogate"),
        (br#"{"action":"block","id":"q","user":"a\u0000b"}"#, "NUL"),
        (b"{\"action\":\"block\",\"id\":\"q\",\"user\":\"a\xff\"}", "UTF-8"),
        (b"{\"action\":\"block\",\"id\":\"q\",\"user\":\"a\x07\"}", "not JSON"),
        (br#"{"action":"block","id":"q","user":"x",}"#, "not JSON"),
        (br#"{"action":"block","id":"q","user":"x"} 1"#, "not JSON"),
        (deep.as_bytes(), "deeper"),
        (many.as_bytes(), "members"),
        (br#"{"action":"ack","id":"q","number":-1}"#, "'number'"),
        (br#"{"action":"ack","id":"q","number":1.5}"#, "'number'"),
        (br#"{"action":"ack","id":"q","number":"1"}"#, "'number'"),
        (br#"{"action":"ack","id":"q","number":1e400}"#, "'number'"),
        (br#"{"action":"login","id":"q","username":"a"}"#, "'password' is missing"),
        (
            br#"{"action":"login","id":"q","username":"a","password":"b","private_port":65536}"#,
            "'private_port'",
        ),
        (
            br#"{"action":"login","id":"q","username":"a","password":"b","protocol":0}"#,
            "'protocol'",
        ),
        (
            br#"{"action":"login","id":"q","username":"a","password":"b","instance":""}"#,
            "'instance'",
        ),
        (
            br#"{"action":"login","id":"q","username":"a","password":"b","takeover":1}"#,
            "'takeover'",
        ),
        (br#"{"action":"receipts","id":"q"}"#, "'ids'"),
        (br#"{"action":"receipts","id":"q","ids":"a"}"#, "'ids'"),
        (br#"{"action":"receipts","id":"q","ids":[]}"#, "'ids'"),
        (br#"{"action":"receipts","id":"q","ids":["a",7]}"#, "'ids'"),
        (br#"{"action":"receipts","id":"q","ids":["a",""]}"#, "'ids'"),
        (br#"{"action":"receipts","id":"q","ids":["a\u0000"]}"#, "'ids'"),
        (too_many_ids.as_bytes(), "'ids'"),
    ] {
        assert_wrong(frame, expected);
    }
}

/// The answer to a frame with the id `q` whose action can be read, and that is wrong in some way.
fn assert_wrong(frame: &[u8], expected: &str) {
    let answer = answer(frame);
    let shown = String::from_utf8_lossy(frame);
    assert!(!answer.contains(r#""action":"error""#), "{shown} -> {answer}");
    assert!(answer.contains(r#""id":"q""#), "{shown} -> {answer}");
    assert!(answer.contains(r#""status":"BAD_REQUEST""#), "{shown} -> {answer}");
    assert!(answer.contains(expected), "{shown} -> {answer}");
}

#[test]
fn what_is_wrong_with_requests_for_private_links_is_said() {
    let card = "c".repeat(CARD_BYTES_MAX + 1);
    let large_card =
        serde_json::json!({"action": "private_card", "id": "q", "link": "x", "card": card})
            .to_string();
    for (frame, expected) in [
        (br#"{"action":"startprivate","id":"q","user":"a","link":""}"#.as_slice(), "'purpose' is missing"),
        (
            br#"{"action":"startprivate","id":"q","user":"a","link":"","purpose":"talk"}"#,
            "'link' must have",
        ),
        (
            br#"{"action":"startprivate","id":"q","user":"a","link":"x","purpose":"walk"}"#,
            "'purpose' must be",
        ),
        (
            br#"{"action":"startprivate","id":"q","user":"a","link":"x","purpose":"file"}"#,
            "'file' is missing",
        ),
        (
            br#"{"action":"startprivate","id":"q","user":"a","link":"x","purpose":"talk","file":"BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ"}"#,
            "'file' belongs to",
        ),
        (
            br#"{"action":"startprivate","id":"q","user":"a","link":"x","purpose":"file","file":"x"}"#,
            "'file' is not sound",
        ),
        (br#"{"action":"answer_private","id":"q","link":"x"}"#, "'accept' is missing"),
        (br#"{"action":"answer_private","id":"q","link":"x","accept":1}"#, "'accept' must be"),
        (br#"{"action":"answer_private","id":"q","link":"x","accept":true}"#, "'card' is missing"),
        (
            br#"{"action":"answer_private","id":"q","link":"x","accept":false,"reason":"OFFLINE"}"#,
            "'reason' must be",
        ),
        (large_card.as_bytes(), "'card' has at most"),
        (br#"{"action":"relay","id":"q","endpoint":"AAAA"}"#, "'endpoint' is not sound"),
        (
            br#"{"action":"login","id":"q","username":"a","password":"b","protocol":1,"links":-1}"#,
            "'links'",
        ),
        (
            br#"{"action":"login","id":"q","username":"a","password":"b","protocol":1,"links":true}"#,
            "'links'",
        ),
    ] {
        assert_wrong(frame, expected);
    }
}

#[test]
fn without_a_readable_action_the_answer_is_an_error() {
    for frame in [
        br#"{}"#.as_slice(),
        br#"{"action":7}"#,
        br#"{"action":"a","action":"b"}"#,
        br#"{"user":nope,"action":"block"}"#,
        b"[1]",
        b"17",
        b"",
    ] {
        let answer = answer(frame);
        assert!(answer.starts_with(r#"{"action":"error","status":"BAD_REQUEST""#), "{answer}");
    }
}

#[test]
fn an_unknown_action_is_repeated_but_not_at_any_length() {
    assert_eq!(
        answer(br#"{"action":"dance","id":"1"}"#),
        "{\"action\":\"dance\",\"id\":\"1\",\"status\":\"UNKNOWN_ACTION\",\"reply\":\"Unknown action\",\
         \"message\":\"Unknown action. See docs/PROTOCOL.md for those there are.\"}\n"
    );
    let long = format!(r#"{{"action":"{}"}}"#, "é".repeat(1000));
    assert!(answer(long.as_bytes()).len() < 300);
}

#[test]
fn a_bad_id_is_refused_under_its_action() {
    for id in [String::new(), "x".repeat(65)] {
        let frame = format!(r#"{{"action":"whoelse","id":"{id}"}}"#);
        let answer = answer(frame.as_bytes());
        assert!(answer.contains("'id' must have") && !answer.contains(r#""id":"#), "{answer}");
    }
}

#[test]
fn a_frame_nested_a_thousand_times_over_costs_no_stack() {
    let frame =
        format!(r#"{{"action":"whoelse","x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert!(answer(frame.as_bytes()).contains("deeper"));
}

#[test]
fn events_are_lines_and_originals_get_their_fields_only() {
    let line = |event: &Event, dialect| {
        let mut out = Vec::new();
        encode_event(event, dialect, &mut out);
        String::from_utf8(out).unwrap()
    };
    let hans = Name::new("hans").unwrap();
    assert_eq!(
        line(&Event::LoggedIn { name: hans.clone() }, Dialect::Original),
        "{\"action\":\"login_broadcast\",\"from\":\"hans\",\"message\":\"\"}\n"
    );
    let refused = Event::Answer(Answer {
        action: Action::Message,
        id: None,
        outcome: Outcome::Refused(Refusal::UserNotExist { suggestion: Some(hans.clone()) }),
    });
    assert_eq!(
        line(&refused, Dialect::Original),
        "{\"action\":\"message\",\"status\":\"USER_NOT_EXIST\"}\n"
    );
    assert!(line(&refused, Dialect::Protocol).contains("\"suggestion\":\"hans\""));
    let mail =
        Mail { number: 3, id: "1-3".into(), from: hans, message: "a\nb".into(), at_ms: 1500 };
    let mut out = Vec::new();
    encode_mail(&mail, Dialect::Protocol, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"action\":\"receive_message\",\"from\":\"hans\",\"message\":\"a\\nb\",\"number\":3,\
         \"id\":\"1-3\",\"at\":\"1970-01-01T00:00:01.500Z\"}\n"
    );
}

#[test]
fn what_a_client_encodes_a_server_decodes() {
    let request = crate::Request {
        id: RequestId::new("abc"),
        command: Command::Message {
            user: "luke".into(),
            message: "tab\tnew\nline \u{7f} \u{202e}".into(),
        },
    };
    let mut out = Vec::new();
    encode_request(&request, true, &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    let decoded = decode(&out).unwrap();
    assert_eq!(format!("{decoded:?}"), format!("{request:?}"));
}

#[test]
fn receipts_travel_both_ways() {
    let ids: Vec<RequestId> = ["a-1", "é"].into_iter().filter_map(RequestId::new).collect();
    let command = Command::Receipts { ids: ids.clone() };
    let mut out = Vec::new();
    encode_request(&crate::Request { id: None, command }, true, &mut out);
    let Command::Receipts { ids: decoded } = decode(&out).unwrap().command else { panic!() };
    assert_eq!(decoded, ids);
    let said = |event: &Event| {
        let mut out = Vec::new();
        encode_event(event, Dialect::Protocol, &mut out);
        Incoming::decode(&out).unwrap()
    };
    let outcome = Outcome::Receipts { delivered: ids[..1].to_vec(), unknown: ids[1..].to_vec() };
    let answer = said(&Event::Answer(Answer { action: Action::Receipts, id: None, outcome }));
    assert_eq!(answer.status.as_deref(), Some("SUCCESS"));
    assert_eq!(answer.delivered, Some(vec!["a-1".to_owned()]));
    assert_eq!(answer.unknown, Some(vec!["é".to_owned()]));
    let key = ReceiptKey::of(&ids[0]);
    let told = said(&Event::Delivered { user: Name::new("luke").unwrap(), keys: vec![key] });
    assert_eq!((told.action.as_str(), told.user.as_deref()), ("delivered", Some("luke")));
    assert_eq!(told.keys, Some(vec![key.to_string()]));
    assert_eq!(ReceiptKey::parse(&key.to_string()), Some(key));
}

/// What the server reads of what a client wrote.
fn there(command: Command<'_>) -> String {
    let mut out = Vec::new();
    encode_request(&crate::Request { id: None, command }, true, &mut out);
    format!("{:?}", decode(&out).unwrap().command)
}

fn link() -> LinkName {
    LinkName::new("l-1").unwrap()
}

#[test]
fn requests_for_private_links_arrive_as_they_were_sent() {
    let new = NewLink { name: link(), purpose: Purpose::File(FileHash([3; 32])) };
    let endpoint = EndpointKey([7; 32]);
    let ticket = RelayTicket::new([9; 32]);
    for (command, expected) in [
        (
            Command::StartPrivate { user: "luke".into(), link: Some(new.clone()) },
            format!("StartPrivate {{ user: \"luke\", link: Some({new:?}) }}"),
        ),
        (
            Command::StartPrivate { user: "luke".into(), link: None },
            "StartPrivate { user: \"luke\", link: None }".into(),
        ),
        (
            Command::AnswerPrivate {
                link: link(),
                answer: LinkAnswer::Decline(LinkReason::KeyChanged),
            },
            format!("AnswerPrivate {{ link: {:?}, answer: Decline(KeyChanged) }}", link()),
        ),
        (
            Command::PrivateCard { link: link(), card: "{\"v\":1}".into() },
            format!("PrivateCard {{ link: {:?}, card: \"{{\\\"v\\\":1}}\" }}", link()),
        ),
        (Command::EndPrivate { link: link() }, format!("EndPrivate {{ link: {:?} }}", link())),
        (
            Command::Relay { endpoint, ticket: None },
            format!("Relay {{ endpoint: {endpoint:?}, ticket: None }}"),
        ),
    ] {
        assert_eq!(there(command), expected);
    }
    let accept = LinkAnswer::Accept { card: "c".repeat(CARD_BYTES_MAX).into() };
    let mut out = Vec::new();
    let command = Command::AnswerPrivate { link: link(), answer: accept };
    encode_request(&crate::Request { id: None, command }, true, &mut out);
    let command = Command::Relay { endpoint, ticket: Some(ticket.clone()) };
    encode_request(&crate::Request { id: None, command }, true, &mut out);
    let lines: Vec<_> = out.split_inclusive(|byte| *byte == b'\n').collect();
    let Command::AnswerPrivate { answer: LinkAnswer::Accept { card }, .. } =
        decode(lines[0]).unwrap().command
    else {
        panic!()
    };
    assert_eq!(card.len(), CARD_BYTES_MAX);
    let Command::Relay { ticket: Some(read), .. } = decode(lines[1]).unwrap().command else {
        panic!()
    };
    assert!(read == ticket);
}

#[test]
fn what_a_session_can_do_is_said_at_its_beginning() {
    for (members, expected) in [
        ("", (false, 0)),
        (r#","protocol":1,"links":1,"private_port":4000"#, (true, 4000)),
        (r#","protocol":1,"links":2"#, (true, 0)),
        (r#","protocol":1,"links":0"#, (false, 0)),
        // An original client knows no such thing.
        (r#","links":"what""#, (false, 0)),
    ] {
        let frame = format!(r#"{{"action":"login","username":"a","password":"b"{members}}}"#);
        let Command::Login(login) = decode(frame.as_bytes()).unwrap().command else { panic!() };
        assert_eq!((login.links, login.private_port), expected, "{members}");
    }
    let resume = crate::Resume {
        username: "a".into(),
        key: DeviceKey([1; 32]),
        signature: crate::Signature([2; 64]),
        protocol: 1,
        instance: None,
        takeover: false,
        receipts: true,
        links: true,
        private_port: 4000,
    };
    let expected = format!("{:?}", Command::Resume(resume));
    let mut out = Vec::new();
    let Command::Resume(resume) = decode(
        br#"{"action":"resume","username":"a","device_key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
            "signature":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg",
            "protocol":1,"receipts":true,"links":1,"private_port":4000}"#,
    )
    .unwrap()
    .command
    else {
        panic!()
    };
    let command = Command::Resume(resume);
    assert_eq!(format!("{command:?}"), expected);
    encode_request(&crate::Request { id: None, command }, true, &mut out);
    assert_eq!(format!("{:?}", decode(&out).unwrap().command), expected);
}

#[test]
fn events_of_private_links_are_read_by_clients() {
    let from = Name::new("yoda").unwrap();
    let said = |event: &Event| {
        let mut out = Vec::new();
        encode_event(event, Dialect::Protocol, &mut out);
        Incoming::decode(&out).unwrap()
    };
    let device = DeviceKey([1; 32]);
    let request = said(&Event::PrivateRequest {
        from: from.clone(),
        link: link(),
        purpose: Purpose::Talk,
        device,
        device_name: "laptop".into(),
    });
    assert_eq!(
        (request.action.as_str(), request.from.as_deref()),
        ("private_request", Some("yoda"))
    );
    assert_eq!((request.link.as_deref(), request.purpose.as_deref()), (Some("l-1"), Some("talk")));
    assert_eq!(request.device, Some(device.to_string()));
    assert_eq!(request.device_name.as_deref(), Some("laptop"));
    let answer = |answer| said(&Event::PrivateAnswer { from: from.clone(), link: link(), answer });
    let yes = answer(Ok("card".into()));
    assert_eq!((yes.accepted, yes.card.as_deref(), yes.reason), (Some(true), Some("card"), None));
    let no = answer(Err(LinkReason::NoAnswer));
    assert_eq!(
        (no.accepted, no.card, no.reason.as_deref()),
        (Some(false), None, Some("NO_ANSWER"))
    );
    let card = said(&Event::PrivateCard { from: from.clone(), link: link(), card: "c".into() });
    assert_eq!((card.action.as_str(), card.card.as_deref()), ("private_card", Some("c")));
    let reason = LinkReason::Withdrawn;
    let ended = said(&Event::PrivateEnded { from: from.clone(), link: link(), reason });
    assert_eq!(
        (ended.action.as_str(), ended.reason.as_deref()),
        ("private_ended", Some("WITHDRAWN"))
    );
    let device_name = "phone".into();
    let outcome = Outcome::Asked { user: from, link: link(), device, device_name, accepts: true };
    let asked = said(&Event::Answer(Answer { action: Action::StartPrivate, id: None, outcome }));
    assert_eq!((asked.status.as_deref(), asked.user.as_deref()), (Some("SUCCESS"), Some("yoda")));
    assert_eq!((asked.link.as_deref(), asked.accepts), (Some("l-1"), Some(true)));
    for reason in LinkReason::ALL {
        assert_eq!(LinkReason::parse(reason.as_str()), Some(reason));
    }
}

/// What docs/PROTOCOL.md says for whoever writes another client.
#[test]
fn the_key_of_a_receipt_stays_what_it_is() {
    let key = ReceiptKey::of(&RequestId::new("a-1").unwrap());
    assert_eq!(key.to_string(), "88a4b797a8b031f794a47b46b63f59d0");
    assert_eq!(ReceiptKey::from_u128(key.as_u128()), key);
    assert_eq!(ReceiptKey::from_u128(1).to_string(), format!("{:0>32}", 1), "no digit is left out");
    for wrong in
        ["", "1", &"A".repeat(32), &"g".repeat(32), &"1".repeat(33), &format!("+{:031}", 1)]
    {
        assert_eq!(ReceiptKey::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_client_survives_members_of_any_type() {
    let incoming = Incoming::decode(
        br#"{"action":"whoelse","status":5,"reply":["a","b"],"number":"x","retry_after":-1,"extra":{}}"#,
    )
    .unwrap();
    assert_eq!(incoming.reply, Some(Reply::Names(vec!["a".into(), "b".into()])));
    assert_eq!((incoming.status, incoming.number, incoming.retry_after), (None, None, None));
    assert!(
        Incoming::decode(b"[]").is_err() || Incoming::decode(b"[]").unwrap() == Incoming::default()
    );
}

#[test]
fn unknown_actions_are_a_fault_of_their_own() {
    assert_eq!(decode(br#"{"action":"x"}"#).unwrap_err().fault, Fault::UnknownAction);
}

proptest::proptest! {
    /// The quick way and the thorough way agree, whatever is said.
    #[test]
    fn quick_and_thorough_agree(
        user in "\\PC{0,8}",
        message in proptest::string::string_regex("(?s).{0,20}").unwrap(),
        number: u64,
        order: bool,
    ) {
        let text = serde_json::to_string(&message).unwrap();
        let user = serde_json::to_string(&user).unwrap();
        for (quick, thorough) in [
            if order {
                (
                    format!(r#"{{"action":"message","user":{user},"message":{text}}}"#),
                    format!(r#"{{"action":"message","user":{user},"message":{text},"x":0}}"#),
                )
            } else {
                (
                    format!(r#"{{"message":{text},"id":"i","user":{user},"action":"message"}}"#),
                    format!(r#"{{"x":[],"message":{text},"id":"i","user":{user},"action":"message"}}"#),
                )
            },
            (
                format!(r#"{{"action":"ack","number":{number}}}"#),
                format!(r#"{{"action":"ack","number":{number},"x":0}}"#),
            ),
        ] {
            let quick = decode(quick.as_bytes()).map(|request| format!("{request:?}"));
            let thorough = decode(thorough.as_bytes()).map(|request| format!("{request:?}"));
            proptest::prop_assert_eq!(quick, thorough);
        }
    }
}
