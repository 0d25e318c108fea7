//! What lies beneath an extent: a part of the parent, or zeros.

use std::ops::Range;

use crate::disk::{Disk, MappingKind};
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

    /// Whether it is known that only zeros lie in `len` bytes at `offset` of the extent.
    pub(super) fn is_zero(&self, offset: u64, len: u64) -> Result<bool> {
        let Some(parent) = &self.parent else { return Ok(true) };
        for run in parent.extents(self.within(offset, len)) {
            if !matches!(run?.kind, MappingKind::Zero | MappingKind::Absent) {
                return Ok(false);
            }
        }
        Ok(true)
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
