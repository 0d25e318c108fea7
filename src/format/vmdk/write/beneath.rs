//! What lies beneath an extent: a part of the parent, or zeros.

use std::ops::Range;

use crate::disk::{Disk, Extents};
use crate::error::Result;

/// What an extent shows where it stores nothing.
pub(super) struct Beneath {
    pub(super) parent: Option<Disk>,
    /// The part of the disk that the extent is.
    pub(super) range: Range<u64>,
}

impl Beneath {
    /// Fills `buf` with what lies at `offset` of the extent; with zeros beyond the end of extent or parent.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let Range { start, end } = self.within(offset, buf.len() as u64);
        let (inside, beyond) = buf.split_at_mut((end - start) as usize);
        beyond.fill(0);
        match &self.parent {
            Some(parent) => parent.read_at(inside, start),
            None => Ok(()),
        }
    }

    /// A walk over what lies beneath `len` bytes at `offset` of the extent.
    pub(super) fn scan(&self, offset: u64, len: u64) -> Scan {
        let extents = self.parent.as_ref().map(|parent| parent.extents(self.within(offset, len)));
        Scan { extents, start: self.range.start, data: 0..0 }
    }

    /// Whether the parent ends before `offset` of the disk.
    pub(super) fn is_short(&self, offset: u64) -> bool {
        self.parent.as_ref().is_none_or(|parent| parent.size() <= offset)
    }

    /// The part of the parent that lies beneath `len` bytes at `offset` of the extent.
    fn within(&self, offset: u64, len: u64) -> Range<u64> {
        let end = self.parent.as_ref().map_or(0, Disk::size).min(self.range.end);
        let start = (self.range.start + offset).min(end);
        start..(start + len).min(end)
    }
}

/// A walk from one place that may hold something other than zeros to the next.
pub(super) struct Scan {
    extents: Option<Extents>,
    /// The first byte of the extent in the disk.
    start: u64,
    /// The run of such bytes that was found last, in the extent.
    data: Range<u64>,
}

impl Scan {
    /// The first byte at or after `at` that may not be zero, where there is one. The next question is for no place before it.
    pub(super) fn next_data(&mut self, at: u64) -> Result<u64> {
        while self.data.end <= at {
            match self.extents.as_mut().and_then(Iterator::next).transpose()? {
                Some(run) if run.is_data() => self.data = run.start - self.start..run.end() - self.start,
                Some(_) => {}
                None => self.data = u64::MAX..u64::MAX,
            }
        }
        Ok(self.data.start.max(at))
    }
}
