//! Comparing the contents of two disks.

use super::progress::{Cancel, Progress};
use crate::disk::{Block, Blocks, Data, Disk, is_zero};
use crate::error::Result;

/// Bytes that are read of each disk at a time.
const BLOCK: u64 = 1 << 20;

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
    let options = Blocks::of(BLOCK).read_ahead(2);
    let (mut left, mut right) = (Side::new(a, &options), Side::new(b, &options));
    let mut at = 0;
    loop {
        cancel.check()?;
        progress.set_done(at);
        let (Some(x), Some(y)) = (left.at(at)?, right.at(at)?) else { break };
        let len = x.len().min(y.len());
        let differs = match (x, y) {
            (Part::Zeros(_), Part::Zeros(_)) => None,
            (Part::Bytes(bytes), Part::Zeros(_)) | (Part::Zeros(_), Part::Bytes(bytes)) => {
                first_nonzero(&bytes[..len as usize])
            }
            (Part::Bytes(x), Part::Bytes(y)) => first_difference(&x[..len as usize], &y[..len as usize]),
        };
        if let Some(position) = differs {
            return Ok(Some(Difference { offset: at + position as u64, is_end: false }));
        }
        at += len;
    }
    progress.set_done(progress.total());
    Ok((a.size() != b.size()).then_some(Difference { offset: at, is_end: true }))
}

/// One of the two disks.
struct Side {
    blocks: crate::disk::BlockReader,
    block: Option<Block>,
}

enum Part<'a> {
    Zeros(u64),
    Bytes(&'a [u8]),
}

impl Part<'_> {
    fn len(&self) -> u64 {
        match self {
            Part::Zeros(len) => *len,
            Part::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl Side {
    fn new(disk: &Disk, options: &Blocks) -> Self {
        Self { blocks: disk.blocks(options.clone()), block: None }
    }

    /// What lies from `at` on, as far as one block goes; offsets only grow.
    fn at(&mut self, at: u64) -> Result<Option<Part<'_>>> {
        if self.block.as_ref().is_none_or(|block| block.end() <= at) {
            self.block = self.blocks.next().transpose()?;
        }
        Ok(self.block.as_ref().map(|block| match &block.data {
            Data::Bytes(bytes) => Part::Bytes(&bytes[(at - block.offset) as usize..]),
            Data::Zero(_) | Data::Absent(_) => Part::Zeros(block.end() - at),
        }))
    }
}

fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    if is_zero(bytes) { None } else { bytes.iter().position(|&byte| byte != 0) }
}

fn first_difference(x: &[u8], y: &[u8]) -> Option<usize> {
    if x == y { None } else { x.iter().zip(y).position(|(x, y)| x != y) }
}
