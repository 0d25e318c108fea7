//! A storage of the caller's own, into which nothing more is written once it was given back.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use crate::storage::forward::{forward_reads, forward_writes};
use crate::storage::{FileIdentity, Fingerprint, ReadAt, WriteAt};

/// How long a write that is under way is waited for.
const GRACE: Duration = Duration::from_millis(20);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(1);

/// A storage with a gate before its writes, which a copy that was left behind finds closed.
pub(super) struct Gate {
    storage: Arc<dyn WriteAt>,
    is_closed: AtomicBool,
    /// Held shared by every write.
    passage: RwLock<()>,
}

impl Gate {
    pub(super) fn before(storage: Arc<dyn WriteAt>) -> Arc<Self> {
        Arc::new(Self { storage, is_closed: AtomicBool::new(false), passage: RwLock::new(()) })
    }

    /// Lets no write pass from now on. One that is under way is waited for, unless it hangs in the storage.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        while self.passage.try_write().is_err() && begun.elapsed() < GRACE {
            std::thread::sleep(LOOK);
        }
    }

    fn pass(&self) -> io::Result<RwLockReadGuard<'_, ()>> {
        let passage = self.passage.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(io::Error::other("the copy was cancelled"));
        }
        Ok(passage)
    }
}

impl ReadAt for Gate {
    forward_reads!(self => self.storage);
}

impl WriteAt for Gate {
    forward_writes!(self => self.storage, self.pass()?);
}
