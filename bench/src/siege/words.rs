//! What the attackers and their victims say, and how they read the answers.

use memchr::memmem;

use crate::dialect::{random_text, status};

/// What a line of the server is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word<'a> {
    /// The answer to a login.
    Login(&'a str),
    /// The answer to a direct message.
    Message(&'a str),
    /// A direct message.
    Mail(Mail<'a>),
    /// The answer to a broadcast: its status, and how many got it.
    Broadcast(&'a str, u64),
    /// A refusal of something that was no request, or of an acknowledgement.
    Complaint(&'a str),
    /// Presence, broadcasts and whatever else nobody here listens to.
    Other,
}

/// A direct message as its reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mail<'a> {
    /// Its place in the mailbox.
    pub(crate) number: u64,
    /// What it says.
    pub(crate) body: &'a str,
}

impl<'a> Word<'a> {
    /// Reads a line. Bodies of ours hold no quotation mark, so nothing needs to be unescaped.
    pub(crate) fn of(line: &'a [u8]) -> Self {
        let status = || status(line).and_then(|status| str::from_utf8(status).ok());
        match action_of(line) {
            b"login" => Self::Login(status().unwrap_or("")),
            b"message" => Self::Message(status().unwrap_or("")),
            b"broadcast" => {
                Self::Broadcast(status().unwrap_or(""), number(line, br#""n_sent":"#).unwrap_or(0))
            }
            b"error" | b"ack" => Self::Complaint(status().unwrap_or("")),
            b"receive_message" => {
                match (number(line, br#""number":"#), text(line, br#""message":""#)) {
                    (Some(number), Some(body)) => Self::Mail(Mail { number, body }),
                    _ => Self::Complaint("mail without number or body"),
                }
            }
            _ => Self::Other,
        }
    }
}

/// Makes the line that logs somebody in, in a session of version 1; any other one has to go.
pub(crate) fn login(name: &str, password: &str) -> String {
    let instance = random_text(0);
    format!(
        "{{\"action\":\"login\",\"username\":\"{name}\",\"password\":\"{password}\",\
         \"protocol\":1,\"takeover\":true,\"instance\":\"{instance}\"}}\n"
    )
}

/// Makes the line that sends a direct message.
pub(crate) fn message(id: &str, to: &str, body: &str) -> String {
    format!("{{\"action\":\"message\",\"id\":\"{id}\",\"user\":\"{to}\",\"message\":\"{body}\"}}\n")
}

/// Makes the line that sends a broadcast.
pub(crate) fn broadcast(body: &str) -> String {
    format!("{{\"action\":\"broadcast\",\"message\":\"{body}\"}}\n")
}

/// The line that ends a session.
pub(crate) const LOGOUT: &[u8] = b"{\"action\":\"logout\"}\n";

/// Makes the body of the `count`th message to somebody, of `bytes` bytes.
pub(crate) fn numbered_body(count: u64, bytes: usize) -> String {
    let mut body = format!("{count} ");
    body.extend(std::iter::repeat_n('x', bytes.saturating_sub(body.len())));
    body
}

/// Reads which message to somebody a body belongs to.
pub(crate) fn count_in(body: &str) -> Option<u64> {
    body.split(' ').next()?.parse().ok()
}

fn action_of(line: &[u8]) -> &[u8] {
    const START: &[u8] = br#"{"action":""#;
    let Some(rest) = line.strip_prefix(START) else { return b"" };
    memchr::memchr(b'"', rest).map_or(b"".as_slice(), |end| &rest[..end])
}

fn number(line: &[u8], key: &[u8]) -> Option<u64> {
    let rest = &line[memmem::rfind(line, key)? + key.len()..];
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&rest[..length]).ok()?.parse().ok()
}

fn text<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a str> {
    let rest = &line[memmem::find(line, key)? + key.len()..];
    str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let cases = [
            (r#"{"action":"login","status":"BUSY","retry_after":1}"#, Word::Login("BUSY")),
            (r#"{"action":"message","id":"1","status":"SUCCESS"}"#, Word::Message("SUCCESS")),
            (
                r#"{"action":"broadcast","status":"SUCCESS","n_sent":12,"n_blocked":0}"#,
                Word::Broadcast("SUCCESS", 12),
            ),
            (
                r#"{"action":"receive_message","from":"a","message":"7 xx","number":3,"id":"q"}"#,
                Word::Mail(Mail { number: 3, body: "7 xx" }),
            ),
            (r#"{"action":"error","status":"BAD_REQUEST"}"#, Word::Complaint("BAD_REQUEST")),
            (r#"{"action":"login_broadcast","from":"a","message":""}"#, Word::Other),
            ("", Word::Other),
            (r#"{"action":"login"#, Word::Other),
            (r#"{"action":"login"}"#, Word::Login("")),
        ];
        for (line, word) in cases {
            assert_eq!(Word::of(line.as_bytes()), word, "{line}");
        }
        let cut = Word::of(br#"{"action":"receive_message","message":"x"}"#);
        assert!(matches!(cut, Word::Complaint(_)));
    }

    #[test]
    fn bodies_carry_their_count() {
        let body = numbered_body(42, 100);
        assert_eq!((body.len(), count_in(&body)), (100, Some(42)));
        assert_eq!(count_in(&numbered_body(123_456, 3)), Some(123_456));
        assert_eq!(count_in("hello you"), None);
    }
}
