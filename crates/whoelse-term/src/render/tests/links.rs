//! The wording of private links.

use whoelse_client::SafetyStep;
use whoelse_client::links::notice::SafetyNumber;
use whoelse_client::links::{
    LinkEnd, LinkLine, LinkNotice, LinkState, LinkWhy, NoLinks, NotSent, PeerFailure, Route,
    Safety, Trust,
};
use whoelse_proto::LinkReason;

use super::*;

fn link(it: LinkNotice) -> String {
    notice(&Notice::Link(it))
}

fn up(route: Route, trust: Trust) -> String {
    link(LinkNotice::Up { user: "luke".into(), route, trust })
}

fn ended(end: LinkEnd, stood: bool) -> String {
    link(LinkNotice::Ended { user: "luke".into(), end, stood, texts: Vec::new() })
}

fn safety(step: SafetyStep) -> Command {
    Command::Safety { user: "luke".into(), step }
}

fn number(device: &str, compared: bool, since_s: Option<u64>) -> SafetyNumber {
    let groups = std::array::from_fn(|at| format!("{at:05}"));
    SafetyNumber { device: device.into(), groups, compared, since_s }
}

#[test]
fn a_link_that_stands_is_told_with_its_way_and_what_is_known() {
    for (lines, wording) in [
        (up(Route::Direct, Trust::Compared), "* private link with luke: direct, compared\n"),
        (
            up(Route::Relayed, Trust::NotCompared),
            "* private link with luke: relayed, not compared; safety luke shows how to check\n",
        ),
        (
            up(Route::Direct, Trust::New),
            "* private link with luke: direct, not compared: at first contact only the server says \
             whose key it is; safety luke shows how to check\n",
        ),
        (
            up(Route::Direct, Trust::NewDevice),
            "* private link with luke: direct, not compared: of this new device only the server \
             says whose it is; safety luke shows how to check\n",
        ),
        (
            link(LinkNotice::Route { user: "luke".into(), route: Route::Relayed }),
            "* private link with luke: relayed now\n",
        ),
        (
            link(LinkNotice::Interrupted { user: "luke".into(), server_away: false }),
            "* private link with luke: interrupted; nothing is heard from there\n",
        ),
        (
            link(LinkNotice::Interrupted { user: "luke".into(), server_away: true }),
            "* private link with luke: interrupted; it goes on when the server, which relays it, is \
             back\n",
        ),
        (
            link(LinkNotice::Back { user: "luke".into(), route: Route::Relayed }),
            "* private link with luke: back, relayed\n",
        ),
        (ended(LinkEnd::Here, true), "* private link with luke ended\n"),
        (ended(LinkEnd::There, true), "* private link with luke ended: luke closed it\n"),
        (
            ended(LinkEnd::Silent, true),
            "* private link with luke ended: nothing was heard from there any more\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn what_does_not_stand_is_never_called_a_link() {
    let user = || "luke".to_owned();
    let wanted = |trust, hidden| link(LinkNotice::Wanted { user: user(), trust, hidden });
    for (lines, wording) in [
        (
            wanted(Trust::New, false),
            "* luke asks for a private talk (first contact): accept luke (it tells your address \
             there), or decline luke\n",
        ),
        (
            wanted(Trust::Compared, true),
            "* luke asks for a private talk (compared): accept luke, or decline luke\n",
        ),
        (
            link(LinkNotice::NotWanted { user: user(), reason: LinkReason::Withdrawn }),
            "* luke does not ask for a private talk any more\n",
        ),
        (
            link(LinkNotice::NotWanted { user: user(), reason: LinkReason::Offline }),
            "* luke does not ask for a private talk any more: the line is lost\n",
        ),
        (
            link(LinkNotice::TurnedAway { user: user(), reason: LinkReason::NotWanted }),
            "* luke asked for a private talk and was declined: you take none (--private never)\n",
        ),
        (
            link(LinkNotice::Being { user: user(), asked: true }),
            "* startprivate luke: asked; waiting for luke to accept\n",
        ),
        (
            link(LinkNotice::Being { user: user(), asked: false }),
            "* private talk with luke: agreed; looking for a way\n",
        ),
        (
            link(LinkNotice::Waits { user: user() }),
            "* private luke: kept until it can be heard there\n",
        ),
        (ended(LinkEnd::Here, false), "* private talk with luke: taken back\n"),
        (
            ended(LinkEnd::Refused(LinkReason::Declined), false),
            "* private talk with luke: luke declined\n",
        ),
        (
            ended(LinkEnd::Refused(LinkReason::NoAnswer), false),
            "* private talk with luke: nothing came of it; there was no answer within two \
             minutes\n",
        ),
        (
            ended(LinkEnd::NotMade, false),
            "* private talk with luke: nothing came of it; it took too long: no way was found, \
             neither direct nor relayed\n",
        ),
        (
            ended(LinkEnd::BadCard, false),
            "* private talk with luke: stopped; what came was not signed by the device that the \
             server had named: somebody in between has changed it\n",
        ),
        (
            ended(LinkEnd::Failed(PeerFailure::Other("\u{1b}[2J".into())), false),
            "* private talk with luke: nothing came of it; \\u{1b}[2J\n",
        ),
    ] {
        assert_eq!(lines, wording);
        assert!(!lines.contains("private link"), "{lines}");
    }
}

#[test]
fn what_is_said_over_a_link_is_marked_and_what_got_lost_is_told() {
    let text = |text: &str| link(LinkNotice::Text { from: "luke".into(), text: text.into() });
    assert_eq!(text("psst"), "luke (private): psst\n");
    assert_eq!(text("a\nhans: b\u{1b}[2J"), "luke (private): a\n    | hans: b\\u{1b}[2J\n");
    let texts = vec![
        NotSent { text: "one".into(), tried: true },
        NotSent { text: "x".repeat(100), tried: false },
    ];
    let end = LinkEnd::There;
    assert_eq!(
        link(LinkNotice::Ended { user: "luke".into(), end, stood: true, texts }),
        format!(
            "* private link with luke ended: luke closed it\n\
             * private luke: not confirmed, it may or may not have been read: one\n\
             * private luke: not sent: {}…\n",
            "x".repeat(60)
        )
    );
    let private = Command::Private { user: "luke".into(), text: "psst".into() };
    assert_eq!(answered(private, Answer::Done), "* private luke: sent\n");
}

#[test]
fn a_changed_key_stops_with_an_explanation() {
    let changed = |known| {
        link(LinkNotice::Changed {
            user: "luke".into(),
            device: "phone".into(),
            known,
            asked_us: false,
        })
    };
    assert_eq!(
        changed(Some(("laptop".into(), 1_700_000_000, true))),
        "* STOP: the key of luke is not the one known here. Either luke has a new device, or \
         somebody pretends to be that person: the server itself could\n\
         * known: device laptop since 2023-11-14, compared; now: device phone\n\
         * nothing was sent. Ask luke by another way, compare with: safety luke; to take the new \
         key: safety luke accept\n"
    );
    assert!(
        changed(Some((String::new(), 0, true))).contains("known: the device that made the invite")
    );
}

#[test]
fn the_number_is_shown_with_how_to_compare_it() {
    let numbers = vec![number("laptop", false, Some(1_700_000_000))];
    let shown =
        answered(safety(SafetyStep::Show), Answer::Safety(Safety { numbers, refused: None }));
    assert_eq!(
        shown,
        "* safety luke: compare this with luke by voice or in person, never in here. If both \
         screens show the same, nobody is in between, not even the server\n  \
         device laptop, since 2023-11-14, not compared:\n    \
         00000 00001 00002 00003\n    \
         00004 00005 00006 00007\n    \
         00008 00009 00010 00011\n\
         * if it is the same: safety luke confirm\n"
    );
    let numbers = vec![number("laptop", true, Some(1_700_000_000))];
    let refused = Some(Box::new(number("phone", false, None)));
    let shown = answered(safety(SafetyStep::Show), Answer::Safety(Safety { numbers, refused }));
    assert!(!shown.contains("confirm"), "{shown}");
    assert!(shown.contains("  device phone, refused:\n"), "{shown}");
    assert!(shown.ends_with("safety luke accept; if it is nobody's: decline luke\n"), "{shown}");
    let numbers = vec![number("laptop", false, None)];
    let refused = Some(Box::new(number("phone", false, None)));
    let shown = answered(safety(SafetyStep::Show), Answer::Safety(Safety { numbers, refused }));
    assert!(!shown.contains("confirm"), "{shown}");
    assert_eq!(
        answered(safety(SafetyStep::Confirm), Answer::Done),
        "* safety luke: that device counts as compared from now on\n"
    );
    assert_eq!(
        answered(safety(SafetyStep::Accept), Answer::Done),
        "* safety luke: the new key is taken, as not compared; to try again: startprivate luke\n"
    );
}

#[test]
fn a_number_is_never_broken_on_a_narrow_screen() {
    let render = Render { columns: Some(|| 40), ..RENDER };
    let numbers = vec![number("laptop", false, Some(1_700_000_000))];
    let answer = Answer::Safety(Safety { numbers, refused: None });
    let told = Notice::Answered { command: safety(SafetyStep::Show), answer };
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let lines = render.notice(&told, &people(), now).to_string();
    assert!(lines.contains("\n    00000 00001 00002 00003\n"), "{lines}");
    assert!(lines.lines().all(|line| line.chars().count() <= 40), "{lines}");
}

#[test]
fn links_are_listed() {
    let line =
        |user: &str, state, trust, texts| LinkLine { user: user.into(), state, trust, texts };
    let links = vec![
        line("luke", LinkState::Standing(Route::Direct), Some(Trust::Compared), 2),
        line("yoda", LinkState::Wanted, Some(Trust::New), 0),
        line("leia", LinkState::Asked, None, 1),
        line("anna", LinkState::Interrupted(Route::Relayed), Some(Trust::NotCompared), 0),
    ];
    assert_eq!(
        answered(Command::Links, Answer::Links(links)),
        "* links: 4\n  luke: direct, compared; 2 texts not confirmed\n  \
         yoda: asks for a private talk, first contact\n  \
         leia: asked, no answer yet; 1 text not confirmed\n  \
         anna: interrupted, relayed, not compared\n"
    );
    assert_eq!(answered(Command::Links, Answer::Links(Vec::new())), "* links: none\n");
}

#[test]
fn what_was_not_done_says_what_to_do() {
    let no = |why| refused(start("luke"), Why::Link(why));
    for (lines, words) in [
        (no(LinkWhy::NoConnection), "there is no connection to the server now"),
        (no(LinkWhy::NoLinks(NoLinks::NotBuilt)), "this program was built without private links"),
        (no(LinkWhy::NoneThere), "the client of luke makes no private links"),
        (no(LinkWhy::YouBlocked), "you block luke; first: unblock luke"),
        (no(LinkWhy::LinkBeing), "it is under way already; to take it back: stopprivate luke"),
        (no(LinkWhy::TooManyLinks), "there are 8 already; stopprivate ends one"),
        (no(LinkWhy::NotAsked), "luke has not asked for anything"),
        (
            no(LinkWhy::LookFirst),
            "first, to see what to compare by voice or in person: safety luke",
        ),
        (
            no(LinkWhy::LookAgain),
            "there is another key to compare than you were shown; look again: safety luke",
        ),
        (
            no(LinkWhy::KeyRefused),
            "another key of luke was refused; if that is the right one: safety luke accept, and if \
             it is nobody's: decline luke",
        ),
        (no(LinkWhy::Asks), "luke waits for your answer: accept luke, or decline luke"),
    ] {
        assert_eq!(lines, format!("* startprivate luke: not done; {words}\n"));
    }
}

#[test]
fn what_nobody_encrypts_says_so_on_every_line() {
    let (user, address) = ("luke".to_owned(), std::net::IpAddr::from([192, 0, 2, 7]));
    let up = |asked_us| link(LinkNotice::UnencryptedUp { user: user.clone(), address, asked_us });
    let ended = |stood, here, trouble: Option<&str>| {
        let trouble = trouble.map(str::to_owned);
        let texts = vec![NotSent { text: "psst".into(), tried: stood }];
        let user = user.clone();
        link(LinkNotice::UnencryptedEnded { user, address, stood, here, trouble, texts })
    };
    let (from, text) = (user.clone(), "what\nnow?".to_owned());
    for (lines, wording) in [
        (
            up(false),
            "* unencrypted private link with luke at 192.0.2.7: anybody on the way can read and change \
             it, and nobody proves who is there\n",
        ),
        (
            up(true),
            "* unencrypted private link with luke, as whoever is at 192.0.2.7 says: anybody on the way \
             can read and change it, and nobody proves who is there\n",
        ),
        (
            link(LinkNotice::UnencryptedText { from, text }),
            "luke (private, unencrypted, not proven): what\n    | now?\n",
        ),
        (
            ended(true, false, None),
            "* unencrypted private link with luke ended: it was closed there\n\
             * private luke: not confirmed, it may or may not have been read: psst\n",
        ),
        (
            ended(true, true, None),
            "* unencrypted private link with luke ended\n\
             * private luke: not confirmed, it may or may not have been read: psst\n",
        ),
        (
            ended(false, false, Some("no answer")),
            "* startprivate luke --unencrypted: nothing came of it; 192.0.2.7: no answer\n\
             * private luke: not sent: psst\n",
        ),
        (
            link(LinkNotice::UnencryptedFull { address }),
            "* somebody at 192.0.2.7 wants an unencrypted link, and was turned away: there are as many \
             as may be; stopprivate ends one\n",
        ),
        (
            link(LinkNotice::UnencryptedTurnedAway { user: "luke".into(), address }),
            "* somebody at 192.0.2.7 says to be luke on an unencrypted link, and was turned away: luke \
             is linked or known otherwise. To make such a link: startprivate luke --unencrypted\n",
        ),
        (
            answered(
                Command::Private { user: "luke".into(), text: "psst".into() },
                Answer::Unconfirmed,
            ),
            "* private luke: sent unencrypted; nobody confirms that it arrives\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}
