//! The one error of the bench: a line that says what went wrong, for the person who started it.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// What went wrong, in one line.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// Makes a failure from a sentence without a final stop.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Failure {}

/// Turns errors of the system into a [`Failure`] that says what was being attempted.
pub(crate) trait Explain<T> {
    /// Puts `attempt` before the error's own words.
    fn explain(self, attempt: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Display> Explain<T> for Result<T, E> {
    fn explain(self, attempt: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("{}: {error}", attempt())))
    }
}
