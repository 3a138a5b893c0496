//! What the load generator says to each program, and how it recognises the answers.
//!
//! Nothing is parsed: a look at the start of a line says what it is, and everything needed inside
//! is found by searching for its key. Bodies of ours hold no quotation mark, so a key that is found
//! cannot be part of one.

use std::hash::{BuildHasher, RandomState};

use memchr::memmem;

/// Length of every message's body.
pub(crate) const BODY_BYTES: usize = 100;

/// Digits of a message's id, enough for one every nanosecond for three months.
const ID_DIGITS: usize = 16;

/// The language of a program under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// R: `destination payload`.
    Bare,
    /// J: our JSON without ids.
    Json,
    /// whoelse: our JSON with ids, and numbers to acknowledge.
    Whoelse,
    /// whoelse, from a device that makes private links.
    Device,
}

/// The meaning of a line while logging in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginAnswer {
    /// Logged in.
    Welcome,
    /// Too many are being checked: to be said again.
    Busy,
    /// Refused for good.
    Refused,
    /// About something else.
    Unrelated,
}

/// The meaning of a line under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A message for the one who reads it.
    Delivery,
    /// The server has taken a message of the one who reads it.
    Confirmation,
    /// The server has refused something.
    Refusal,
    /// Presence and whatever else does not concern the load.
    Unrelated,
}

impl Dialect {
    /// Says whether the server confirms messages to their sender.
    pub(crate) fn confirms(self) -> bool {
        self != Self::Bare
    }

    /// Says whether receivers acknowledge what they got.
    pub(crate) fn acknowledges(self) -> bool {
        self == Self::Whoelse
    }

    /// Writes the line with which a person logs in.
    pub(crate) fn login_line(self, person: usize) -> String {
        let (name, password) = (name_of(person), password_of(person));
        match self {
            Self::Bare => format!("{person}\n"),
            Self::Json => format!("{{\"action\":\"login\",\"username\":\"{name}\"}}\n"),
            Self::Whoelse => format!(
                "{{\"action\":\"login\",\"username\":\"{name}\",\"password\":\"{password}\",\
                 \"private_port\":0,\"protocol\":1,\"instance\":\"{}\"}}\n",
                random_text(person)
            ),
            Self::Device => format!(
                "{{\"action\":\"login\",\"username\":\"{name}\",\"password\":\"{password}\",\
                 \"protocol\":1,\"instance\":\"{}\",\"device_key\":\"{}\",\"links\":1}}\n",
                random_text(person),
                key_of(person)
            ),
        }
    }

    /// Reads the answer to a login.
    pub(crate) fn login_answer(self, line: &[u8]) -> LoginAnswer {
        if self == Self::Bare {
            return if line == b"ok" { LoginAnswer::Welcome } else { LoginAnswer::Refused };
        }
        if line.starts_with(br#"{"action":"error""#) {
            return LoginAnswer::Refused;
        }
        if !line.starts_with(br#"{"action":"login","#) {
            return LoginAnswer::Unrelated;
        }
        match status(line) {
            Some(b"SUCCESS") => LoginAnswer::Welcome,
            Some(b"BUSY") => LoginAnswer::Busy,
            _ => LoginAnswer::Refused,
        }
    }

    /// Makes the line that sends a message to a person.
    pub(crate) fn message_line(self, to: usize) -> MessageLine {
        let (name, body) = (name_of(to), "x".repeat(BODY_BYTES));
        let zeros = "0".repeat(ID_DIGITS);
        let text = match self {
            Self::Bare => format!("{to} {body}\n"),
            Self::Json => {
                format!("{{\"action\":\"message\",\"user\":\"{name}\",\"message\":\"{body}\"}}\n")
            }
            Self::Whoelse | Self::Device => format!(
                "{{\"action\":\"message\",\"id\":\"{zeros}\",\"user\":\"{name}\",\
                 \"message\":\"{body}\"}}\n"
            ),
        };
        let id_at = (self == Self::Whoelse)
            .then(|| text.find(&zeros).expect("the id has just been put into the line"));
        MessageLine { bytes: text.into_bytes(), id_at }
    }

    /// Says what a line under load means.
    pub(crate) fn meaning(self, line: &[u8]) -> Meaning {
        if self == Self::Bare || line.starts_with(br#"{"action":"receive_message","#) {
            return Meaning::Delivery;
        }
        if line.starts_with(br#"{"action":"message","#) {
            let success =
                line.ends_with(br#""status":"SUCCESS"}"#) || status(line) == Some(b"SUCCESS");
            return if success { Meaning::Confirmation } else { Meaning::Refusal };
        }
        let refusals: [&[u8]; 3] =
            [br#"{"action":"error""#, br#"{"action":"ack""#, br#"{"action":"timeout""#];
        if refusals.iter().any(|start| line.starts_with(start)) {
            Meaning::Refusal
        } else {
            Meaning::Unrelated
        }
    }
}

/// A line that is sent again and again, each time under the next id where there is one.
#[derive(Debug)]
pub(crate) struct MessageLine {
    bytes: Vec<u8>,
    id_at: Option<usize>,
}

impl MessageLine {
    /// Appends the line and makes the next id.
    pub(crate) fn append_to(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        if let Some(start) = self.id_at {
            count_up(&mut self.bytes[start..start + ID_DIGITS]);
        }
    }
}

/// Finds the number of a delivery; remembers where, because it stays in the same place.
#[derive(Debug, Default)]
pub(crate) struct NumberFinder {
    found_at: usize,
}

impl NumberFinder {
    /// Reads the number in a line.
    pub(crate) fn find(&mut self, line: &[u8]) -> Option<u64> {
        const KEY: &[u8] = br#""number":"#;
        if !line.get(self.found_at..).is_some_and(|rest| rest.starts_with(KEY)) {
            self.found_at = memmem::rfind(line, KEY)?;
        }
        let digits = &line[self.found_at + KEY.len()..];
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        str::from_utf8(&digits[..length]).ok()?.parse().ok()
    }
}

/// Writes the line that acknowledges every delivery up to a number.
pub(crate) fn append_acknowledgement(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"action\":\"ack\",\"number\":{number}}}\n").as_bytes());
}

