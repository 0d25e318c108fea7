//! What goes wrong: errors that say so, and what must not be.

use std::fmt;

use diskport::Error;

/// Why something did not pass.
#[derive(Debug)]
pub enum Failure {
    /// It said so itself.
    Said(Error),
    /// It passed, and the disk could not be read afterwards.
    Unread(Error),
    /// It passed, and did something wrong.
    Wrong(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Said(error)
    }
}

impl Failure {
    pub fn after(self, op: &str) -> Self {
        match self {
            Self::Wrong(what) => Self::Wrong(format!("after {op}: {what}")),
            said => said,
        }
    }

    /// The error that a failing storage leads to; anything else is a failure of the test.
    pub fn storage_error(self) -> Result<Error, String> {
        match self {
            Self::Said(error @ Error::Io { .. }) | Self::Unread(error @ Error::Io { .. }) => Ok(error),
            other => Err(format!("not an input or output error: {other}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(error) | Self::Unread(error) => write!(f, "{error}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.to_string()
    }
}
