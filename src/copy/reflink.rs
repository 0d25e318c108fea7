//! Data that source and output share: where the file system can, they are neither read nor written.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Disk, Extent, MappingKind};
use crate::error::{Error, Result};
use crate::sink::Place;
use crate::storage::{FileIdentity, ImageFile};

/// What is shared begins and ends at a multiple of this, in both files and on the disk: file systems have such blocks.
const ALIGNMENT: u64 = 4096;
/// Less is copied: the file system would have more to keep in its books than it spares.
const WORTHWHILE: u64 = 64 << 10;
/// Bytes that are shared in one call, so that a cancelled copy stops soon.
const STEP: u64 = 64 << 20;

/// Extents of which those that the output shares come as zeros: there is nothing left to do about them.
pub(super) struct Reflink<I> {
    disk: Disk,
    extents: I,
    rest: Option<Extent>,
    places: Vec<Place>,
    /// Files, of source and output, that can share nothing.
    apart: HashSet<(Option<FileIdentity>, usize)>,
    shared: Arc<AtomicU64>,
}

impl<I: Iterator<Item = Result<Extent>>> Reflink<I> {
    /// `places` are in order; the bytes shared are added to `shared`.
    pub(super) fn new(disk: &Disk, extents: I, places: Vec<Place>, shared: Arc<AtomicU64>) -> Self {
        Self { disk: disk.clone(), extents, rest: None, places, apart: HashSet::new(), shared }
    }

    /// Shares the beginning of `extent`, or returns what comes before anything that can be shared.
    fn take(&mut self, extent: Extent) -> Result<Extent> {
        let MappingKind::Stored { offset: from, .. } = extent.kind else { return Ok(extent) };
        let index = self.places.partition_point(|place| place.start + place.len <= extent.start);
        let Some(place) = self.places.get(index).filter(|place| place.start <= extent.start) else {
            return Ok(extent);
        };
        let to = place.offset + (extent.start - place.start);
        let skew = extent.start % ALIGNMENT;
        let aligned = from % ALIGNMENT == skew && to % ALIGNMENT == skew;
        let head = (ALIGNMENT - skew) % ALIGNMENT;
        let end = extent.len.min(place.start + place.len - extent.start);
        let body = end.saturating_sub(head) / ALIGNMENT * ALIGNMENT;
        if !aligned || body < WORTHWHILE {
            return Ok(self.split(extent, end));
        }
        // Asked of the system only where it matters: a sparse disk has many small extents.
        let Some(file) = self.disk.file_of(&extent).cloned() else { return Ok(extent) };
        let pair = (file.storage().identity(), index);
        if self.apart.contains(&pair) {
            return Ok(self.split(extent, end));
        }
        if head > 0 {
            return Ok(self.split(extent, head));
        }
        let body = body.min(STEP);
        if !reflink(&file, from, body, place, to)? {
            self.apart.insert(pair);
            return Ok(self.split(extent, end));
        }
        self.shared.fetch_add(body, Ordering::Relaxed);
        Ok(Extent { kind: MappingKind::Zero, ..self.split(extent, body) })
    }

    /// The first `len` bytes of `extent`; the rest comes next.
    fn split(&mut self, extent: Extent, len: u64) -> Extent {
        if len < extent.len {
            self.rest = Some(extent.slice(len, u64::MAX));
        }
        extent.slice(0, len)
    }
}

fn reflink(file: &ImageFile, from: u64, len: u64, place: &Place, to: u64) -> Result<bool> {
    match place.file.storage().copy_range(file.storage(), from..from + len, to) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::Unsupported => Ok(false),
        Err(e) => Err(Error::io("share with the output", file.name(), e)),
    }
}

impl<I: Iterator<Item = Result<Extent>>> Iterator for Reflink<I> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let extent = match self.rest.take() {
            Some(extent) => Ok(extent),
            None => self.extents.next()?,
        };
        Some(extent.and_then(|extent| self.take(extent)))
    }
}
