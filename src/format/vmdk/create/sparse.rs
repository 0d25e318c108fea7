//! monolithicSparse, and the extents of twoGbMaxExtentSparse, from front to back.
//!
//! The places of all tables follow from the capacity, so the file is header, descriptor, redundant directory and
//! tables, directory and tables, and then the grains in the order of the disk ("Virtual Disk Format 5.0", section
//! "Hosted Sparse Extents"). Grains go out in long writes; a table goes out once, when the data have passed it; the
//! header comes last, so that a cut file is no disk.

use byteorder::{ByteOrder, LittleEndian};
use zerocopy::IntoBytes;

use super::super::layout::{
    COMPRESSION_NONE, GTES_PER_GT, HeaderFlags, KDMV, NEWLINE_TEST, SECTOR, SparseExtentHeader,
};
use super::Descriptor;
use super::descriptor::EMBEDDED_SECTORS;
use crate::disk::sink::{Encoding, Packet, Piece, Sink, nonzero_pieces};
use crate::disk::table::TableWriter;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::storage::WritableFile;

/// Sectors of a grain: 64 KiB, the default of every writer.
pub(super) const GRAIN_SECTORS: u64 = 128;
/// Bytes of a grain.
pub(in super::super) const GRAIN: u64 = GRAIN_SECTORS * SECTOR;
/// Zeros of this many bytes within a grain are left out of the file.
const HOLE: u64 = 16 * 1024;
/// Sectors of a grain table.
const GT_SECTORS: u64 = GTES_PER_GT as u64 * 4 / SECTOR;

/// A sparse extent being written.
pub(crate) struct Sparse {
    file: WritableFile,
    sectors: u64,
    /// For the only extent of a disk.
    descriptor: Option<Descriptor>,
    places: Places,
    /// The sector after the last grain written.
    next: u64,
    table: TableWriter,
    /// Kept for its memory.
    pieces: Vec<Piece>,
}

/// Where the tables lie, in sectors.
struct Places {
    tables: u64,
    rgd: u64,
    gd: u64,
    grains: u64,
}

impl Places {
    fn new(sectors: u64, descriptor_sectors: u64) -> Self {
        let tables = sectors.div_ceil(GRAIN_SECTORS).div_ceil(GTES_PER_GT.into());
        let directory = (tables * 4).div_ceil(SECTOR);
        let rgd = 1 + descriptor_sectors;
        let gd = rgd + directory + tables * GT_SECTORS;
        let grains = (gd + directory + tables * GT_SECTORS).next_multiple_of(GRAIN_SECTORS);
        Self { tables, rgd, gd, grains }
    }

    /// The first grain table after a directory.
    fn first_table(&self, directory: u64) -> u64 {
        directory + (self.tables * 4).div_ceil(SECTOR)
    }
}

/// Grain tables, written when the data have passed them.
pub(super) fn grain_tables() -> TableWriter {
    TableWriter::new(GTES_PER_GT.into(), 4, 0)
}

/// A place as tables record it: directories and tables hold 32-bit sectors, so a file has 2 TiB at most.
pub(super) fn sector32(sector: u64) -> Result<u32> {
    u32::try_from(sector).map_err(|_| Error::SizeLimit {
        format: Format::Vmdk,
        size: sector.saturating_mul(SECTOR),
        limit: "the file of a sparse disk has 2 TiB at most; convert to a flat one".to_owned(),
    })
}

impl Sparse {
    /// An extent of `sectors` in `file`, with the descriptor inside when it is the only one.
    pub(crate) fn new(file: WritableFile, sectors: u64, descriptor: Option<Descriptor>) -> Result<Self> {
        let places = Places::new(sectors, descriptor.as_ref().map_or(0, |_| EMBEDDED_SECTORS));
        sector32(places.grains)?;
        let (table, pieces) = (grain_tables(), Vec::new());
        Ok(Self { file, sectors, descriptor, next: places.grains, places, table, pieces })
    }

    /// Writes the next data, which begin with a grain.
    pub(super) fn put(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        // Grains that are partly zeros keep holes: the file is new, and writing zeros costs as much as data.
        nonzero_pieces(&mut self.pieces, self.next * SECTOR, 0, data, HOLE);
        for piece in self.pieces.drain(..) {
            self.file.write_all_at(&data[piece.at..piece.at + piece.len], piece.offset)?;
        }
        for grain in offset / GRAIN..(offset + data.len() as u64).div_ceil(GRAIN) {
            self.turn_to(Some(grain))?;
            self.table.set(grain, &sector32(self.next)?.to_le_bytes());
            self.next += GRAIN_SECTORS;
        }
        Ok(())
    }

    /// Goes on to the table of `grain`, and writes both copies of the one that the data have passed.
    fn turn_to(&mut self, grain: Option<u64>) -> Result<()> {
        let (places, file) = (&self.places, &self.file);
        self.table.turn_to(grain, |number, bytes| {
            [places.rgd, places.gd].into_iter().try_for_each(|directory| {
                file.write_all_at(bytes, (places.first_table(directory) + number * GT_SECTORS) * SECTOR)
            })
        })
    }
}

impl Sink for Sparse {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: GRAIN }
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        packet.iter().try_for_each(|(offset, data)| self.put(offset, data))
    }

    fn finish(&mut self) -> Result<()> {
        self.turn_to(None)?;
        // The last grain may be cut by the disk's end; in the file it is whole.
        self.file.set_size(self.next * SECTOR)?;
        let tables = self.places.tables as usize;
        for directory in [self.places.rgd, self.places.gd] {
            let first = self.places.first_table(directory);
            let entries: Vec<u32> =
                (0..tables).map(|table| (first + table as u64 * GT_SECTORS) as u32).collect();
            let mut bytes = vec![0; tables * 4];
            LittleEndian::write_u32_into(&entries, &mut bytes);
            self.file.write_all_at(&bytes, directory * SECTOR)?;
        }
        if let Some(descriptor) = &self.descriptor {
            self.file.write_all_at(&descriptor.embedded(), SECTOR)?;
        }
        let embedded = u64::from(self.descriptor.is_some());
        let header = SparseExtentHeader {
            magic: KDMV,
            version: 1.into(),
            flags: (HeaderFlags::NEWLINE_TEST | HeaderFlags::REDUNDANT_TABLES).bits().into(),
            capacity: self.sectors.into(),
            grain_size: GRAIN_SECTORS.into(),
            descriptor_offset: embedded.into(),
            descriptor_size: (embedded * EMBEDDED_SECTORS).into(),
            num_gtes_per_gt: GTES_PER_GT.into(),
            rgd_offset: self.places.rgd.into(),
            gd_offset: self.places.gd.into(),
            over_head: self.places.grains.into(),
            unclean_shutdown: 0,
            newline_test: NEWLINE_TEST,
            compress_algorithm: COMPRESSION_NONE.into(),
            pad: [0; 433],
        };
        self.file.write_all_at(header.as_bytes(), 0)
    }
}
