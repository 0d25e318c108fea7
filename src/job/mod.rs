//! What everything that can last is given: a [`Job`].

mod cancel;
mod phase;
mod progress;
mod throttle;

pub use cancel::Cancel;
pub(crate) use cancel::Stoppable;
pub use phase::Phase;
pub use progress::Progress;
pub(crate) use throttle::Throttle;

use crate::error::Result;

/// An operation that can last, as those see it who wait for it: how far it has come, a way to stop it, and how fast it may
/// go. A clone is the same job; one job serves one operation at a time.
///
/// ```
/// use diskport::copy::Convert;
/// use diskport::job::{Job, Phase};
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// let job = Job::told(|progress| eprintln!("{:.0} %", progress.percent())).rate_limit(1 << 30);
/// let token = job.token().clone(); // for a signal handler, or a button
/// Convert::new(&disk).job(&job).write_to(std::io::sink())?;
/// assert_eq!((job.progress().phase(), job.progress().percent()), (Some(Phase::Copy), 100.0));
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Job {
    progress: Progress,
    cancel: Cancel,
    rate_limit: Option<u64>,
}

impl Job {
    /// A job without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// A job that tells `listener` when a phase begins, as it goes on, ten times a second at most, and when it ends. The
    /// listener is called by threads that work: it must not take long, nor panic.
    pub fn told(listener: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self { progress: Progress::told(listener), ..Self::default() }
    }

    /// How many bytes of data are read a second at most, evenly; without a limit by default. What is known to be zeros
    /// does not count, nor does reading an output back.
    pub fn rate_limit(self, bytes: u64) -> Self {
        Self { rate_limit: Some(bytes), ..self }
    }

    /// How far it has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What stops it.
    pub fn token(&self) -> &Cancel {
        &self.cancel
    }

    /// Asks it to stop; it ends with [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    /// As [`Cancel::attend`], with a clone of this job for the work.
    pub(crate) fn attend<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Job) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let job = self.clone();
        self.cancel.attend(move || work(&job))
    }

    pub(crate) fn begin(&self, phase: Phase, total: u64) {
        self.progress.begin_at(phase, total, 0);
    }

    /// Begins a phase of which `done` bytes are done already.
    pub(crate) fn begin_at(&self, phase: Phase, total: u64, done: u64) {
        self.progress.begin_at(phase, total, done);
    }

    pub(crate) fn set_done(&self, done: u64) {
        self.progress.set_done(done);
    }

    /// What keeps data to its rate.
    pub(crate) fn throttle(&self) -> Throttle {
        Throttle::new(self.rate_limit)
    }
}
