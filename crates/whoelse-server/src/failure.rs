//! What ends a command of the operator, and what to do about it.

use std::fmt;

/// A failure for a person to read: what happened, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its kind, which decides the exit code.
    pub kind: Kind,
    /// What happened, without a full stop.
    pub what: String,
    /// What to do about it, as a sentence.
    pub hint: String,
}

/// Kinds of failures; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something that was asked for cannot be had now: a port, a lock, a name.
    Refused,
    /// A file the operator wrote cannot be read or understood.
    Configuration,
    /// The disk failed, or what is on it is damaged.
    Storage,
}

impl Failure {
    /// Makes a failure.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: hint.into() }
    }

    /// The exit code: 1 refused, 7 configuration, 74 storage (as in `sysexits.h`).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Refused => 1,
            Kind::Configuration => 7,
            Kind::Storage => 74,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hints come from many places, some in lower case; here each begins a sentence.
        let mut hint = self.hint.chars();
        let first = hint.next().into_iter().flat_map(char::to_uppercase);
        write!(formatter, "{}. {}{}", self.what, first.collect::<String>(), hint.as_str())
    }
}

impl std::error::Error for Failure {}
