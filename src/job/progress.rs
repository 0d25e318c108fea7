//! How far an operation has come.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Phase;

/// The rate is that of the time since then: long enough to be steady, short enough to follow the disk.
const WINDOW: Duration = Duration::from_secs(5);
/// How far apart the readings are that the rate is taken from, and what a listener is told.
const READING: Duration = Duration::from_millis(100);

/// How far an operation has come. A clone is the same handle.
///
/// ```
/// use diskport::copy::Convert;
/// use diskport::job::{Job, Phase};
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// let job = Job::new();
/// let progress = job.progress().clone(); // for another thread to look at
/// Convert::new(&disk).job(&job).write_to(std::io::sink())?;
/// assert_eq!((progress.phase(), progress.percent()), (Some(Phase::Copy), 100.0));
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Progress {
    inner: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    state: Mutex<State>,
    done: AtomicU64,
    total: AtomicU64,
    listener: Option<Box<Listener>>,
}

type Listener = dyn Fn(&Progress) + Send + Sync;

#[derive(Debug, Default)]
struct State {
    phase: Option<Phase>,
    /// When the listener was called last.
    told: Option<Instant>,
    /// When so much was done: the beginning, then what those who watch have read.
    readings: VecDeque<(Instant, u64)>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (phase, done, total) = (self.phase(), self.done(), self.total());
        f.debug_struct("Progress").field("phase", &phase).field("done", &done).field("total", &total).finish()
    }
}

impl Progress {
    pub(super) fn told(listener: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        let counters = Counters { listener: Some(Box::new(listener)), ..Counters::default() };
        Self { inner: Arc::new(counters) }
    }

    /// What is being done; `None` before anything is.
    pub fn phase(&self) -> Option<Phase> {
        self.lock().phase
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

    pub(super) fn begin_at(&self, phase: Phase, total: u64, done: u64) {
        let readings = VecDeque::from([(Instant::now(), done)]);
        *self.lock() = State { phase: Some(phase), told: None, readings };
        self.inner.done.store(done, Ordering::Relaxed);
        self.inner.total.store(total, Ordering::Relaxed);
        self.tell();
    }

    pub(super) fn set_done(&self, done: u64) {
        self.inner.done.store(done, Ordering::Relaxed);
        self.tell();
    }

    /// Tells the listener, when it is time: at the beginning and the end of a phase, and now and then between.
    fn tell(&self) {
        let Some(listener) = &self.inner.listener else { return };
        let is_time = {
            let mut state = self.lock();
            let is_time = self.done() == self.total() || state.told.is_none_or(|at| at.elapsed() >= READING);
            if is_time {
                state.told = Some(Instant::now());
            }
            is_time
        };
        if is_time {
            listener(self);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_window() {
        let progress = Progress::default();
        assert_eq!((progress.phase(), progress.percent(), progress.rate()), (None, 0.0, 0));
        assert_eq!(progress.time_left(), None);
        progress.begin_at(Phase::Copy, 1000, 0);
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
        progress.begin_at(Phase::Verify, 1000, 0);
        assert_eq!((progress.phase(), progress.done(), progress.rate()), (Some(Phase::Verify), 0, 0));
    }

    #[test]
    fn a_listener_hears_of_beginnings_and_ends() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let progress = Progress::told(move |progress| {
            hears.lock().expect("is free").push((progress.phase(), progress.done()));
        });
        progress.begin_at(Phase::Copy, 1000, 0);
        (1..=1000).for_each(|done| progress.set_done(done));
        progress.begin_at(Phase::Sync, 1000, 0);
        let heard = heard.lock().expect("is free");
        assert_eq!(heard.first(), Some(&(Some(Phase::Copy), 0)));
        assert_eq!(heard[heard.len() - 2..], [(Some(Phase::Copy), 1000), (Some(Phase::Sync), 0)]);
        assert!(heard.len() < 20, "{heard:?}");
    }
}
