//! Stopping an operation from another thread.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often a waiting thread looks whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(10);
/// How long work that was asked to stop may take to tidy up before it is left behind.
const GRACE: Duration = Duration::from_millis(50);

/// Stops an operation from another thread, or from a signal handler. A clone is the same token.
///
/// An operation that was asked to stop returns within a tenth of a second, also when a read or a write of it hangs: the
/// thread that waits for it is left behind, and ends when the system answers. An output is gone by then.
/// Only a sync, and a write into a pipe of the caller's own, are waited for.
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

    /// Waits until `end`, or until it was asked to stop.
    pub(crate) fn wait_until(&self, end: Instant) -> Result<()> {
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Does `work` on a thread of its own, which is left behind when it does not end soon after it was asked to stop.
    ///
    /// # Errors
    ///
    /// What `work` gives rise to, [`Error::Cancelled`], and [`Error::Io`] when no thread can be started.
    pub fn attend<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (done, result) = channel();
        let worker = std::thread::Builder::new().spawn(move || {
            // Nobody listens any more when it was left behind.
            let _ = done.send(work());
        });
        let worker = worker.map_err(|e| Error::io("start", "a thread", e))?;
        let mut asked = None;
        loop {
            match result.recv_timeout(LOOK) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => {
                    // It ended without a word: its panic becomes ours.
                    return match worker.join() {
                        Err(panic) => std::panic::resume_unwind(panic),
                        Ok(()) => Err(Error::Cancelled),
                    };
                }
                Err(RecvTimeoutError::Timeout) if self.is_cancelled() => {
                    let since: &mut Instant = asked.get_or_insert_with(Instant::now);
                    if since.elapsed() >= GRACE {
                        return Err(Error::Cancelled);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// A pipe into which nothing more is written once the token is cancelled: a run of zeros can be long.
pub(crate) struct Stoppable<W> {
    pub(crate) out: W,
    pub(crate) cancel: Cancel,
}

impl<W: Write> Write for Stoppable<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        self.out.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_left_behind() {
        let cancel = Cancel::new();
        assert_eq!(cancel.attend(|| Ok(7)).ok(), Some(7));
        let token = cancel.clone();
        let begun = Instant::now();
        let result = cancel.attend(move || {
            token.cancel();
            std::thread::sleep(Duration::from_secs(5));
            Ok(())
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn a_panic_is_passed_on() {
        let work = || -> Result<()> { panic!("on purpose") };
        assert!(std::panic::catch_unwind(|| Cancel::new().attend(work)).is_err());
    }
}
