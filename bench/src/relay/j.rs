//! J, the honest yardstick: R with our JSON, a table of names and a confirmation to the sender.
//!
//! J checks no password, keeps nothing and numbers nothing; it is what our protocol costs before
//! anything that makes it worth having. Fields it does not know are ignored.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::relay::{Outbox, Rules};

/// The answer to every message that found its receiver.
const CONFIRMATION: &[u8] = b"{\"action\":\"message\",\"status\":\"SUCCESS\"}\n";

/// One flat struct for all requests, borrowing what has no escapes.
#[derive(Debug, Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow, default)]
    username: Cow<'a, str>,
    #[serde(borrow, default)]
    user: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    action: &'a str,
    status: &'a str,
}

#[derive(Debug, Serialize)]
struct ReceiveMessage<'a> {
    action: &'a str,
    from: &'a str,
    message: &'a str,
}

/// The rules of J: who is reached by which name.
#[derive(Debug, Default)]
pub(crate) struct Json {
    connections_by_name: HashMap<Box<str>, usize>,
    names_by_connection: Vec<Option<Box<str>>>,
}

impl Rules for Json {
    fn line(&mut self, from: usize, line: &[u8], outbox: &mut Outbox) {
        let Ok(request) = sonic_rs::from_slice::<Request<'_>>(line) else {
            return answer(outbox, from, "error", "BAD_REQUEST");
        };
        match request.action.as_ref() {
            "message" => self.message(from, &request, outbox),
            "login" => {
                self.register(from, &request.username);
                answer(outbox, from, "login", "SUCCESS");
            }
            action => answer(outbox, from, action, "UNKNOWN_ACTION"),
        }
    }

    fn gone(&mut self, who: usize) {
        let name = self.names_by_connection.get_mut(who).and_then(Option::take);
        if let Some(name) = name
            && self.connections_by_name.get(&name) == Some(&who)
        {
            self.connections_by_name.remove(&name);
        }
    }
}

impl Json {
    fn message(&self, from: usize, request: &Request<'_>, outbox: &mut Outbox) {
        let Some(Some(name)) = self.names_by_connection.get(from) else {
            return answer(outbox, from, "message", "NOT_LOGGED_IN");
        };
        let Some(&to) = self.connections_by_name.get(request.user.as_ref()) else {
            return answer(outbox, from, "message", "USER_NOT_EXIST");
        };
        let event =
            ReceiveMessage { action: "receive_message", from: name, message: &request.message };
        append(outbox.of(to), &event);
        outbox.of(from).extend_from_slice(CONFIRMATION);
    }

    fn register(&mut self, who: usize, name: &str) {
        if self.names_by_connection.len() <= who {
            self.names_by_connection.resize(who + 1, None);
        }
        self.gone(who);
        self.names_by_connection[who] = Some(name.into());
        self.connections_by_name.insert(name.into(), who);
    }
}

fn answer(outbox: &mut Outbox, to: usize, action: &str, status: &str) {
    append(outbox.of(to), &Answer { action, status });
}

fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    sonic_rs::to_writer(&mut *out, value).expect("a struct of strings always becomes JSON");
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::OutBuffer;

    fn outbox_for(connections: usize) -> Outbox {
        let buffers = (0..connections).map(|_| OutBuffer::default()).collect();
        Outbox { buffers, dirty: Vec::new() }
    }

    fn text(outbox: &mut Outbox, who: usize) -> String {
        let text = String::from_utf8(outbox.buffers[who].bytes().clone()).unwrap();
        outbox.buffers[who].clear();
        text
    }

    #[test]
    fn a_message_reaches_the_name_and_is_confirmed() {
        let mut outbox = outbox_for(2);
        let mut rules = Json::default();
        rules.line(0, br#"{"action":"login","username":"a","password":"x"}"#, &mut outbox);
        rules.line(1, br#"{"action":"login","username":"b","protocol":1}"#, &mut outbox);
        assert_eq!(text(&mut outbox, 0), "{\"action\":\"login\",\"status\":\"SUCCESS\"}\n");
        text(&mut outbox, 1);
        rules.line(0, br#"{"action":"message","user":"b","message":"\"hi\""}"#, &mut outbox);
        assert_eq!(text(&mut outbox, 0), "{\"action\":\"message\",\"status\":\"SUCCESS\"}\n");
        assert_eq!(
            text(&mut outbox, 1),
            "{\"action\":\"receive_message\",\"from\":\"a\",\"message\":\"\\\"hi\\\"\"}\n"
        );
    }

    #[test]
    fn a_name_that_left_is_unknown() {
        let mut outbox = outbox_for(2);
        let mut rules = Json::default();
        rules.line(0, br#"{"action":"login","username":"a"}"#, &mut outbox);
        rules.line(1, br#"{"action":"login","username":"b"}"#, &mut outbox);
        rules.gone(1);
        text(&mut outbox, 0);
        rules.line(0, br#"{"action":"message","user":"b","message":"x"}"#, &mut outbox);
        assert!(text(&mut outbox, 0).contains("USER_NOT_EXIST"));
    }
}
