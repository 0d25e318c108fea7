//! Watching a copy from another thread, and stopping it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// How far an operation has come. A clone is the same handle.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    inner: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    phase: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// A handle to give to an operation.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is being done: "copy", "verify", "compare", "hash"; empty before anything is.
    pub fn phase(&self) -> &'static str {
        *self.inner.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the virtual disk that are done in this phase.
    pub fn done(&self) -> u64 {
        self.inner.done.load(Ordering::Relaxed)
    }

    /// Bytes of the virtual disk in all; 0 while that is not known.
    pub fn total(&self) -> u64 {
        self.inner.total.load(Ordering::Relaxed)
    }

    /// From 0 to 100.
    pub fn percent(&self) -> f64 {
        match self.total() {
            0 => 0.0,
            total => self.done() as f64 / total as f64 * 100.0,
        }
    }

    pub(crate) fn begin(&self, phase: &'static str, total: u64) {
        *self.inner.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.inner.done.store(0, Ordering::Relaxed);
        self.inner.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn set_done(&self, done: u64) {
        self.inner.done.store(done, Ordering::Relaxed);
    }
}

/// Stops an operation from another thread, or from a signal handler. A clone is the same token.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    cancelled: Arc<AtomicBool>,
}

impl Cancel {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the operation to stop; it ends with [`Error::Cancelled`] and leaves nothing behind.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
