//! A descriptor with extents beside it: monolithicFlat, vmfs, twoGbMaxExtentSparse and twoGbMaxExtentFlat.

use super::super::layout::SECTOR;
use super::sparse::{GRAIN, Sparse};
use super::{Descriptor, Subformat};
use crate::disk::flat::{FLAT_GRAIN, FlatFile};
use crate::disk::sink::{Encoding, Packet, Place, Sink};
use crate::error::Result;
use crate::storage::WritableFile;

/// The extents take the data; the descriptor comes last.
pub(crate) struct Extents {
    /// With the first byte of the disk that each holds.
    extents: Vec<(u64, Extent)>,
    file: WritableFile,
    descriptor: Descriptor,
}

enum Extent {
    Flat(FlatFile),
    Sparse(Box<Sparse>),
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
            let extent = match descriptor.subformat {
                Subformat::TwoGbMaxExtentSparse => {
                    Extent::Sparse(Box::new(Sparse::new(file, sectors, None)?))
                }
                _ => Extent::Flat(FlatFile::new(file, sectors * SECTOR)?),
            };
            start += sectors * SECTOR;
            Ok((start - sectors * SECTOR, extent))
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
        Encoding::Plain { grain: if sparse { GRAIN } else { FLAT_GRAIN } }
    }

    fn places(&self) -> Vec<Place> {
        let flat = self.extents.iter().filter_map(|(start, extent)| match extent {
            Extent::Flat(flat) => Some(flat.place(*start)),
            Extent::Sparse(_) => None,
        });
        flat.collect()
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        for (mut offset, mut data) in packet.iter() {
            while !data.is_empty() {
                let (index, end) = self.at(offset);
                let (now, later) = data.split_at((data.len() as u64).min(end - offset) as usize);
                let (start, extent) = &mut self.extents[index];
                match extent {
                    Extent::Flat(flat) => flat.put(offset - *start, now)?,
                    Extent::Sparse(sparse) => sparse.put(offset - *start, now)?,
                }
                offset += now.len() as u64;
                data = later;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        for (_, extent) in &mut self.extents {
            match extent {
                Extent::Flat(flat) => flat.finish()?,
                Extent::Sparse(sparse) => sparse.finish()?,
            }
        }
        self.file.write_all_at(self.descriptor.text().as_bytes(), 0)
    }
}
