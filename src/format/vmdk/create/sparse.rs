//! The layout of monolithicSparse, and of the extents of twoGbMaxExtentSparse.
//!
//! The places of all tables follow from the capacity, so the file is header, descriptor, redundant directory and
//! tables, directory and tables, and then the grains in the order of the disk ("Virtual Disk Format 5.0", section
//! "Hosted Sparse Extents").

use zerocopy::IntoBytes;

use super::super::layout::{
    COMPRESSION_NONE, GTES_PER_GT, HeaderFlags, KDMV, NEWLINE_TEST, SECTOR, SparseExtentHeader,
};
use super::Descriptor;
use super::descriptor::EMBEDDED_SECTORS;
use crate::error::{Error, Result};
use crate::format::tools::table::TableWriter;
use crate::leaves::Format;
use crate::sink::blueprint::{Blueprint, Metadata, Places, Put, put_table};

/// Sectors of a grain: 64 KiB, the default of every writer.
pub(super) const GRAIN_SECTORS: u64 = 128;
/// Bytes of a grain.
pub(in super::super) const GRAIN: u64 = GRAIN_SECTORS * SECTOR;
/// Zeros of this many bytes within a grain stay holes of the file: writing zeros costs as much as data, and every hole a
/// system call.
pub(super) const HOLE: u64 = 16 * 1024;
/// Sectors of a grain table.
const GT_SECTORS: u64 = GTES_PER_GT as u64 * 4 / SECTOR;

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

/// An extent of `sectors`, with the descriptor inside when it is the only one.
pub(crate) fn blueprint(sectors: u64, descriptor: Option<&Descriptor>) -> Blueprint {
    let extent = Extent::new(sectors, descriptor.map(Descriptor::embedded));
    let front = extent.grains * SECTOR;
    Blueprint {
        block_size: GRAIN,
        blocks: sectors.div_ceil(GRAIN_SECTORS),
        is_fixed: false,
        grain: HOLE,
        front,
        prefix: Vec::new(),
        first: front,
        // The last grain may be cut by the disk's end; in the file it is whole.
        stride: GRAIN,
        trailer: Vec::new(),
        metadata: Box::new(extent),
    }
}

/// Where the tables lie, in sectors.
struct Extent {
    sectors: u64,
    descriptor: Option<Vec<u8>>,
    tables: u64,
    rgd: u64,
    gd: u64,
    grains: u64,
}

impl Extent {
    fn new(sectors: u64, descriptor: Option<Vec<u8>>) -> Self {
        let tables = sectors.div_ceil(GRAIN_SECTORS).div_ceil(GTES_PER_GT.into());
        let directory = (tables * 4).div_ceil(SECTOR);
        let rgd = 1 + descriptor.as_ref().map_or(0, |_| EMBEDDED_SECTORS);
        let gd = rgd + directory + tables * GT_SECTORS;
        let grains = (gd + directory + tables * GT_SECTORS).next_multiple_of(GRAIN_SECTORS);
        Self { sectors, descriptor, tables, rgd, gd, grains }
    }

    fn header(&self) -> SparseExtentHeader {
        let embedded = u64::from(self.descriptor.is_some());
        SparseExtentHeader {
            magic: KDMV,
            version: 1.into(),
            flags: (HeaderFlags::NEWLINE_TEST | HeaderFlags::REDUNDANT_TABLES).bits().into(),
            capacity: self.sectors.into(),
            grain_size: GRAIN_SECTORS.into(),
            descriptor_offset: embedded.into(),
            descriptor_size: (embedded * EMBEDDED_SECTORS).into(),
            num_gtes_per_gt: GTES_PER_GT.into(),
            rgd_offset: self.rgd.into(),
            gd_offset: self.gd.into(),
            over_head: self.grains.into(),
            unclean_shutdown: 0,
            newline_test: NEWLINE_TEST,
            compress_algorithm: COMPRESSION_NONE.into(),
            pad: [0; 433],
        }
    }
}

impl Metadata for Extent {
    fn front(&self, places: &Places<'_>, put: &mut Put<'_>) -> Result<()> {
        put(0, self.header().as_bytes())?;
        if let Some(descriptor) = &self.descriptor {
            put(SECTOR, descriptor)?;
        }
        let entry = |sector: u64| (sector as u32).to_le_bytes();
        for directory in [self.rgd, self.gd] {
            let first = directory + (self.tables * 4).div_ceil(SECTOR);
            let tables = (0..self.tables).map(|table| (table, entry(first + table * GT_SECTORS)));
            put_table((directory * SECTOR, self.tables * 4), 0, tables, put)?;
            let grains = places.iter().map(|(grain, place)| (grain, entry(place / SECTOR)));
            put_table((first * SECTOR, self.tables * GT_SECTORS * SECTOR), 0, grains, put)?;
        }
        Ok(())
    }

    fn check(&self, end: u64) -> Result<()> {
        sector32(end / SECTOR).map(drop)
    }
}
