//! A disk of which some ranges read as zeros, whatever lies there: what a file system holds free need not be read.

use std::ops::Range;
use std::sync::Arc;

use super::Disk;
use super::layer::{Layer, LayerInfo, Mapping, Sealed};
use crate::error::{Error, Result};
use crate::storage::{FileRole, ImageFile, MemoryStorage};

impl Disk {
    /// This disk with `ranges` reading as zeros. Nothing is read of what lies there: the map says that they are zeros.
    ///
    /// ```
    /// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
    /// let disk = diskport::open(image)?;
    /// let blank = disk.blanked(vec![0..512])?;
    /// let mut sector = [0xff; 512];
    /// blank.read_at(&mut sector, 0)?;
    /// assert_eq!(sector, [0; 512]);
    /// # Ok::<(), diskport::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for ranges beyond the disk, and [`Error::Unsupported`] for a disk without layers.
    pub fn blanked(&self, mut ranges: Vec<Range<u64>>) -> Result<Self> {
        ranges.retain(|range| range.start < range.end);
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, last| {
            let joins = next.start <= last.end;
            if joins {
                last.end = last.end.max(next.end);
            }
            joins
        });
        let size = self.size();
        if let Some(last) = ranges.last().filter(|last| last.end > size) {
            return Err(Error::OutOfRange { offset: last.start, len: last.end - last.start, size });
        }
        let top = self.inner.layers.first().map(|top| top.info().clone());
        let mut info =
            top.ok_or(Error::Unsupported { what: "a disk without layers has nothing to blank".to_owned() })?;
        info.warnings.clear();
        // By its ranges it is told apart from other layers over the same disk.
        let places = ranges.iter().flat_map(|range| [range.start, range.end]).flat_map(u64::to_le_bytes);
        let places = MemoryStorage::new(places.collect::<Vec<_>>());
        let files = [ImageFile::new(Arc::new(places), "(blank)", FileRole::Memory)?];
        let mut layers: Vec<Arc<dyn Layer>> = vec![Arc::new(Blank { info, files, ranges })];
        layers.extend(self.inner.layers.iter().cloned());
        Ok(Self::build(layers, size, self.inner.incomplete.clone(), self.inner.warnings.clone()))
    }
}

struct Blank {
    info: LayerInfo,
    files: [ImageFile; 1],
    /// In order, none meeting the next.
    ranges: Vec<Range<u64>>,
}

impl Sealed for Blank {}

impl Layer for Blank {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let next = self.ranges.partition_point(|range| range.end <= offset);
        Ok(match self.ranges.get(next) {
            Some(range) if range.start <= offset => Mapping::zero(limit.min(range.end - offset)),
            Some(range) => Mapping::absent(limit.min(range.start - offset)),
            None => Mapping::absent(limit),
        })
    }

    fn is_image(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MappingKind;

    #[test]
    fn ranges_are_joined_and_map_as_zeros() {
        let disk = Disk::empty(8192, 512);
        let blank = disk.blanked(vec![512..1024, 4096..4096, 1024..2048, 700..900]).expect("within the disk");
        let zeros: Vec<_> = blank.extents(..).collect::<Result<_>>().expect("a map");
        let zeros = zeros.iter().filter(|extent| extent.depth == 0 && extent.kind == MappingKind::Zero);
        assert_eq!(zeros.map(|extent| (extent.start, extent.end())).collect::<Vec<_>>(), [(512, 2048)]);
        let beyond = disk.blanked(vec![0..512, 8000..8193]);
        assert!(
            matches!(beyond, Err(Error::OutOfRange { offset: 8000, len: 193, size: 8192 })),
            "{beyond:?}"
        );
    }
}
