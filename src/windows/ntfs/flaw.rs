//! What is wrong with a structure, before it is known where that lies.

use crate::error::Error;

#[derive(Debug)]
pub(super) struct Flaw {
    pub expected: String,
    pub found: String,
}

pub(super) fn flaw(expected: impl Into<String>, found: impl Into<String>) -> Flaw {
    Flaw { expected: expected.into(), found: found.into() }
}

impl Flaw {
    pub fn at(self, structure: &'static str, offset: u64) -> Error {
        let Flaw { expected, found } = self;
        Error::Damaged { structure, offset, expected, found }
    }
}

/// The error for a file of a kind that is not taken.
pub(super) fn refused(reason: &str) -> Error {
    Error::Layout { reason: reason.to_owned() }
}
