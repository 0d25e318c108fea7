//! ESX sparse extents ("COWD"): the redo logs of VMFS 3 to 5.
//!
//! "Virtual Disk Format 5.0", section "ESX Server Sparse Extents".

use std::mem::offset_of;
use std::sync::OnceLock;

use super::capacity;
use super::extent_source::ExtentSource;
use super::grain_map::GrainMap;
use super::layout::{COWD, COWD_GTES_PER_GT, CowdHeader, SECTOR};
use crate::error::{Problem, Result};
use crate::leaves::Format;
use crate::storage::ImageFile;

/// Sectors of a grain: "from one sector to 1 MB".
const GRAIN_SECTORS: std::ops::RangeInclusive<u32> = 1..=2048;
/// The flag of a disk that has no parent.
const FLAG_ROOT: u32 = 1;
/// The flag of a disk that its writer found to be inconsistent.
const FLAG_INCONSISTENT: u32 = 4;

const STRUCTURE: &str = "COWD header";

/// The header of a COWD extent, checked.
pub(super) struct Header {
    /// Sectors of the disk.
    pub(super) capacity: u64,
    /// Bytes of a grain.
    pub(super) grain: u64,
    directory: u64,
    /// Whether it says of itself that it has no parent.
    pub(super) root: bool,
    pub(super) unclean: bool,
}

impl Header {
    pub(super) fn read(file: &ImageFile) -> Result<Self> {
        let raw: CowdHeader = file.read_struct(Format::Vmdk, STRUCTURE, 0)?;
        let defect = |problem, field: usize, expected: &str, found: u32| {
            file.defect(Format::Vmdk, problem, STRUCTURE, field as u64, expected, found.to_string())
        };
        if raw.magic != COWD {
            let found = format!("{:02x?}", raw.magic);
            return Err(file.defect(Format::Vmdk, Problem::Signature, STRUCTURE, 0, "\"COWD\"", found));
        }
        if raw.version.get() != 1 {
            let field = offset_of!(CowdHeader, version);
            return Err(defect(Problem::Unsupported, field, "version 1", raw.version.get()));
        }
        let (capacity, grain) = (raw.num_sectors.get(), raw.grain_size.get());
        if capacity == 0 {
            return Err(defect(Problem::Size, offset_of!(CowdHeader, num_sectors), "at least one sector", 0));
        }
        if !GRAIN_SECTORS.contains(&grain) {
            let field = offset_of!(CowdHeader, grain_size);
            return Err(defect(Problem::BlockSize, field, "1 to 2048 sectors", grain));
        }
        let needed = u64::from(capacity).div_ceil(u64::from(grain) * u64::from(COWD_GTES_PER_GT));
        let entries = raw.num_gd_entries.get();
        if u64::from(entries) < needed {
            let field = offset_of!(CowdHeader, num_gd_entries);
            let expected = format!("a grain directory of at least {needed} entries");
            return Err(defect(Problem::Table, field, &expected, entries));
        }
        let flags = raw.flags.get();
        Ok(Self {
            capacity: capacity.into(),
            grain: u64::from(grain) * SECTOR,
            directory: u64::from(raw.gd_offset.get()) * SECTOR,
            root: flags & FLAG_ROOT != 0,
            unclean: raw.unclean_shutdown.get() != 0 || flags & FLAG_INCONSISTENT != 0,
        })
    }

    /// The map of the extent.
    pub(super) fn map(&self, source: &ExtentSource<'_>) -> Result<GrainMap> {
        let ExtentSource { extent, file, index, declared, salvage, .. } = *source;
        let field = (STRUCTURE, offset_of!(CowdHeader, num_sectors));
        let sectors = capacity::sectors(file, field, (self.capacity, 1), declared)?;
        let mut map = GrainMap {
            extent,
            file: index,
            size: sectors * SECTOR,
            grain: self.grain,
            gtes_per_gt: COWD_GTES_PER_GT.into(),
            directory: self.directory,
            redundant: None,
            unclean: false,
            cowd: true,
            zeroed_grains: false,
            packing: None,
            last_grain: OnceLock::new(),
            reads_cut_grains: salvage,
            reserved: vec![("header", 0..size_of::<CowdHeader>() as u64)],
        };
        map.check(file)?;
        Ok(map)
    }
}
