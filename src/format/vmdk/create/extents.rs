//! A descriptor with extents beside it: monolithicFlat, vmfs, twoGbMaxExtentSparse and twoGbMaxExtentFlat.

#[cfg(feature = "digest")]
use std::ops::Range;

use super::super::layout::SECTOR;
use super::sparse::{self, HOLE};
use super::{Descriptor, Subformat};
use crate::error::Result;
#[cfg(feature = "digest")]
use crate::sink::Seen;
use crate::sink::blueprint::{self, Blueprint, BlueprintFile};
use crate::sink::{Encoding, Packet, Place, Sink};
use crate::storage::WritableFile;

/// The extents take the data; the descriptor comes last.
pub(crate) struct Extents {
    /// With the first byte of the disk that each holds.
    extents: Vec<(u64, BlueprintFile)>,
    file: WritableFile,
    descriptor: Descriptor,
}

impl Extents {
    /// The descriptor goes to `file`, the data to `extents`, as many as the descriptor names.
    pub(crate) fn new(
        file: WritableFile,
        extents: Vec<WritableFile>,
        descriptor: Descriptor,
    ) -> Result<Self> {
        let mut start = 0;
        let lines = extents.into_iter().zip(descriptor.extent_sizes());
        let extents = lines.map(|(file, sectors)| {
            let blueprint = match descriptor.subformat {
                Subformat::TwoGbMaxExtentSparse => sparse::blueprint(sectors, None),
                _ => Blueprint::flat(sectors * SECTOR, Vec::new()),
            };
            start += sectors * SECTOR;
            Ok((start - sectors * SECTOR, BlueprintFile::new(file, blueprint)?))
        });
        Ok(Self { extents: extents.collect::<Result<_>>()?, file, descriptor })
    }

    /// The number of the extent that holds a byte of the disk, and where it ends.
    fn at(&self, offset: u64) -> (usize, u64) {
        let next = self.extents.partition_point(|(start, _)| *start <= offset);
        (next.saturating_sub(1), self.extents.get(next).map_or(u64::MAX, |(start, _)| *start))
    }
}

impl Sink for Extents {
    fn encoding(&self) -> Encoding {
        let sparse = self.descriptor.subformat == Subformat::TwoGbMaxExtentSparse;
        Encoding::Plain { grain: if sparse { HOLE } else { blueprint::HOLE } }
    }

    fn places(&self) -> Vec<Place> {
        self.extents.iter().filter_map(|(start, extent)| extent.whole(*start)).collect()
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        for (mut offset, mut data) in packet.iter() {
            while !data.is_empty() {
                let (index, end) = self.at(offset);
                let (now, later) = data.split_at((data.len() as u64).min(end - offset) as usize);
                let (start, extent) = &mut self.extents[index];
                extent.put(offset - *start, now)?;
                offset += now.len() as u64;
                data = later;
            }
        }
        Ok(())
    }

    #[cfg(feature = "digest")]
    fn take_back(&mut self, mut range: Range<u64>, seen: &mut Seen<'_>) -> Result<bool> {
        while !range.is_empty() {
            let (index, end) = self.at(range.start);
            let (start, extent) = &mut self.extents[index];
            let (start, end) = (*start, end.min(range.end));
            let mut seen = |part: Range<u64>, data: &[u8]| seen(part.start + start..part.end + start, data);
            extent.take_back(range.start - start..end - start, &mut seen)?;
            range.start = end;
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<()> {
        self.extents.iter_mut().try_for_each(|(_, extent)| extent.finish())?;
        let text = self.descriptor.text();
        self.file.set_size(text.len() as u64)?;
        self.file.write_all_at(text.as_bytes(), 0)
    }
}
