//! Hosted sparse extents: monolithicSparse, the pieces of twoGbMaxExtentSparse, streamOptimized.

use std::mem::offset_of;
use std::ops::Range;
use std::sync::OnceLock;

use super::GrainTables;
use super::capacity;
use super::extent_source::ExtentSource;
use super::grain_map::GrainMap;
use super::grain_table::{Grain, TablePages};
use super::layout::{
    COMPRESSION_DEFLATE, COMPRESSION_NONE, GD_AT_END, HeaderFlags, INCOMPATIBLE_FLAGS, KDMV, KDMV_UNFINISHED,
    NEWLINE_TEST, SECTOR, SparseExtentHeader,
};
use super::packed::Packing;
use crate::error::{Problem, Result};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::storage::ImageFile;

/// Sectors of a grain, by policy: what writers have used. The specification allows any power of two above 8, which
/// is a slip for "at least 8".
const GRAIN_SECTORS: std::ops::RangeInclusive<u64> = 8..=2048;
/// Entries of a grain table, by policy; writers use 512.
const GTES_PER_GT: std::ops::RangeInclusive<u32> = 1..=65_536;
/// Bytes of an embedded descriptor.
const MAX_DESCRIPTOR: u64 = super::descriptor::MAX_BYTES;
/// Entries of the grain directory that are looked at, from its end, for the last grain of a streamOptimized extent:
/// the last 4 TiB of the disk, as writers lay out tables. Few enough that a chain of such disks opens at once.
const TAIL_ENTRIES: u64 = 1 << 17;
/// Grain tables that are looked at for it.
const TAIL_TABLES: u32 = 16;

/// The header of a hosted sparse extent, or the footer that takes its place, checked.
pub(super) struct Header {
    pub(super) flags: HeaderFlags,
    pub(super) version: u32,
    /// Sectors of the disk.
    pub(super) capacity: u64,
    /// Bytes of a grain.
    pub(super) grain: u64,
    pub(super) gtes_per_gt: u64,
    /// Where the descriptor lies in the file; empty when there is none.
    pub(super) descriptor: Range<u64>,
    /// First sectors of the directories.
    pub(super) gd: u64,
    pub(super) rgd: Option<u64>,
    /// Sectors before the first grain.
    pub(super) over_head: u64,
    pub(super) compressed: bool,
    /// Whether the grain directory is found through the footer.
    pub(super) gd_at_end: bool,
    pub(super) unclean: bool,
}

