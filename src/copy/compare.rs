//! Comparing the contents of two disks.

use super::pairs::{Pairs, Part};
use super::progress::{Cancel, Progress};
use crate::disk::{Disk, is_zero};
use crate::error::Result;

/// Where two disks differ first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The first byte that differs, or the size of the smaller disk when it is where the other goes on.
    pub offset: u64,
    /// Whether one disk ends there.
    pub is_end: bool,
}

/// The first difference between the contents of two disks, of any two formats; `None` when they are equal.
///
/// What both know to be zeros is not read.
///
/// # Errors
///
/// [`crate::Error::Cancelled`], and all that reading gives rise to.
pub fn compare(a: &Disk, b: &Disk, progress: &Progress, cancel: &Cancel) -> Result<Option<Difference>> {
    compare_as("compare", a, b, progress, cancel)
}

/// The same, as a phase of some operation.
pub(super) fn compare_as(
    phase: &'static str,
    a: &Disk,
    b: &Disk,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Option<Difference>> {
    progress.begin(phase, a.size().max(b.size()));
    let mut pairs = Pairs::new(a, b, 0..u64::MAX);
    loop {
        cancel.check()?;
        progress.set_done(pairs.at());
        let Some(pair) = pairs.next()? else { break };
        let differs = match (pair.left, pair.right) {
            (Part::Zeros, Part::Zeros) => None,
            (Part::Bytes(bytes), Part::Zeros) | (Part::Zeros, Part::Bytes(bytes)) => first_nonzero(bytes),
            (Part::Bytes(x), Part::Bytes(y)) => first_difference(x, y),
        };
        if let Some(position) = differs {
            return Ok(Some(Difference { offset: pair.offset + position as u64, is_end: false }));
        }
    }
    progress.set_done(progress.total());
    Ok((a.size() != b.size()).then_some(Difference { offset: pairs.at(), is_end: true }))
}

fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    if is_zero(bytes) { None } else { bytes.iter().position(|&byte| byte != 0) }
}

fn first_difference(x: &[u8], y: &[u8]) -> Option<usize> {
    if x == y { None } else { x.iter().zip(y).position(|(x, y)| x != y) }
}
