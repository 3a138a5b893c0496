//! Direct messages, their numbers and their acknowledgement.

use super::*;

#[test]
fn mail_is_acknowledged_after_it_was_shown_once_for_all() {
    let mut client = Client::person().logged_in(WELCOME);
    client.shows = false;
    for number in 1..=3 {
        client.hears(&mail(number));
    }
    assert_eq!(texts(&client.notices()), ["m1", "m2", "m3"]);
    assert_eq!(client.done(), [""; 0], "nothing was shown yet");
    client.core.handle_shown(client.now_ms, client.core.last_sequence);
    assert_eq!(client.done(), [r#"{"action":"ack","number":3}"#]);
}

#[test]
fn mail_that_was_told_before_is_dropped_after_a_reconnect_and_acknowledged() {
    let mut client = Client::person().logged_in(WELCOME);
    client.hears(&mail(1));
    client.hears(&mail(2));
    assert_eq!(texts(&client.notices()), ["m1", "m2"]);
    client.done();
    client.loses_the_line();
    client.waits_for_connect();
    client.connects();
    client.hears(WELCOME);
    client.told();
    client.done();
    for number in 1..=3 {
        client.hears(&mail(number));
    }
    assert_eq!(texts(&client.notices()), ["m3"]);
    assert_eq!(client.done().last().unwrap(), r#"{"action":"ack","number":3}"#);
}

#[test]
fn mail_of_other_server_data_is_told_again_and_a_gap_is_reported_and_not_acknowledged() {
    let mut client = Client::person().logged_in(WELCOME);
    client.hears(&mail(1));
    client.told();
    client.loses_the_line();
    client.waits_for_connect();
    client.connects();
    client.hears(&WELCOME.replace("s1", "s2"));
    client.hears(&mail(1));
    assert_eq!(texts(&client.notices()), ["m1"]);
    client.done();
    client.hears(&mail(4));
    let notices = client.notices();
    assert_eq!(texts(&notices), ["m4"]);
    assert_eq!(notices[1], Notice::Missing { first: 2, last: 3 });
    assert_eq!(client.done(), [""; 0]);
}
