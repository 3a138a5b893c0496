//! Files that people share, as far as the server has to do with them: what one is called, who may see
//! it, and what the sharer's device signs. The bytes never pass the server.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::keys::{FileHash, Signature};
use crate::limits::SHARED_NAME_BYTES_MAX;
use crate::names::Name;

/// What a device signs begins with this, so that the signature means nothing elsewhere.
const SIGNED: &str = "whoelse-file-1";

/// Text that no file can be shared under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it needs 1 to {SHARED_NAME_BYTES_MAX} bytes, without '/' and control characters")]
pub struct SharedNameError;

/// What its sharer calls a file: 1 to [`SHARED_NAME_BYTES_MAX`] bytes without `/` and control
/// characters, kept as it was signed.
///
/// It is harmless in a protocol, not on a disk: see [`crate::FileName`] for that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct SharedName(Box<str>);

impl SharedName {
    /// Makes a name of a text.
    ///
    /// # Errors
    /// When no file can be shared under it.
    pub fn new(text: &str) -> Result<Self, SharedNameError> {
        let is_sound = (1..=SHARED_NAME_BYTES_MAX).contains(&text.len())
            && !text.chars().any(|character| character == '/' || character.is_control());
        is_sound.then(|| Self(text.into())).ok_or(SharedNameError)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Box<str>> for SharedName {
    type Error = SharedNameError;

    fn try_from(text: Box<str>) -> Result<Self, SharedNameError> {
        Self::new(&text)
    }
}

impl From<SharedName> for Box<str> {
    fn from(name: SharedName) -> Self {
        name.0
    }
}

impl fmt::Display for SharedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Text as searches compare it: composed (NFC), so that two spellings are one, and in lower case.
#[must_use]
pub fn folded(text: &str) -> String {
    text.nfc().collect::<String>().to_lowercase()
}

/// Who may see a share, apart from the one who shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Everyone whom the sharer has not blocked.
    Everyone,
    /// Of these only those, as named and in the order they were named: 1 to
    /// [`crate::limits::SHARED_WITH_MAX`].
    People(Box<[Name]>),
}

impl Scope {
    /// Whether somebody is in it.
    #[must_use]
    pub fn includes(&self, name: &Name) -> bool {
        match self {
            Self::Everyone => true,
            Self::People(names) => names.contains(name),
        }
    }

    /// The names of the wire; none for everyone.
    #[must_use]
    pub fn names(&self) -> Option<&[Name]> {
        match self {
            Self::Everyone => None,
            Self::People(names) => Some(names),
        }
    }
}

/// The fields of `share`.
#[derive(Debug)]
pub struct Share<'a> {
    /// What is in the file.
    pub hash: FileHash,
    /// How long it is, in bytes: 1 to [`crate::limits::SHARED_BYTES_MAX`].
    pub size: u64,
    /// What it is called.
    pub name: SharedName,
    /// Who may see it: 1 to [`crate::limits::SHARED_WITH_MAX`] names, or everyone.
    pub with: Option<Vec<Cow<'a, str>>>,
    /// By the device that shares it, of [`share_text`]; the server does not check it.
    pub signature: Signature,
}

/// What the sharer's device signs, so that no server can choose what a file of that name holds or who
/// may have it: these texts with a zero byte between each two. The `server` is the one of the login's
/// answer, the owner the one who shares; the names of the scope are joined by one space, none are
/// everyone.
#[must_use]
pub fn share_text(
    server: &str,
    owner: &Name,
    hash: &FileHash,
    size: u64,
    name: &SharedName,
    with: &Scope,
) -> Vec<u8> {
    let with: Vec<&str> = with.names().unwrap_or_default().iter().map(Name::as_str).collect();
    let (hash, size, with) = (hash.to_string(), size.to_string(), with.join(" "));
    [SIGNED, server, owner.as_str(), &hash, &size, name.as_str(), &with].join("\0").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_shared_under_a_name_that_any_protocol_can_carry() {
        for name in ["a", "film.mkv", "..", "-rf", "größe (1).txt", &"x".repeat(255), "back\\slash"]
        {
            assert_eq!(SharedName::new(name).unwrap().as_str(), name);
        }
        for name in
            ["", "a/b", "/", "a\nb", "a\0", "\u{1b}[2J", "\u{7f}", "\u{9b}", &"x".repeat(256)]
        {
            assert_eq!(SharedName::new(name), Err(SharedNameError), "{name:?}");
        }
        let long = "é".repeat(128);
        assert_eq!(SharedName::new(&long), Err(SharedNameError), "bytes count, not characters");
        assert!(serde_json::from_str::<SharedName>("\"a/b\"").is_err());
    }

    #[test]
    fn searches_know_no_case_and_one_spelling() {
        assert_eq!(folded("Größe É"), "größe é");
        assert_eq!(folded("e\u{301}"), folded("\u{c9}"));
    }

    #[test]
    fn what_is_signed_stays_what_it_is() {
        let name = |text| Name::new(text).unwrap();
        let with = Scope::People([name("luke"), name("yoda")].into());
        let (hash, file) = (FileHash([4; 32]), SharedName::new("film.mkv").unwrap());
        let text = share_text("s1", &name("hans"), &hash, 500, &file, &with);
        let expected = b"whoelse-file-1\0s1\0hans\0BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ\x00500\0film.mkv\0luke yoda";
        assert_eq!(text, expected);
        let text = share_text("s1", &name("hans"), &hash, 500, &file, &Scope::Everyone);
        assert!(text.ends_with(b"\0film.mkv\0"));
        assert!(with.includes(&name("yoda")) && !with.includes(&name("hans")));
        assert!(Scope::Everyone.includes(&name("hans")) && Scope::Everyone.names().is_none());
    }
}
