//! Where two disks may differ, by their maps alone.

use std::ops::Range;

use super::{Disk, Extent, MappingKind, SkipHoles};
use crate::error::Result;

/// The ranges in which two disks may differ: all but those in which both are zeros, and those that both take from the same place
/// of the same file.
pub(crate) struct MayDiffer {
    sides: [Side; 2],
    at: u64,
    size: u64,
}

struct Side {
    disk: Disk,
    extents: SkipHoles,
    current: Option<Extent>,
}

impl MayDiffer {
    /// Of the first `size` bytes; a smaller disk goes on with zeros.
    pub(crate) fn new(left: &Disk, right: &Disk, size: u64) -> Self {
        let side =
            |disk: &Disk| Side { disk: disk.clone(), extents: disk.extents(..).skip_holes(), current: None };
        Self { sides: [side(left), side(right)], at: 0, size }
    }

    /// The next range of which one thing is true, and whether the disks may differ there.
    fn step(&mut self) -> Result<Option<(Range<u64>, bool)>> {
        if self.at >= self.size {
            return Ok(None);
        }
        let (at, size) = (self.at, self.size);
        let [left, right] = &mut self.sides;
        let (a, b) = (left.at(at)?, right.at(at)?);
        let end = |extent: &Option<Extent>| extent.as_ref().map_or(size, Extent::end);
        self.at = end(&a).min(end(&b));
        let data = |extent: Option<Extent>| extent.filter(Extent::is_data);
        let differs = match (data(a), data(b)) {
            (None, None) => false,
            (Some(a), Some(b)) => !is_same((&left.disk, &a), (&right.disk, &b), at),
            _ => true,
        };
        Ok(Some((at..self.at, differs)))
    }
}

impl Side {
    /// The extent that holds `at`; offsets only grow. `None` beyond the end.
    fn at(&mut self, at: u64) -> Result<Option<Extent>> {
        while self.current.is_none_or(|extent| extent.end() <= at) {
            self.current = self.extents.next().transpose()?;
            if self.current.is_none() {
                return Ok(None);
            }
        }
        Ok(self.current)
    }
}

/// Whether both disks take the byte at `at` from the same place: of one layer, or of files that are one. Layers of one format, since
/// a log that is replayed in memory lies over a file for its own format alone.
fn is_same((a, in_a): (&Disk, &Extent), (b, in_b): (&Disk, &Extent), at: u64) -> bool {
    let here = |extent: &Extent| extent.slice(at - extent.start, u64::MAX).kind;
    let same_place = match (here(in_a), here(in_b)) {
        (MappingKind::Stored { offset: x, .. }, MappingKind::Stored { offset: y, .. }) => x == y,
        (MappingKind::Packed(x), MappingKind::Packed(y)) => {
            (x.offset, x.len, x.skip) == (y.offset, y.len, y.skip)
        }
        _ => false,
    };
    let layer = |disk: &Disk, extent: &Extent| disk.chain().get(extent.depth as usize).cloned();
    let (Some(x), Some(y)) = (layer(a, in_a), layer(b, in_b)) else { return false };
    let (Some(f), Some(g)) = (a.file_of(in_a), b.file_of(in_b)) else { return false };
    let one_storage = std::sync::Arc::ptr_eq(f.storage(), g.storage());
    let one_file = || f.storage().identity().is_some_and(|id| g.storage().identity() == Some(id));
    same_place && x.info().format == y.info().format && (one_storage || one_file())
}

impl Iterator for MayDiffer {
    /// A range, and whether the disks may differ there.
    type Item = Result<(Range<u64>, bool)>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.at = self.size;
        }
        step.transpose()
    }
}