/// Names a person; all names have the same length, so that all messages do.
pub(crate) fn name_of(person: usize) -> String {
    format!("u{person:04}")
}

/// Gives a person's password.
pub(crate) fn password_of(person: usize) -> String {
    format!("p{person}")
}

/// Makes up the public key of a person's device; nobody proves anything with it.
pub(crate) fn key_of(person: usize) -> String {
    format!("{person:0>42}A")
}

/// Finds the status in an answer.
pub(crate) fn status(line: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = br#""status":""#;
    let start = memmem::find(line, KEY)? + KEY.len();
    let length = memchr::memchr(b'"', &line[start..])?;
    Some(&line[start..start + length])
}

fn count_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}

/// Thirty-two hexadecimal digits, different at every call; no secret.
pub(crate) fn random_text(seed: usize) -> String {
    let (first, second) = (RandomState::new(), RandomState::new());
    format!("{:016x}{:016x}", first.hash_one(seed), second.hash_one(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_known_by_their_start() {
        let cases: [(&[u8], Meaning); 8] = [
            (br#"{"action":"receive_message","from":"a","message":"x"}"#, Meaning::Delivery),
            (br#"{"action":"message","status":"SUCCESS"}"#, Meaning::Confirmation),
            (br#"{"action":"message","status":"SUCCESS","id":"1"}"#, Meaning::Confirmation),
            (br#"{"action":"message","id":"1","status":"MAILBOX_FULL"}"#, Meaning::Refusal),
            (br#"{"action":"ack","status":"BAD_NUMBER"}"#, Meaning::Refusal),
            (br#"{"action":"error","status":"BAD_REQUEST"}"#, Meaning::Refusal),
            (br#"{"action":"login_broadcast","from":"a","message":""}"#, Meaning::Unrelated),
            (b"", Meaning::Unrelated),
        ];
        for (line, meaning) in cases {
            assert_eq!(Dialect::Whoelse.meaning(line), meaning, "{}", line.escape_ascii());
        }
        assert_eq!(Dialect::Bare.meaning(b"xxx"), Meaning::Delivery);
    }

    #[test]
    fn login_answers_are_told_apart() {
        let answer = |line: &str| Dialect::Whoelse.login_answer(line.as_bytes());
        let success = r#"{"action":"login","status":"SUCCESS","protocol":1,"server":"ab"}"#;
        assert_eq!(answer(success), LoginAnswer::Welcome);
        let busy = r#"{"action":"login","status":"BUSY","retry_after":1}"#;
        assert_eq!(answer(busy), LoginAnswer::Busy);
        let wrong = r#"{"action":"login","status":"INVALID_PASSWORD"}"#;
        assert_eq!(answer(wrong), LoginAnswer::Refused);
        let presence = r#"{"action":"login_broadcast","from":"u0001","message":""}"#;
        assert_eq!(answer(presence), LoginAnswer::Unrelated);
        assert_eq!(Dialect::Bare.login_answer(b"ok"), LoginAnswer::Welcome);
    }

    #[test]
    fn numbers_are_found_wherever_they_move() {
        let mut finder = NumberFinder::default();
        assert_eq!(finder.find(br#"{"message":"x","number":7,"id":"q"}"#), Some(7));
        assert_eq!(finder.find(br#"{"message":"x","number":4321,"id":"q"}"#), Some(4321));
        assert_eq!(finder.find(br#"{"number":18446744073709551615}"#), Some(u64::MAX));
        assert_eq!(finder.find(br#"{"message":"no"}"#), None);
        assert_eq!(finder.find(br#"{"number":"text"}"#), None);
    }

    #[test]
    fn every_message_has_its_own_id_and_the_same_length() {
        let mut line = Dialect::Whoelse.message_line(3);
        let mut out = Vec::new();
        for _ in 0..11 {
            line.append_to(&mut out);
        }
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains(r#""id":"0000000000000000","user":"u0003""#));
        assert!(lines[10].contains(r#""id":"0000000000000010""#));
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
        assert!(lines[0].contains(&format!("\"{}\"", "x".repeat(BODY_BYTES))));
    }

    #[test]
    fn counting_carries() {
        let mut digits = *b"0199";
        count_up(&mut digits);
        assert_eq!(&digits, b"0200");
        let mut digits = *b"9999";
        count_up(&mut digits);
        assert_eq!(&digits, b"0000");
    }
}
