//! Names of people: what may be one, and when two look alike.
//!
//! Names compare exactly, case included. Only a *new* name must in addition be told apart from
//! the existing ones by a person who reads it, which is what [`Name::looks_like`] is for.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use precis_core::profile::PrecisFastInvocation;
use precis_profiles::UsernameCaseMapped;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton;

use crate::limits::NAME_CHARS_MAX;

/// The name of a person: 1 to 32 characters without white space or control characters.
///
/// A copy is cheap: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name needs at least one character")]
    Empty,
    /// More than [`NAME_CHARS_MAX`] characters.
    #[error("a name has at most {NAME_CHARS_MAX} characters")]
    TooLong,
    /// White space would make commands ambiguous.
    #[error("a name holds no spaces")]
    Space,
    /// Control characters would reach terminals.
    #[error("a name holds no control characters")]
    Control,
    /// Characters that RFC 8265 does not allow in new names, such as emoji or invisible ones.
    #[error("a new name is made of letters, digits and simple punctuation")]
    Letters,
    /// It could be taken for punctuation of what is shown around it.
    #[error("a new name begins with a letter or a digit and does not end with a colon")]
    Edges,
    /// Letters of several scripts, which is how look-alikes are made.
    #[error("a new name is written in one script only")]
    Scripts,
}

impl Name {
    /// Makes a name of a text.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.chars().count() > NAME_CHARS_MAX {
            return Err(NameError::TooLong);
        }
        if text.chars().any(char::is_whitespace) {
            return Err(NameError::Space);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        Ok(Self(text.into()))
    }

    /// Makes a name for a new account, which must be readable beyond doubt (RFC 8265, UTS 39).
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new_account(text: &str) -> Result<Self, NameError> {
        let name = Self::new(text)?;
        if !text.starts_with(char::is_alphanumeric) || text.ends_with(':') {
            return Err(NameError::Edges);
        }
        let mapped = UsernameCaseMapped::enforce(text).map_err(|_| NameError::Letters)?;
        if mapped.nfc().any(is_combining_mark) {
            return Err(NameError::Letters);
        }
        if !mapped.as_ref().is_single_script() {
            return Err(NameError::Scripts);
        }
        Ok(name)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether a person could take one name for the other: they differ in case only, or, when
    /// one of them is not plain ASCII, have the same look-alike skeleton (UTS 39).
    ///
    /// Among ASCII names skeletons are not compared: they would take `modern` and `modem` for one.
    #[must_use]
    pub fn looks_like(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.case_mapped(), other.case_mapped());
        mine == theirs
            || !(mine.is_ascii() && theirs.is_ascii()) && skeleton(&mine).eq(skeleton(&theirs))
    }

    fn case_mapped(&self) -> String {
        match UsernameCaseMapped::enforce(self.as_str()) {
            Ok(mapped) => mapped.into_owned(),
            Err(_) => self.as_str().to_lowercase().nfc().collect(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for text in ["hans", "Yoda", "o'neill", "名前", "x", "a.b-c_d", "жанна"] {
            assert!(Name::new_account(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn names_that_break_a_rule_are_refused_with_that_rule() {
        let long = "a".repeat(33);
        for (text, error) in [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong),
            ("two words", NameError::Space),
            ("tab\there", NameError::Space),
            ("bell\u{7}", NameError::Control),
            ("c1\u{9b}", NameError::Control),
        ] {
            assert_eq!(Name::new(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn new_names_face_the_stricter_rules() {
        for (text, error) in [
            ("zero\u{200b}width", NameError::Letters),
            ("smile😀", NameError::Letters),
            ("*", NameError::Edges),
            ("-x", NameError::Edges),
            ("a:", NameError::Edges),
            ("aliсe", NameError::Scripts), // the fourth letter is Cyrillic
            ("i\u{307}", NameError::Letters),
        ] {
            assert_eq!(Name::new_account(text), Err(error), "{text:?}");
            assert!(Name::new(text).is_ok(), "imported names face no such rule: {text:?}");
        }
    }

    #[test]
    fn names_that_look_alike_are_told() {
        let alike =
            |one: &str, other: &str| Name::new(one).unwrap().looks_like(&Name::new(other).unwrap());
        assert!(alike("Hans", "hans"));
        assert!(!alike("modern", "modem"));
        assert!(!alike("hans", "luke"));
        assert!(alike("раураӏ", "paypal"), "all Cyrillic against all Latin");
    }
}
