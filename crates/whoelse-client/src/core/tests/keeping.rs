//! What is kept in the log, before and after what, and what the next run makes of it.

use whoelse_proto::Nonce;

use super::*;
use crate::log::{Found, Mail, Remembered, Unfinished};
use crate::notice::{NoLog, Waiting};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The entries, each in two words.
pub(super) fn said(entries: &[Entry]) -> String {
    let words: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Out { text, .. } => format!("out:{text}"),
            Entry::Sent { .. } => "sent".to_owned(),
            Entry::Refused { status, .. } => format!("refused:{status}"),
            Entry::Delivered { .. } => "delivered".to_owned(),
            Entry::In(Mail { text, .. }) => format!("in:{text}"),
            Entry::Shown { server, number } => {
                format!("shown:{}{number}", server.as_deref().unwrap_or_default())
            }
            Entry::Damaged { lines } => format!("damaged:{lines}"),
            Entry::Unknown => "?".to_owned(),
        })
        .collect();
    words.join(" ")
}

impl Client {
    /// With a log that says this of earlier runs.
    fn with_log(mut self, remembered: Remembered) -> Self {
        self.types_name("hans");
        self.core.handle_log(Ok(remembered));
        self.log = Some(Vec::new());
        self
    }

    fn in_session(self, welcome: &str) -> Self {
        let mut client = self.with_log(Remembered::default()).logged_in(welcome);
        client.kept();
        client
    }

    /// Logs in with what it has.
    fn enters(&mut self, welcome: &str) {
        self.connects();
        self.types_password("secret");
        self.done();
        self.told();
        self.hears(welcome);
    }

    /// What was kept since the last time.
    fn kept(&mut self) -> String {
        self.done();
        said(&std::mem::take(self.log.as_mut().expect("there is a log")))
    }

    fn disk_answers(&mut self, fails: bool) {
        let batch = self.core.keeping.done() + 1;
        match fails {
            true => self.core.handle_keep_failed(self.now_ms, batch, "disk full".into()),
            false => self.core.handle_kept(self.now_ms, batch),
        }
    }

