//! What is noticed on the way: damage is told and passed over, while a disk that cannot be read ends the inspection.

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::{Error, Result};

/// Collects warnings, each with the part of the disk that it is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    all: Rc<RefCell<Vec<String>>>,
    about: String,
}

impl Notes {
    /// The same collection, for what is about a part.
    pub fn about(&self, part: &str) -> Self {
        Self { all: self.all.clone(), about: format!("{}{part}: ", self.about) }
    }

    pub fn add(&self, message: impl AsRef<str>) {
        self.all.borrow_mut().push(format!("{}{}", self.about, message.as_ref()));
    }

    /// What was read of `part`; nothing, and a warning, when it is damaged or cannot be understood.
    pub fn told<T: Default>(&self, part: &str, read: Result<T>) -> Result<T> {
        match read {
            Err(e @ (Error::Io { .. } | Error::Cancelled | Error::Incomplete(_))) => Err(e),
            Err(e) => {
                self.add(format!("{part}: {e}"));
                Ok(T::default())
            }
            read => read,
        }
    }

    pub fn into_vec(self) -> Vec<String> {
        self.all.take()
    }
}
