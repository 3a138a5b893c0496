//! The first bytes of a connection say what is spoken.
//!
//! Only JSON is understood so far. A browser, and whoever wants TLS inside of TLS, are told so in
//! their own words, and nothing they send is taken for a request.

/// What the first bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// JSON, or something the splitter will complain about.
    Json,
    /// Something else; to be answered with these bytes, and closed.
    Foreign(&'static [u8]),
    /// Too few bytes to tell.
    Unclear,
}

/// The first byte of a TLS client (RFC 8446, section 5.1).
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;

const VERBS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI ",
];

const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 77\r\nConnection: close\r\n\r\n\
    This is a whoelse server. It speaks JSON: use `whoelse client` to talk here.\n";

/// A fatal alert, `handshake_failure` (RFC 8446, section 6).
const TLS_ANSWER: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];

/// Tells from the first bytes of a connection what is spoken.
pub(crate) fn sniff(bytes: &[u8]) -> Speech {
    match bytes.first() {
        None => Speech::Unclear,
        Some(&TLS_HANDSHAKE) => Speech::Foreign(TLS_ANSWER),
        Some(b'A'..=b'Z') => {
            if VERBS.iter().any(|verb| bytes.starts_with(verb)) {
                Speech::Foreign(HTTP_ANSWER)
            } else if VERBS.iter().any(|verb| verb.starts_with(bytes)) {
                Speech::Unclear
            } else {
                Speech::Json
            }
        }
        Some(_) => Speech::Json,
    }
}

/// Whether these bytes begin an HTTP request for something; none if they are too few to tell.
///
/// The end of the connection comes as no more bytes than before, and is somebody else's to notice.
pub(crate) fn may_be_get(bytes: &[u8]) -> Option<bool> {
    const GET: &[u8] = VERBS[0];
    if bytes.starts_with(GET) {
        Some(true)
    } else if !bytes.is_empty() && GET.starts_with(bytes) {
        None
    } else {
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_from_a_word_that_begins_like_one() {
        for (bytes, expected) in [
            (b"GET ".as_slice(), Some(true)),
            (b"G", None),
            (b"GET", None),
            (b"GETS", Some(false)),
            (b"{\"ac", Some(false)),
            (b"", Some(false)),
        ] {
            assert_eq!(may_be_get(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_first_bytes_decide() {
        for (bytes, speech) in [
            (b"".as_slice(), Speech::Unclear),
            (b"{", Speech::Json),
            (b" ", Speech::Json),
            (b"hello", Speech::Json),
            (b"GE", Speech::Unclear),
            (b"GEX", Speech::Json),
            (b"GET / HTTP/1.1\r\n", Speech::Foreign(HTTP_ANSWER)),
            (b"POST ", Speech::Foreign(HTTP_ANSWER)),
            (b"\x16\x03\x01", Speech::Foreign(TLS_ANSWER)),
        ] {
            assert_eq!(sniff(bytes), speech, "{bytes:?}");
        }
    }

    #[test]
    fn the_http_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(HTTP_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
