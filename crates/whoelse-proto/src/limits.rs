//! Every number of the protocol, each with the answer that is given when it is exceeded.
//!
//! Tunable rules (how long a lock lasts, how large a mailbox may grow) are the engine's `Rules`;
//! what stands here is fixed for everybody who speaks the protocol.

/// Longest frame before login, in bytes. A longer one is answered `BAD_REQUEST` and skipped.
pub const FRAME_BYTES_MAX_BEFORE_LOGIN: usize = 4 * 1024;

/// Longest frame after login, in bytes. A longer one is answered `BAD_REQUEST` and skipped.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Longest line a client accepts from a server, in bytes: a list of all names fits.
///
/// A longer one ends the connection.
pub const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Deepest nesting of objects and arrays in a frame. More is answered `BAD_REQUEST`.
pub const DEPTH_MAX: u32 = 16;

/// Most members of one object. More is answered `BAD_REQUEST`.
pub const MEMBERS_MAX: usize = 64;

/// Longest name, in characters. A longer one belongs to nobody: `USER_NOT_EXIST`.
pub const NAME_CHARS_MAX: usize = 32;

/// Longest `id` and `instance`, in bytes. A longer or empty one is answered `BAD_REQUEST`.
pub const ID_BYTES_MAX: usize = 64;

/// Most ids one `receipts` asks about, and most keys one `delivered` tells.
pub const RECEIPTS_MAX: usize = 256;

/// Longest card of a private link, in bytes. A longer one is answered `BAD_REQUEST`.
pub const CARD_BYTES_MAX: usize = 2 * 1024;

/// Longest file that can be shared, in bytes. One that is longer or empty is answered `BAD_REQUEST`.
pub const SHARED_BYTES_MAX: u64 = 1 << 40;

/// Longest name of a shared file, in bytes. A longer one is answered `BAD_REQUEST`.
pub const SHARED_NAME_BYTES_MAX: usize = 255;

/// Most people a file is shared with by name. More are answered `BAD_REQUEST`.
pub const SHARED_WITH_MAX: usize = 64;

/// Longest text that is searched for, in bytes. A longer one is answered `BAD_REQUEST`.
pub const SEARCH_BYTES_MAX: usize = 256;

/// Most files one `search_files` tells; `more` says that there are more.
pub const FOUND_FILES_MAX: usize = 100;

/// Most people one `sources` tells.
pub const FILE_SOURCES_MAX: usize = 64;

/// Longest password, in bytes. A longer one is answered `BAD_REQUEST`, and is refused on import.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// Shortest *new* password, in characters (NIST SP 800-63B). A shorter one is answered
/// `BAD_PASSWORD`; imported ones may be shorter.
pub const NEW_PASSWORD_CHARS_MIN: usize = 8;

/// Longest unknown action that is repeated in the answer, in bytes. A longer one is cut there.
pub const ACTION_BYTES_MAX: usize = 64;

/// How long a frame may take from its first byte to its last, in milliseconds.
///
/// Then the connection is told `BAD_REQUEST` and closed.
pub const FRAME_MS_MAX: u64 = 10_000;

/// How long a connection may be silent before login, in milliseconds. Then it is closed.
pub const SILENT_MS_MAX: u64 = 120_000;

/// Most connections that have not logged in. The oldest is closed for the newest.
pub const STRANGERS_MAX: usize = 512;

/// How long a TLS handshake, and the header of a proxy, may take from the first byte to the last, in
/// milliseconds. Then the connection is closed.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;

/// Longest part of a proxy's header (PROXY protocol v2) behind its 16 first bytes, in bytes. A
/// longer one closes the connection.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;

/// Most connections, unless the operator chooses another number. One more is answered
/// `TOO_MANY_CONNECTIONS` where plain text is spoken, and closed.
pub const CONNECTIONS_MAX: usize = 20_000;

/// Most connections of one source: an IPv4 address, or an IPv6 network of 64 bits. One more is
/// answered in the same way.
pub const SOURCE_CONNECTIONS_MAX: u32 = 256;

/// Most connections of one source that have not logged in. One more is answered in the same way.
pub const SOURCE_STRANGERS_MAX: u32 = 32;

/// Wrong proofs of a device on one connection; with the last of them it ends.
pub const WRONG_PROOFS_MAX: u32 = 8;

/// Most requests of one connection handled at one wake-up; then it is the others' turn.
pub const REQUESTS_PER_WAKE_UP: usize = 64;

/// Most bytes of answers and presence waiting for a reader. A slower reader is cut and loses
/// nothing but those: mail is kept.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Answers longer than this do not count towards [`OUTPUT_BYTES_MAX`], in bytes: nobody is cut for
/// what it asked and was given at once.
pub const LARGE_ANSWER_BYTES: usize = 16 * 1024;

/// Most bytes that wait for all readers together. Beyond, those for whom most waits are cut, and
/// lose nothing but answers and presence.
pub const OUTPUT_BYTES_MAX_IN_ALL: usize = 512 << 20;

/// Mail is handed to a connection in pages of about this many bytes, the next when it is written.
pub const MAIL_PAGE_BYTES: usize = 32 * 1024;

/// Pause between two objects for an original client, in milliseconds.
///
/// Such a client takes each `recv` for one object, so two of them must not share one.
pub const ORIGINAL_PAUSE_MS: u64 = 50;

/// How long mail written to a client that cannot acknowledge waits for a sign of life before it
/// counts as acknowledged, in milliseconds.
pub const SILENT_ACK_MS: u64 = 30_000;

const _: () = {
    assert!(FRAME_BYTES_MAX_BEFORE_LOGIN < FRAME_BYTES_MAX);
    assert!(FRAME_BYTES_MAX < OUTPUT_BYTES_MAX);
    assert!(CARD_BYTES_MAX * 6 < LARGE_ANSWER_BYTES); // a card counts as what it is: an answer
    assert!(PASSWORD_BYTES_MAX * 6 < FRAME_BYTES_MAX_BEFORE_LOGIN); // even when every byte is escaped
    assert!(MAIL_PAGE_BYTES <= OUTPUT_BYTES_MAX);
    assert!(LARGE_ANSWER_BYTES < OUTPUT_BYTES_MAX / 4);
    assert!(OUTPUT_BYTES_MAX < OUTPUT_BYTES_MAX_IN_ALL);
    assert!((SOURCE_STRANGERS_MAX as usize) < STRANGERS_MAX);
};
