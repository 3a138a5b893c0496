//! What keeps a row from being run, as a sentence.

use std::fmt;

/// Something that should have worked and did not.
#[derive(Clone, Debug)]
pub struct Trouble(pub String);

/// The result of everything here.
pub type Outcome<T> = Result<T, Trouble>;

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

/// Makes trouble of a sentence.
pub(crate) fn trouble<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Trouble(what.into()))
}

/// Says what was being done when an error came.
pub(crate) trait While<T> {
    /// Adds what was being done.
    fn during(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> While<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Trouble(format!("{what}: {error}")))
    }
}

impl<T> While<T> for Option<T> {
    fn during(self, what: impl fmt::Display) -> Outcome<T> {
        self.ok_or_else(|| Trouble(what.to_string()))
    }
}