impl Header {
    /// Checks what the header, or footer, at `at` of `file` says by itself.
    pub(super) fn check(
        file: &ImageFile,
        raw: &SparseExtentHeader,
        at: u64,
        structure: &'static str,
    ) -> Result<Self> {
        let defect = |problem, field: usize, expected: String, found: String| {
            file.defect(Format::Vmdk, problem, structure, at + field as u64, expected, found)
        };
        if raw.magic == KDMV_UNFINISHED {
            let found = "\"kdmv\": its writer did not finish the file";
            return Err(defect(Problem::Truncated, 0, "\"KDMV\"".into(), found.into()));
        }
        if raw.magic != KDMV {
            return Err(defect(Problem::Signature, 0, "\"KDMV\"".into(), format!("{:02x?}", raw.magic)));
        }
        let bits = raw.flags.get();
        let flags = HeaderFlags::from_bits_truncate(bits);
        if flags.contains(HeaderFlags::NEWLINE_TEST) && raw.newline_test != NEWLINE_TEST {
            return Err(file
                .defect_box(
                    Format::Vmdk,
                    Problem::Truncated,
                    structure,
                    at + offset_of!(SparseExtentHeader, newline_test) as u64,
                    format!("the newline test bytes {NEWLINE_TEST:02x?}"),
                    format!("{:02x?}", raw.newline_test),
                )
                .advise(Hint::TransferBinary)
                .into());
        }
        let version = raw.version.get();
        if !(1..=3).contains(&version) {
            let field = offset_of!(SparseExtentHeader, version);
            return Err(defect(Problem::Unsupported, field, "version 1, 2 or 3".into(), version.to_string()));
        }
        let unknown = bits & INCOMPATIBLE_FLAGS & !HeaderFlags::all().bits();
        if unknown != 0 {
            let field = offset_of!(SparseExtentHeader, flags);
            let expected = format!("no incompatible flags but {:#x}", HeaderFlags::all().bits());
            return Err(defect(Problem::Unsupported, field, expected, format!("{unknown:#x}")));
        }
        let capacity = raw.capacity.get();
        let field = offset_of!(SparseExtentHeader, capacity);
        capacity::check(file, (structure, at + field as u64), capacity)?;
        let grain = raw.grain_size.get();
        if !GRAIN_SECTORS.contains(&grain) || !grain.is_power_of_two() {
            let field = offset_of!(SparseExtentHeader, grain_size);
            let expected = "a power of two of 8 to 2048 sectors";
            return Err(defect(Problem::BlockSize, field, expected.into(), grain.to_string()));
        }
        let gtes_per_gt = raw.num_gtes_per_gt.get();
        if !GTES_PER_GT.contains(&gtes_per_gt) {
            let field = offset_of!(SparseExtentHeader, num_gtes_per_gt);
            let expected = "1 to 65536 entries of a grain table";
            return Err(defect(Problem::Table, field, expected.into(), gtes_per_gt.to_string()));
        }
        let algorithm = raw.compress_algorithm.get();
        let compressed = flags.contains(HeaderFlags::COMPRESSED);
        let field = offset_of!(SparseExtentHeader, compress_algorithm);
        match algorithm {
            // Some writers set the flag and not the algorithm; there is only one.
            COMPRESSION_NONE => {}
            COMPRESSION_DEFLATE if compressed => {}
            COMPRESSION_DEFLATE => {
                let expected = "0, since the flag for compressed grains is not set";
                return Err(defect(Problem::Ambiguous, field, expected.into(), "1 (deflate)".into()));
            }
            _ => {
                let expected = "0 (none) or 1 (deflate)";
                return Err(defect(Problem::Unsupported, field, expected.into(), algorithm.to_string()));
            }
        }
        let (first, sectors) = (raw.descriptor_offset.get(), raw.descriptor_size.get());
        let descriptor = match first.checked_add(sectors).and_then(|end| end.checked_mul(SECTOR)) {
            _ if first == 0 => 0..0,
            Some(end) if sectors * SECTOR <= MAX_DESCRIPTOR => first * SECTOR..end,
            _ => {
                let field = offset_of!(SparseExtentHeader, descriptor_offset);
                let expected = format!("a descriptor of at most {MAX_DESCRIPTOR} bytes inside the file");
                return Err(defect(
                    Problem::Descriptor,
                    field,
                    expected,
                    format!("{sectors} sectors at sector {first}"),
                ));
            }
        };
        let redundant = flags.contains(HeaderFlags::REDUNDANT_TABLES) && raw.rgd_offset.get() != 0;
        Ok(Self {
            flags,
            version,
            capacity,
            grain: grain * SECTOR,
            gtes_per_gt: gtes_per_gt.into(),
            descriptor,
            gd: raw.gd_offset.get(),
            rgd: redundant.then(|| raw.rgd_offset.get()),
            over_head: raw.over_head.get(),
            compressed,
            gd_at_end: raw.gd_offset.get() == GD_AT_END,
            unclean: raw.unclean_shutdown != 0,
        })
    }

    /// The header of the extent in `file`: with the footer's directories, where it leaves them to the footer.
    pub(super) fn read(file: &ImageFile) -> Result<Self> {
        let raw = file.read_struct(Format::Vmdk, "header", 0)?;
        let header = Self::check(file, &raw, 0, "header")?;
        if !header.gd_at_end {
            return Ok(header);
        }
        let at = super::footer::find(file)?;
        let footer = Self::check(file, &file.read_struct(Format::Vmdk, "footer", at)?, at, "footer")?;
        header.check_footer(file, &footer, at)?;
        Ok(Self { gd: footer.gd, rgd: footer.rgd, ..header })
    }

