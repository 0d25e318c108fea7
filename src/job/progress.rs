//! Watching a copy from another thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The rate is that of the time since then: long enough to be steady, short enough to follow the disk.
const WINDOW: Duration = Duration::from_secs(5);
/// How far apart the readings are that the rate is taken from.
const READING: Duration = Duration::from_millis(100);

/// How far an operation has come. A clone is the same handle.
///
/// ```
/// use diskport::copy::Copy;
/// use diskport::job::Progress;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// let progress = Progress::new();
/// Copy::new(&disk).progress(&progress).write_to(std::io::sink())?;
/// assert_eq!((progress.phase(), progress.percent()), ("copy", 100.0));
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Progress {
    inner: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    phase: Mutex<Phase>,
    done: AtomicU64,
    total: AtomicU64,
}

#[derive(Debug, Default)]
struct Phase {
    name: &'static str,
    /// When so much was done: the beginning, then what those who watch have read.
    readings: VecDeque<(Instant, u64)>,
}

impl Progress {
    /// A handle to give to an operation.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is being done: "survey", "resume", "copy", "verify", "sync", "compare", "hash"; empty before anything is.
    pub fn phase(&self) -> &'static str {
        self.lock().name
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
            total => (self.done() as f64 / total as f64 * 100.0).min(100.0),
        }
    }

    /// Bytes of the virtual disk that were done in a second, over the last five seconds of this phase as far as they
    /// were watched. Zeros that are passed over count as any other bytes.
    pub fn rate(&self) -> u64 {
        let (now, done) = (Instant::now(), self.done());
        let readings = &mut self.lock().readings;
        // The oldest reading of the window, or the last before it.
        while readings.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            readings.pop_front();
        }
        let Some(&(first, before)) = readings.front() else { return 0 };
        if readings.back().is_some_and(|(last, _)| now.duration_since(*last) >= READING) {
            readings.push_back((now, done));
        }
        let seconds = now.duration_since(first).as_secs_f64();
        if seconds > 0.0 { (done.saturating_sub(before) as f64 / seconds) as u64 } else { 0 }
    }

    /// The time that the rest of this phase takes at the present [rate](Self::rate); `None` when nothing can be said.
    pub fn time_left(&self) -> Option<Duration> {
        let (total, rate) = (self.total(), self.rate());
        let left = total.saturating_sub(self.done());
        (total > 0 && rate > 0).then(|| Duration::from_secs(left.div_ceil(rate)))
    }

    pub(crate) fn begin(&self, phase: &'static str, total: u64) {
        self.begin_at(phase, total, 0);
    }

    /// Begins a phase of which `done` bytes are done already.
    pub(crate) fn begin_at(&self, phase: &'static str, total: u64, done: u64) {
        let mut current = self.lock();
        *current = Phase { name: phase, readings: VecDeque::from([(Instant::now(), done)]) };
        self.inner.done.store(done, Ordering::Relaxed);
        self.inner.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn set_done(&self, done: u64) {
        self.inner.done.store(done, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.inner.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_window() {
        let progress = Progress::new();
        assert_eq!((progress.phase(), progress.percent(), progress.rate()), ("", 0.0, 0));
        assert_eq!(progress.time_left(), None);
        progress.begin("copy", 1000);
        let now = Instant::now();
        let Some(ago) = now.checked_sub(Duration::from_secs(20)) else { return };
        let at = |seconds| ago + Duration::from_secs(seconds);
        // 300 bytes in the first ten seconds, 30 a second since.
        progress.lock().readings = [(at(0), 0), (at(10), 300), (at(15), 450)].into();
        progress.set_done(600);
        assert!((29..=30).contains(&progress.rate()), "{}", progress.rate());
        assert_eq!(progress.lock().readings.front().map(|(_, done)| *done), Some(450));
        assert!(progress.time_left().is_some_and(|left| (13..=14).contains(&left.as_secs())));
        assert_eq!(progress.percent(), 60.0);
        progress.begin("verify", 1000);
        assert_eq!((progress.phase(), progress.done(), progress.rate()), ("verify", 0, 0));
    }
}