    fn is_answered(&mut self, frame: &str, status: &str) {
        let id = id_of(frame);
        self.hears(&format!(r#"{{"action":"message","id":"{id}","status":"{status}"}}"#));
    }
}

fn unfinished(number: u64, age_ms: u64) -> Unfinished {
    Unfinished {
        id: format!("old-{number}"),
        to: "luke".into(),
        text: format!("m{number}"),
        age_ms,
    }
}

fn received(server: Option<&str>, number: u64) -> Mail {
    Mail {
        server: server.map(str::to_owned),
        number,
        id: Some("x".into()),
        from: "luke".into(),
        text: format!("m{number}"),
        at: Some("2026-01-01T00:00:00.000Z".into()),
    }
}

#[test]
fn a_message_is_kept_before_it_is_sent_and_holds_back_what_was_typed_after_it() {
    let mut client = Client::person().in_session(WELCOME);
    client.keeps = false;
    client.messages("luke", "one");
    assert_eq!(client.done(), ["keep out:one"]);
    client.messages("luke", "two");
    client.wants(Command::Whoelse);
    client.messages("luke", "three");
    assert_eq!(client.done(), [""; 0], "one batch at a time");
    client.disk_answers(false);
    let done = client.done();
    assert!(done.len() == 2 && done[0].contains(r#""message":"one""#), "{done:?}");
    assert_eq!(done[1], "keep out:two out:three");
    client.disk_answers(false);
    let done = client.done();
    assert!(done[0].contains("two") && done[1].contains("whoelse") && done[2].contains("three"));
}

#[test]
fn mail_is_kept_then_told_and_that_it_was_shown_is_kept_before_it_is_acknowledged() {
    let mut client = Client::person().in_session(WELCOME);
    client.keeps = false;
    client.hears(&mail(1));
    client.hears(r#"{"action":"logout_broadcast","from":"luke"}"#);
    client.hears(&mail(2));
    assert!(client.told().is_empty() && !client.core.has_told());
    assert_eq!(client.done(), ["keep in:m1 in:m2"], "all that came at once is kept at once");
    client.hears(&mail(3));
    client.disk_answers(false);
    let notices = client.notices();
    assert_eq!(texts(&notices), ["m1", "m2"]);
    assert_eq!(notices[1], Notice::Left { name: "luke".into() }, "in the order in which it came");
    assert_eq!(client.done(), ["keep in:m3 shown:s11 shown:s12"]);
    client.disk_answers(false);
    assert_eq!(client.done(), [r#"{"action":"ack","number":2}"#]);
}

#[test]
fn what_became_of_a_message_is_kept() {
    let mut client = Client::person().in_session(WELCOME);
    for (text, status) in [("one", "SUCCESS"), ("two", "USER_BLOCKED")] {
        client.messages("luke", text);
        let frame = client.done().concat();
        client.is_answered(&frame, status);
    }
    client.wants(Command::Whoelse);
    assert_eq!(client.kept(), "out:one sent out:two refused:USER_BLOCKED");

    let mut client = Client::person().in_session(ORIGINAL_WELCOME);
    client.waits(100);
    client.messages("luke", "one");
    client.messages("luke", "two");
    client.done();
    client.loses_the_line();
    client.notices();
    client.core.handle_interrupt();
    assert_eq!(client.notices()[0], Notice::Unsent { command: message("luke", "two") });
    assert_eq!(client.kept(), "out:one out:two refused:UNCERTAIN refused:UNSENT");
}

#[test]
fn mail_without_numbers_is_kept_and_told_again_if_it_was_not_shown() {
    let mut client = Client::person().in_session(ORIGINAL_WELCOME);
    client.shows = false;
    client.hears(r#"{"action":"receive_message","from":"luke","message":"hi"}"#);
    client.hears(r#"{"action":"receive_message","from":"luke","message":"hi"}"#);
    assert_eq!(client.kept(), "in:hi in:hi");
    assert_eq!(texts(&client.notices()), ["hi", "hi"]);
    client.core.handle_shown(client.now_ms, client.core.last_sequence - 1);
    assert_eq!(client.kept(), "shown:1");

    let remembered =
        Remembered { unshown: vec![received(None, 2)], last_number: 2, ..Remembered::default() };
    let mut client = Client::person().with_log(remembered);
    client.enters(ORIGINAL_WELCOME);
    assert_eq!(texts(&client.notices()), ["m2"]);
    assert_eq!(client.kept(), "shown:2");
    client.hears(r#"{"action":"receive_message","from":"luke","message":"hi"}"#);
    client.done();
    client.notices();
    assert_eq!(client.kept(), "in:hi shown:3");
}

#[test]
fn messages_of_an_earlier_run_are_sent_again_first_under_their_ids_and_told() {
    let remembered = Remembered {
        unfinished: vec![unfinished(1, 5), unfinished(2, 3)],
        ..Remembered::default()
    };
    for client in [Client::person(), Client::script()] {
        let mut client = client.with_log(remembered.clone());
        client.enters(WELCOME);
        assert!(client.notices().contains(&Notice::TakenUp { count: 2 }));
        client.messages("luke", "new");
        let sent: Vec<_> =
            client.done().into_iter().filter(|frame| frame.contains("\"message\"")).collect();
        assert_eq!(
            sent[..2],
            [
                r#"{"action":"message","id":"old-1","message":"m1","user":"luke"}"#,
                r#"{"action":"message","id":"old-2","message":"m2","user":"luke"}"#
            ]
        );
        for frame in &sent {
            client.is_answered(frame, "SUCCESS");
        }
        let told = client.notices();
        assert_eq!(told[0], answered(message("luke", "m1"), Answer::Done));
        assert_eq!(client.kept(), "out:new sent sent sent");
        client.loses_the_line();
        client.notices();
        client.waits_for_connect();
        client.connects();
        client.hears(WELCOME);
        let told = client.notices();
        assert!(!told.iter().any(|it| matches!(it, Notice::TakenUp { .. })), "once: {told:?}");
    }
}

#[test]
fn what_the_server_may_have_forgotten_or_never_knew_is_not_sent_again_but_told() {
    let remembered = Remembered {
        unfinished: vec![unfinished(1, 6 * DAY_MS + 1), unfinished(2, u64::MAX), unfinished(3, 0)],
        ..Remembered::default()
    };
    for (welcome, wanted, kept) in [
        (WELCOME, 2, "refused:EXPIRED refused:EXPIRED"),
        (ORIGINAL_WELCOME, 3, "refused:UNCERTAIN refused:UNCERTAIN refused:UNCERTAIN"),
    ] {
        let mut client = Client::person().with_log(remembered.clone());
        client.enters(welcome);
        let notices = client.notices();
        let told = notices.iter().filter(|it| matches!(it, Notice::NotConfirmed { .. }));
        assert_eq!(told.count(), wanted, "{notices:?}");
        assert_eq!(client.kept(), kept);
        assert_eq!(client.core.outbox.messages().count(), 3 - wanted);
    }
}

#[test]
fn a_start_tells_what_was_kept_and_not_shown_drops_what_was_and_acknowledges_both() {
    let remembered = Remembered {
        unshown: vec![received(Some("s1"), 3), received(Some("s1"), 4), received(Some("s0"), 9)],
        shown: [("s1".to_owned(), 2)].into(),
        ..Remembered::default()
    };
    let mut client = Client::person().with_log(remembered);
    client.enters(WELCOME);
    assert_eq!(texts(&client.notices()), ["m3", "m4", "m9"]);
    assert_eq!(client.kept(), "shown:s13 shown:s14 shown:s09");
    for number in 1..=5 {
        client.hears(&mail(number));
    }
    let done = client.done();
    assert_eq!(done.last().unwrap(), r#"{"action":"ack","number":4}"#);
    assert_eq!(texts(&client.notices()), ["m5"]);
    assert_eq!(client.done(), [r#"{"action":"ack","number":5}"#]);
    assert_eq!(client.kept(), "in:m5 shown:s15");
}

#[test]
fn what_was_acknowledged_was_shown_though_a_power_cut_has_taken_the_note_of_it() {
    let remembered = Remembered {
        unshown: vec![received(Some("s1"), 3), received(Some("s1"), 4)],
        ..Remembered::default()
    };
    let mut client = Client::person().with_log(remembered);
    client.enters(&WELCOME.replace(r#""acknowledged":0"#, r#""acknowledged":3"#));
    assert_eq!(texts(&client.notices()), ["m4"]);
}

#[test]
fn mail_that_a_restored_server_sends_again_is_known_and_other_mail_is_not() {
    let seen = [crate::log::fingerprint(&received(Some("s0"), 1)).unwrap()].into();
    let remembered = Remembered { seen, ..Remembered::default() };
    let mut client = Client::person().with_log(remembered).logged_in(WELCOME);
    client.hears(&mail(1));
    client.hears(&mail(2));
    client.done();
    assert_eq!(texts(&client.notices()), ["m2"]);
    assert_eq!(client.done(), [r#"{"action":"ack","number":2}"#]);
    // Nothing but the server's data is another.
    client.loses_the_line();
    client.waits_for_connect();
    client.connects();
    client.hears(&WELCOME.replace("s1", "s2"));
    client.hears(&mail(1));
    client.hears(&mail(2));
    client.hears(&mail(3));
    client.done();
    assert_eq!(texts(&client.notices()), ["m3"]);
    assert_eq!(client.done(), [r#"{"action":"ack","number":3}"#]);
}

#[test]
fn a_log_that_cannot_be_written_is_told_once_and_everything_goes_on() {
    let mut client = Client::person().in_session(WELCOME);
    client.keeps = false;
    for number in 1..=3 {
        client.hears(&mail(number));
        client.messages("luke", "hi");
        client.done();
        client.disk_answers(true);
        let notices = client.notices();
        let told = notices.iter().any(|it| matches!(it, Notice::NotLogged { .. }));
        assert_eq!(told, number == 1, "{notices:?}");
        assert_eq!(texts(&notices), [format!("m{number}")]);
        let sent = client.done();
        assert!(sent[0].contains("\"hi\""), "{sent:?}");
        client.is_answered(&sent[0], "SUCCESS");
        client.done();
        client.disk_answers(true);
        let sent = client.done();
        assert!(sent[0].contains(&format!(r#"{{"action":"ack","number":{number}}}"#)), "{sent:?}");
        client.disk_answers(true);
        client.notices();
    }
    client.messages("luke", "unlucky");
    client.done();
    client.disk_answers(true);
    client.core.handle_interrupt();
    let notices = client.notices();
    assert!(notices.contains(&Notice::Uncertain { command: message("luke", "unlucky") }));

    let mut client = Client::person().in_session(WELCOME);
    client.keeps = false;
    for fails in [true, false, false, true] {
        client.messages("luke", "hi");
        client.done();
        client.disk_answers(fails);
    }
    assert!(matches!(
        client.notices()[..],
        [Notice::NotLogged { .. }, Notice::LoggedAgain, Notice::NotLogged { .. }]
    ));
}

#[test]
fn a_message_that_a_full_disk_did_not_take_is_kept_once_there_is_room_and_not_said_to_be_before() {
    for has_room in [false, true] {
        let mut client = Client::person().in_session(WELCOME);
        client.keeps = false;
        client.messages("luke", "one");
        client.done();
        client.disk_answers(true);
        client.done();
        // There is room again, if only for a smaller batch.
        client.hears(&mail(1));
        client.done();
        client.disk_answers(false);
        client.notices();
        assert_eq!(client.done(), ["keep out:one shown:s11"]);
        client.disk_answers(!has_room);
        client.core.handle_interrupt();
        let command = message("luke", "one");
        let told = if has_room { Notice::Waits { command } } else { Notice::Uncertain { command } };
        assert!(client.notices().contains(&told), "{has_room}");
    }
}

#[test]
fn a_log_that_is_read_again_in_mid_session_sends_nothing_twice() {
    let remembered = Remembered { unfinished: vec![unfinished(1, 5)], ..Remembered::default() };
    let mut client = Client::person().with_device(true).with_log(remembered);
    client.connects();
    client.done();
    client.hears(&format!(r#"{{"action":"challenge","nonce":"{}"}}"#, Nonce([5; 32])));
    client.hears(&WELCOME.replace("login", "resume"));
    client.messages("luke", "new");
    client.loses_the_line();
    client.waits_for_connect();
    client.connects();
    client.hears(&format!(r#"{{"action":"challenge","nonce":"{}"}}"#, Nonce([6; 32])));
    client.hears(r#"{"action":"resume","status":"RESUME_REFUSED"}"#);
    assert!(client.done().contains(&"profile hans".to_owned()));
    let new = client.core.outbox.id_of("new");
    let new = Unfinished { id: new, to: "luke".into(), text: "new".into(), age_ms: 0 };
    client.core.handle_log(Ok(Remembered {
        unfinished: vec![unfinished(1, 5), new],
        ..Remembered::default()
    }));
    client.core.handle_device(client.now_ms, Some(Device::new([8; 32])), false);
    client.types_password("secret");
    client.done();
    client.told();
    client.hears(WELCOME);
    let sent = client.done().into_iter().filter(|frame| frame.contains("\"message\":"));
    assert_eq!(sent.count(), 2);
    let notices = client.notices();
    assert!(!notices.iter().any(|it| matches!(it, Notice::TakenUp { .. })), "{notices:?}");
}

/// The server does not know the device any more; then the log is as given.
fn refused_in_mid_session(client: &mut Client, log: Result<Remembered, NoLog>) {
    client.loses_the_line();
    client.waits_for_connect();
    client.connects();
    client.hears(&format!(r#"{{"action":"challenge","nonce":"{}"}}"#, Nonce([6; 32])));
    client.hears(r#"{"action":"resume","status":"RESUME_REFUSED"}"#);
    client.core.handle_log(log);
    client.core.handle_device(client.now_ms, Some(Device::new([8; 32])), false);
    client.types_password("secret");
    client.done();
    client.told();
    client.hears(WELCOME);
}

fn resumed(client: &mut Client) {
    client.connects();
    client.done();
    client.hears(&format!(r#"{{"action":"challenge","nonce":"{}"}}"#, Nonce([5; 32])));
    client.hears(&WELCOME.replace("login", "resume"));
}

#[test]
fn a_log_that_is_missing_in_mid_session_fails_to_keep_and_tells_nothing_again() {
    let mut client = Client::person().with_device(true).with_log(Remembered::default());
    resumed(&mut client);
    client.hears(&mail(1));
    assert_eq!(client.kept(), "in:m1");
    assert_eq!(texts(&client.notices()), ["m1"]);
    refused_in_mid_session(&mut client, Err(NoLog::Missing));
    client.notices();
    client.hears(&mail(1));
    assert_eq!(texts(&client.notices()), [""; 0]);
    client.messages("luke", "new");
    assert!(client.kept().contains("out:new"), "it is tried, and the person hears of it");
}

#[test]
fn a_log_that_comes_in_mid_session_is_left_to_the_next_run() {
    let mut client = Client::person().with_device(true);
    client.types_name("hans");
    client.core.handle_log(Err(NoLog::Missing));
    resumed(&mut client);
    client.hears(&mail(1));
    assert_eq!(texts(&client.notices()), ["m1"]);
    let remembered = Remembered { unfinished: vec![unfinished(1, 5)], ..Remembered::default() };
    refused_in_mid_session(&mut client, Ok(remembered));
    client.notices();
    client.hears(&mail(1));
    assert_eq!(texts(&client.notices()), [""; 0]);
    let search = Command::Search { words: "hi".into() };
    client.wants(search.clone());
    let refused = Answer::Refused(Refusal::new(Why::NoLog(NoLog::Missing)));
    assert!(client.notices().contains(&answered(search, refused)));
}

#[test]
fn what_is_not_confirmed_at_the_end_waits_for_the_next_start() {
    let mut client = Client::script().in_session(WELCOME);
    client.messages("luke", "hi");
    client.wants(Command::Broadcast { text: "all".into() });
    client.done();
    client.core.handle_end_of_input(client.now_ms);
    client.waits(5_000);
    let notices = client.notices();
    assert_eq!(notices[0], Notice::Waits { command: message("luke", "hi") });
    assert!(matches!(notices[1], Notice::Uncertain { .. }));
    assert_eq!(client.core.ending(), Some(&Ending::Unconfirmed { lost: false }));
    assert_eq!(client.kept(), "out:hi");
}

#[test]
fn an_orderly_end_waits_for_the_log() {
    let mut client = Client::person().in_session(WELCOME);
    client.keeps = false;
    client.hears(&mail(1));
    client.wants(Command::Logout);
    assert_eq!(client.done(), ["keep in:m1"]);
    client.disk_answers(false);
    assert_eq!(texts(&client.notices()), ["m1"]);
    assert_eq!(client.done(), ["keep shown:s11"]);
    client.disk_answers(false);
    assert_eq!(client.done(), [r#"{"action":"ack","number":1}"#, r#"{"action":"logout"}"#]);
}

#[test]
fn history_and_search_look_into_the_log_one_after_the_other() {
    let history = || Command::History { user: "luke".into(), count: 20 };
    let mut client = Client::script().in_session(WELCOME);
    client.wants(history());
    assert_eq!(client.done(), ["look for history"]);
    assert!(!client.core.wants_input(), "answers come in the order of the questions");
    client.core.handle_end_of_input(client.now_ms);
    client.waits(1_000);
    assert_eq!(client.done(), [""; 0]);
    client.core.handle_found(client.now_ms, history(), Ok(Found::default()));
    assert_eq!(client.notices(), [answered(history(), Answer::Found(Found::default()))]);
    assert_eq!(client.done(), [r#"{"action":"logout"}"#]);

    let mut client = Client::person().in_session(WELCOME);
    client.loses_the_line();
    client.notices();
    client.wants(history());
    assert_eq!(client.done(), ["look for history"], "without a connection, too");
    client.core.handle_found(client.now_ms, history(), Err("broken".into()));
    let refused = Answer::Refused(Refusal::new(Why::NotReadable("broken".into())));
    assert_eq!(client.notices(), [answered(history(), refused)]);
}

#[test]
fn without_a_log_history_says_why_and_a_person_is_told_once_that_another_client_keeps_it() {
    for (client, is_told) in [(Client::person(), true), (Client::script(), false)] {
        let mut client = client;
        client.types_name("hans");
        client.core.handle_log(Err(NoLog::InUse));
        client.enters(WELCOME);
        assert_eq!(client.notices().contains(&Notice::NoLog), is_told);
        let search = Command::Search { words: "hi".into() };
        client.wants(search.clone());
        let why = Why::NoLog(NoLog::InUse);
        let refused = Answer::Refused(Refusal::new(why));
        assert_eq!(client.notices(), [answered(search, refused)]);
    }
}

#[test]
fn a_session_taken_over_on_the_same_machine_takes_the_log_over_before_the_first_mail() {
    let remembered = || Remembered {
        unfinished: vec![unfinished(1, 5)],
        shown: [("s1".to_owned(), 2)].into(),
        ..Remembered::default()
    };
    for (log, has_log) in [(Ok(remembered()), true), (Err(NoLog::InUse), false)] {
        let mut client = Client::of(Config { takeover: true, ..config(true) });
        client.types_name("hans");
        client.core.handle_log(Err(NoLog::InUse));
        client.log = Some(Vec::new());
        client.connects();
        client.types_password("secret");
        let login = client.done().concat();
        assert!(login.contains(r#""takeover":true"#) && login.contains(r#""receipts":true"#));
        client.told();
        assert!(!client.core.waits_for_profile());
        client.core.handle_incoming(client.now_ms, Incoming::decode(WELCOME.as_bytes()).unwrap());
        assert!(client.core.waits_for_profile());
        let device = has_log.then(|| Device::new([7; 32]));
        client.core.handle_profile_free(client.now_ms, log, device, has_log);
        assert!(!client.core.waits_for_profile());
        client.hears(&mail(2));
        client.hears(&mail(3));
        client.done();
        let notices = client.notices();
        assert_eq!(notices.contains(&Notice::NoLog), !has_log, "{notices:?}");
        assert_eq!(notices.contains(&Notice::TakenUp { count: 1 }), has_log);
        let kept = client.kept();
        assert_eq!(kept, if has_log { "in:m3 shown:s13" } else { "" });
        client.loses_the_line();
        client.notices();
        client.waits_for_connect();
        client.connects();
        let again = client.done().concat();
        assert_eq!(again.contains("challenge"), has_log, "by the device, if there is one");
    }
}

#[test]
fn the_outbox_is_what_is_not_confirmed() {
    let mut client = Client::person().logged_in(WELCOME);
    let waiting = |text: &str, tried| Waiting { user: "luke".into(), text: text.into(), tried };
    client.messages("luke", "one");
    client.done();
    client.wants(Command::Whoelse);
    client.loses_the_line();
    client.messages("luke", "two");
    client.notices();
    client.wants(Command::Outbox);
    let all = Answer::Waiting(vec![waiting("one", true), waiting("two", false)]);
    assert_eq!(client.notices(), [answered(Command::Outbox, all)]);
}

#[test]
fn damage_in_the_log_is_told_once() {
    for (damaged_told, is_told) in [(0, true), (2, true), (3, false)] {
        let remembered = Remembered { damaged: 3, damaged_told, ..Remembered::default() };
        let mut client = Client::person().with_log(remembered);
        client.enters(WELCOME);
        assert_eq!(client.notices().contains(&Notice::LogDamaged { lines: 3 }), is_told);
        assert_eq!(client.kept(), if is_told { "damaged:3" } else { "" });
    }
}

#[test]
fn another_name_means_another_log() {
    let remembered =
        Remembered { unfinished: vec![unfinished(1, 5)], damaged: 3, ..Remembered::default() };
    let mut client = Client::person().with_log(remembered);
    client.types_name("luke");
    client.core.handle_log(Ok(Remembered::default()));
    client.enters(WELCOME);
    let notices = client.notices();
    assert!(
        !notices.iter().any(|it| matches!(it, Notice::TakenUp { .. } | Notice::LogDamaged { .. }))
    );
    assert_eq!(client.core.outbox.messages().count(), 0);
}

#[test]
fn a_late_answer_of_the_disk_is_no_answer_to_something_else() {
    let mut client = Client::person().in_session(WELCOME);
    client.keeps = false;
    client.messages("luke", "one");
    let batch = client.core.keeping.done() + 1;
    client.done();
    client.core.handle_kept(client.now_ms, batch + 1);
    assert_eq!(client.done(), [""; 0]);
    client.core.handle_kept(client.now_ms, batch);
    assert_eq!(client.done().len(), 1);
    client.core.handle_keep_failed(client.now_ms, batch, "too late".into());
    assert_eq!(client.notices(), []);
}

#[test]
fn a_receipt_is_kept_and_told_to_a_person_only_if_the_reader_was_away() {
    let delivered = |frame: &str| {
        let id = RequestId::new(&id_of(frame)).unwrap();
        let key = whoelse_proto::ReceiptKey::of(&id);
        format!(r#"{{"action":"delivered","user":"luke","keys":["{key}","nonsense"]}}"#)
    };
    for (client, is_person) in [(Client::person(), true), (Client::script(), false)] {
        let mut client = client.in_session(WELCOME);
        for (wait_ms, is_told) in [(10_000, false), (10_001, is_person)] {
            client.messages("luke", "hi");
            let frame = client.done().concat();
            client.is_answered(&frame, "SUCCESS");
            client.done();
            client.notices();
            client.waits(wait_ms);
            client.hears(&delivered(&frame));
            client.hears(&delivered(&frame));
            let notices = client.notices();
            let wanted = Notice::Delivered { user: "luke".into(), count: 1 };
            assert_eq!(notices.contains(&wanted), is_told, "{notices:?}");
            assert_eq!(client.kept(), "out:hi sent delivered", "once");
        }
    }
}

#[test]
fn receipts_are_wanted_with_a_log_and_asked_for_once_it_is_known_what_was_sent() {
    let asks = |frames: &[String]| -> Vec<String> {
        frames.iter().filter(|frame| frame.contains(r#""action":"receipts""#)).cloned().collect()
    };
    let mut client = Client::script();
    client.connects();
    client.types_password("secret");
    assert!(!client.done().concat().contains("receipts"), "there is nowhere to show them");

    let remembered = Remembered {
        unfinished: vec![unfinished(9, 0)],
        undelivered: vec![("old-1".into(), "luke".into()), ("old-2".into(), "luke".into())],
        ..Remembered::default()
    };
    let mut client = Client::person().with_log(remembered);
    client.connects();
    client.types_password("secret");
    let login = client.done().concat();
    assert!(login.contains(r#""receipts":true"#), "{login}");
    client.told();
    client.hears(WELCOME);
    client.notices();
    let again = client.done();
    assert_eq!(asks(&again), [""; 0], "the server may have to say first that it has the last");
    let message = again.iter().find(|frame| frame.contains("old-9")).unwrap();
    client.is_answered(message, "SUCCESS");
    let asked = asks(&client.done());
    assert!(asked[0].contains(r#""ids":["old-1","old-2","old-9"]"#), "{asked:?}");
    client.notices();
    let id = id_of(&asked[0]);
    client.hears(&format!(
        r#"{{"action":"receipts","id":"{id}","status":"SUCCESS","delivered":["old-2"],"unknown":["old-1"]}}"#
    ));
    assert_eq!(client.notices(), [Notice::Delivered { user: "luke".into(), count: 1 }]);
    assert_eq!(client.kept(), "sent delivered");
    client.loses_the_line();
    client.waits_for_connect();
    client.connects();
    client.hears(WELCOME);
    let asked = asks(&client.done());
    assert!(asked[0].contains(r#""ids":["old-9"]"#), "{asked:?}");
}

#[test]
fn no_server_of_the_original_is_asked_for_receipts_and_no_server_for_too_many_at_once() {
    let undelivered: Vec<_> = (0..600).map(|n| (format!("old-{n}"), "luke".to_owned())).collect();
    let remembered = Remembered { undelivered, ..Remembered::default() };
    for (welcome, questions) in [(WELCOME, 3), (ORIGINAL_WELCOME, 0)] {
        let mut client = Client::script().with_log(remembered.clone());
        client.enters(welcome);
        let asked = client.done().iter().filter(|it| it.contains(r#""receipts""#)).count();
        assert_eq!(asked, questions);
        client.core.handle_end_of_input(client.now_ms);
        client.notices();
        client.waits(1_000);
        assert_eq!(client.done(), [r#"{"action":"logout"}"#], "nobody waits for the answers");
    }
}

#[test]
fn only_what_is_in_the_log_is_left_to_the_next_start() {
    let mut client = Client::person().in_session(WELCOME);
    client.keeps = false;
    for (text, fails) in [("one", true), ("two", false), ("three", true)] {
        client.messages("luke", text);
        client.done();
        client.disk_answers(fails);
        client.done();
    }
    // With room for the second the first was tried again, before the third.
    client.disk_answers(true);
    client.done();
    client.notices();
    client.core.handle_interrupt();
    let notices = client.notices();
    assert_eq!(notices[0], Notice::Uncertain { command: message("luke", "one") });
    assert_eq!(notices[1], Notice::Waits { command: message("luke", "two") });
    assert_eq!(notices[2], Notice::Uncertain { command: message("luke", "three") });
}

/// A device that is refused is replaced, for which the profile is opened anew in the middle of a run.
#[test]
fn a_log_that_is_opened_again_says_nothing_new() {
    let mut client = Client::person().in_session(WELCOME);
    client.shows = false;
    client.hears(&mail(1));
    client.messages("luke", "m1");
    let id = id_of(&client.done().concat());
    client.notices();
    client.loses_the_line();
    let unfinished = Unfinished { id, ..unfinished(1, 0) };
    let unshown = vec![received(Some("s1"), 1), received(Some("s0"), 1)];
    let known = Remembered { unfinished: vec![unfinished], unshown, ..Remembered::default() };
    client.core.handle_log(Ok(known));
    client.waits(1_000);
    client.connects();
    client.hears(WELCOME);
    let frames = client.done().concat();
    assert_eq!(frames.matches(r#""message":"m1""#).count(), 1, "{frames}");
    let notices = client.notices();
    assert!(!notices.contains(&Notice::TakenUp { count: 1 }), "{notices:?}");
    assert_eq!(texts(&notices), [""; 0]);
}
