//! Changes of the metadata that are not in the log yet.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::super::log::SECTOR;
use super::log_writer::Sector;
use crate::storage::{FileIdentity, Fingerprint, ReadAt, WriteAt, read_some};

/// The file with sectors laid over it that are to be changed.
pub(super) struct Pending {
    below: Arc<dyn WriteAt>,
    /// By their offsets in the file.
    sectors: RwLock<BTreeMap<u64, Box<Sector>>>,
}

impl Pending {
    pub(super) fn new(below: Arc<dyn WriteAt>) -> Self {
        Self { below, sectors: RwLock::default() }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Box<Sector>>> {
        self.sectors.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Box<Sector>>> {
        self.sectors.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAt for Pending {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = read_some(&*self.below, buf, offset)?;
        let end = offset.saturating_add(len as u64);
        for (&start, sector) in self.read().range(offset / SECTOR * SECTOR..end) {
            let (from, to) = (start.max(offset), (start + SECTOR).min(end));
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&sector[(from - start) as usize..(to - start) as usize]);
        }
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.below.size()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let below = self.below.next_data(offset)?;
        let sectors = self.read();
        let next = sectors.range(offset / SECTOR * SECTOR..).next();
        let next = next.map(|(&start, _)| start.max(offset)..start + SECTOR);
        Ok(match (below, next) {
            (Some(below), Some(next)) if next.start < below.start => Some(next),
            (None, next) => next,
            (below, _) => below,
        })
    }

    fn will_need(&self, range: Range<u64>) {
        self.below.will_need(range);
    }

    fn allocated(&self) -> Option<u64> {
        self.below.allocated()
    }

    fn modified(&self) -> Option<i64> {
        self.below.modified()
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.below.fingerprint()
    }

    fn identity(&self) -> Option<FileIdentity> {
        self.below.identity()
    }
}
