//! Errors that are made of others, and others of them.

use std::io;

use super::{Defect, Error, ErrorClass};
use crate::leaves::UnknownFormat;

impl Error {
    /// Says in which part of the disk a damage is, or what breaks a rule; other errors stay as they are.
    pub(crate) fn within(self, part: impl Into<String>) -> Self {
        match self {
            Error::Damaged { .. } => Error::Within { part: part.into(), error: Box::new(self) },
            Error::NotConvertible { rule, reason } => {
                Error::NotConvertible { rule, reason: format!("{}: {reason}", part.into()) }
            }
            other => other,
        }
    }

    /// What a storage said of `file`; an error of this crate's that it passed on stays what it is.
    pub(crate) fn io(operation: &'static str, file: impl Into<String>, error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|error| Error::Io { operation, file: file.into(), error })
    }
}

impl From<UnknownFormat> for Error {
    fn from(unknown: UnknownFormat) -> Self {
        Error::Unsupported { what: unknown.to_string() }
    }
}

impl From<Box<Defect>> for Error {
    fn from(defect: Box<Defect>) -> Self {
        Error::Defect(defect)
    }
}

/// For those who know errors of input and output alone: of the same kind as the storage's, or the class's, with this error
/// inside.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (&error, error.class()) {
            (Error::Io { error, .. }, _) => error.kind(),
            (Error::OutputExists { .. }, _) => io::ErrorKind::AlreadyExists,
            (_, ErrorClass::Usage) => io::ErrorKind::InvalidInput,
            (_, ErrorClass::Refused) => io::ErrorKind::InvalidData,
            // Not "interrupted" where it was cancelled: what is interrupted is tried again.
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