    /// That `footer` at `at` describes the same extent as this header, and says where the grain directory is.
    pub(super) fn check_footer(&self, file: &ImageFile, footer: &Self, at: u64) -> Result<()> {
        let layout = |header: &Self| (header.capacity, header.grain, header.gtes_per_gt, header.flags);
        if layout(self) != layout(footer) {
            let what = "capacity, grain size, table size and flags";
            return Err(file.defect(
                Format::Vmdk,
                Problem::Ambiguous,
                "footer",
                at,
                format!("the header's {what} {:?}", layout(self)),
                format!("{:?}", layout(footer)),
            ));
        }
        if footer.gd_at_end {
            let field = at + offset_of!(SparseExtentHeader, gd_offset) as u64;
            let expected = "the grain directory's sector";
            return Err(file.defect(
                Format::Vmdk,
                Problem::Truncated,
                "footer",
                field,
                expected,
                "the mark of a header",
            ));
        }
        Ok(())
    }

    /// The sectors that count: those that the descriptor declares, or the header's.
    pub(super) fn sectors(&self, file: &ImageFile, declared: Option<u64>) -> Result<u64> {
        let field = ("header", offset_of!(SparseExtentHeader, capacity));
        capacity::sectors(file, field, (self.capacity, self.grain / SECTOR), declared)
    }

    /// The map of the extent.
    pub(super) fn map(&self, source: &ExtentSource<'_>) -> Result<GrainMap> {
        let ExtentSource { extent, file, index, declared, choice, salvage } = *source;
        let size = self.sectors(file, declared)? * SECTOR;
        let bytes = |sector: u64, name, field: usize| match sector.checked_mul(SECTOR) {
            Some(offset) if offset > 0 && offset < file.size() => Ok(offset),
            _ => Err(file.defect(
                Format::Vmdk,
                Problem::OutOfFile,
                name,
                field as u64,
                format!("a sector within a file of {} bytes", file.size()),
                format!("sector {sector}"),
            )),
        };
        let gd = || bytes(self.gd, "grain directory", offset_of!(SparseExtentHeader, gd_offset));
        let rgd =
            |sector| bytes(sector, "redundant grain directory", offset_of!(SparseExtentHeader, rgd_offset));
        let (directory, redundant) = match (choice, self.rgd) {
            (GrainTables::Redundant, Some(sector)) => (rgd(sector)?, None),
            (GrainTables::MustAgree, Some(sector)) if sector != self.gd => (gd()?, Some(rgd(sector)?)),
            _ => (gd()?, None),
        };
        let mut reserved = vec![("header", 0..SECTOR)];
        if !self.descriptor.is_empty() {
            reserved.push(("descriptor", self.descriptor.clone()));
        }
        let packing = match self.flags.contains(HeaderFlags::MARKERS) {
            _ if !self.compressed => None,
            true => Some(Packing::Markers),
            false => Some(Packing::Sizes),
        };
        let mut map = GrainMap {
            extent,
            file: index,
            size,
            grain: self.grain,
            gtes_per_gt: self.gtes_per_gt,
            directory,
            redundant,
            unclean: self.unclean,
            cowd: false,
            zeroed_grains: self.version >= 2 || self.flags.contains(HeaderFlags::ZEROED_GRAINS),
            packing,
            last_grain: OnceLock::new(),
            reads_cut_grains: salvage,
            reserved,
        };
        map.check(file)?;
        Ok(map)
    }
}

/// That a streamOptimized extent whose tables lie in front is not cut, as far as its last grain tells: such a file
/// has no footer, and qemu does not write the marker at the end of the stream either.
pub(super) fn check_tail(map: &GrainMap, file: &ImageFile, pages: &TablePages) -> Result<()> {
    let mut cursor = map.cursor(file, pages);
    let mut left = TAIL_TABLES;
    for table in (0..map.tables()).rev().take(TAIL_ENTRIES as usize) {
        if cursor.table(table)?.is_none() {
            continue;
        }
        let first = table * map.gtes_per_gt;
        for grain in (first..map.grains().min(first + map.gtes_per_gt)).rev() {
            if let (Grain::At(_) | Grain::Alone(_), _) = cursor.look(grain, 1)? {
                return map.map(file, pages, grain * map.grain, 1).map(drop);
            }
        }
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(())
}
