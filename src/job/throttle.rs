//! A limit to the rate of a copy.

use std::time::{Duration, Instant};

use super::cancel::Cancel;
use crate::error::Result;

/// How much may be made up for at once after a pause: a wait that was too long by the system's clock, not more.
const BURST: Duration = Duration::from_millis(50);

/// A token bucket: lets so many bytes pass a second, evenly.
pub(crate) struct Throttle {
    rate: Option<u64>,
    /// When the next bytes may pass.
    next: Instant,
}

impl Throttle {
    /// Of `rate` bytes a second; with `None`, everything passes at once.
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.map(|rate| rate.max(1)), next: Instant::now() }
    }

    /// Bytes that pass at a time so that the flow is even: what passes in a tenth of a second.
    pub(crate) fn piece(&self) -> u64 {
        self.rate.map_or(u64::MAX, |rate| rate.div_ceil(10))
    }

    /// Waits until `bytes` more may pass.
    pub(crate) fn pass(&mut self, bytes: u64, cancel: &Cancel) -> Result<()> {
        let Some(rate) = self.rate else { return Ok(()) };
        cancel.wait_until(self.next)?;
        let now = Instant::now();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let cost = Duration::try_from_secs_f64(bytes as f64 / rate as f64).unwrap_or(Duration::MAX);
        // Slower than the clock can tell is for ever.
        self.next = self.next.max(earliest).checked_add(cost).unwrap_or(now + Duration::from_secs(1 << 31));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn bytes_pass_at_the_rate() {
        let (begun, cancel) = (Instant::now(), Cancel::new());
        let mut throttle = Throttle::new(Some(1_000_000));
        for _ in 0..30 {
            throttle.pass(10_000, &cancel).expect("passes");
        }
        // The first passes at once, each of the others 10 ms after the one before it.
        let elapsed = begun.elapsed();
        assert!(elapsed >= Duration::from_millis(290 - 50), "{elapsed:?}");
        assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
        let mut unlimited = Throttle::new(None);
        (0..1000).for_each(|_| unlimited.pass(u64::MAX, &cancel).expect("passes"));
    }

    #[test]
    fn waiting_ends_when_it_is_cancelled() {
        for rate in [0, 1] {
            let cancel = Cancel::new();
            let mut throttle = Throttle::new(Some(rate));
            throttle.pass(u64::MAX, &cancel).expect("the first passes");
            let token = cancel.clone();
            let other = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                token.cancel();
                Instant::now()
            });
            let result = throttle.pass(1, &cancel);
            let late = other.join().expect("ends").elapsed();
            assert!(matches!(result, Err(Error::Cancelled)));
            assert!(late < Duration::from_millis(100), "{late:?}");
        }
    }
}
