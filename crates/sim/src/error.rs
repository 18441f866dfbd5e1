//! [`SimError`]: why a run could not go on.

use std::error::Error;

/// A run could not go on: something is broken that the scenario did not break on purpose.
///
/// The simulator reports to a person, so it says what it tried and carries what lies beneath.
#[derive(Debug, thiserror::Error)]
#[error("{what}{}", .detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
pub struct SimError {
    /// What was tried.
    pub what: &'static str,
    /// What was seen instead.
    pub detail: Option<String>,
    /// What lies beneath.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl SimError {
    /// Makes an error from a sentence alone.
    pub fn new(what: &'static str) -> Self {
        Self { what, detail: None, source: None }
    }

    /// Makes an error with what was seen.
    pub fn with(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, detail: Some(detail.into()), source: None }
    }

    /// Returns the error and everything beneath it on one line.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            line.push_str(": ");
            line.push_str(&error.to_string());
            next = error.source();
        }
        line
    }
}

/// Says what was tried when a call of another crate failed.
pub trait Trying<T> {
    /// Wraps the error.
    ///
    /// # Errors
    ///
    /// [`SimError`] with the error as its source.
    fn trying(self, what: &'static str) -> Result<T, SimError>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Trying<T> for Result<T, E> {
    fn trying(self, what: &'static str) -> Result<T, SimError> {
        self.map_err(|error| SimError { what, detail: None, source: Some(error.into()) })
    }
}
