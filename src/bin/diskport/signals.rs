//! What other programs, the terminal and the system tell the process.

use diskport::job::Job;

/// Has a write that passes the process's limit fail, as any other does, instead of ending the process: what was
/// begun is then taken away.
pub fn fail_beyond_file_size_limit() {
    #[cfg(unix)]
    {
        let noted = std::sync::Arc::default();
        // Without it the process ends at once, and a temporary file is left: no reason to refuse to work.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, noted);
    }
}

/// A job that Ctrl-C, or a request to terminate, cancels.
pub fn job() -> Job {
    let job = Job::new();
    let token = job.token().clone();
    // Without a handler the process ends at once, and a temporary file is left: no reason to refuse to work.
    #[cfg(unix)]
    let _ = unix::listen(move || token.cancel());
    #[cfg(not(unix))]
    let _ = ctrlc::set_handler(move || token.cancel());
    job
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::io;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    /// Calls `cancel` at each signal that asks to end. Whoever started us and had us ignore one, as `nohup` does, wants
    /// it ignored.
    pub fn listen(cancel: impl Fn() + Send + 'static) -> io::Result<()> {
        let ignored = ignored();
        let heeded = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|&signal| !is_in(ignored, signal));
        let mut signals = Signals::new(heeded)?;
        std::thread::Builder::new().spawn(move || signals.forever().for_each(|_| cancel()))?;
        Ok(())
    }

    /// The signals that are ignored, a bit each (Linux's proc(5), `SigIgn`); elsewhere no safe call tells.
    fn ignored() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }

    fn is_in(mask: u64, signal: i32) -> bool {
        mask >> (signal - 1) & 1 == 1
    }
}
