//! The dynamic disk header.

use std::mem::offset_of;
use std::ops::Range;

use super::footer::Found;
use super::layout::*;
use crate::disk::{LayerInfo, WarningKind};
use crate::error::{Error, Problem, Result};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::storage::ImageFile;

pub(super) const HEADER: &str = "dynamic disk header";

/// Block sizes in use go from 512 KiB to 16 MiB; what lies beyond these bounds is no block size but an attack.
const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 512..=256 << 20;

/// The header of a dynamic or differencing disk, checked.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) fields: DynamicHeader,
    pub(super) offset: u64,
}

impl Header {
    /// Reads and checks the header that the footer points to.
    pub(super) fn read(file: &ImageFile, found: &Found, info: &mut LayerInfo) -> Result<Self> {
        let offset = found.footer.data_offset.get();
        if offset < SECTOR {
            let expected = "a header behind the copy of the footer";
            return Err(file.defect(
                Format::Vhd,
                Problem::Overlap,
                HEADER,
                offset,
                expected,
                format!("one at {offset}"),
            ));
        }
        let fields: DynamicHeader = file.read_struct(Format::Vhd, HEADER, offset)?;
        let header = Self { fields, offset };
        if offset + size_of::<DynamicHeader>() as u64 > found.data_end {
            let expected = format!("a header before the footer at {}", found.data_end);
            let place = format!("one at {offset}");
            return Err(file.defect(Format::Vhd, Problem::Overlap, HEADER, offset, expected, place));
        }
        header.check_identity(file, found)?;
        header.check_sizes(file, info.size)?;
        let next = fields.data_offset.get();
        if !matches!(next, u64::MAX | 0xFFFF_FFFF) {
            info.warn(
                file,
                WarningKind::Irregular,
                HEADER,
                format!("its data offset is {next:#x}, where no next structure is defined"),
            );
        }
        if fields.reserved1.get() != 0 || fields.reserved2.iter().any(|&byte| byte != 0) {
            info.warn(file, WarningKind::Irregular, HEADER, "its reserved bytes are not zero");
        }
        Ok(header)
    }

    fn check_identity(&self, file: &ImageFile, found: &Found) -> Result<()> {
        let fields = &self.fields;
        if fields.cookie != HEADER_COOKIE {
            // With neither the copy of the footer nor the header, it is not a field that is wrong: the file does
            // not begin where the disk does.
            let problem = if found.has_copy { Problem::Signature } else { Problem::Truncated };
            let cookie = format!("\"{}\"", fields.cookie.escape_ascii());
            let defect =
                file.defect_box(Format::Vhd, problem, HEADER, self.offset, "the cookie \"cxsparse\"", cookie);
            return Err(if found.has_copy { defect } else { defect.advise(Hint::JoinPieces) }.into());
        }
        if fields.computed_checksum() != fields.checksum.get() {
            let expected = format!("{:#010x}", fields.computed_checksum());
            let stored = format!("{:#010x}", fields.checksum);
            return Err(self.defect(
                file,
                Problem::Checksum,
                offset_of!(DynamicHeader, checksum),
                expected,
                stored,
            ));
        }
        let version = fields.header_version.get();
        if version >> 16 != VERSION_1_0 >> 16 {
            let field = offset_of!(DynamicHeader, header_version);
            let version = format!("{}.{}", version >> 16, version & 0xFFFF);
            return Err(self.defect(file, Problem::Unsupported, field, "version 1.0", version));
        }
        Ok(())
    }

    fn check_sizes(&self, file: &ImageFile, size: u64) -> Result<()> {
        let block = self.fields.block_size.get();
        if !block.is_power_of_two() || !BLOCK_SIZES.contains(&block) {
            let field = offset_of!(DynamicHeader, block_size);
            let expected = "a power of two from 512 bytes to 256 MiB";
            return Err(self.defect(file, Problem::BlockSize, field, expected, format!("{block} bytes")));
        }
        // XenServer makes room for a disk that may grow: more entries than needed are fine.
        let (entries, needed) = (self.entries(), size.div_ceil(self.block_size()));
        if entries < needed {
            let field = offset_of!(DynamicHeader, max_table_entries);
            let expected = format!("at least {needed} entries, for {size} bytes in blocks of {block}");
            return Err(self.defect(file, Problem::Table, field, expected, format!("{entries}")));
        }
        Ok(())
    }

    /// Bytes of a block's data.
    pub(super) fn block_size(&self) -> u64 {
        self.fields.block_size.get().into()
    }

    /// Entries of the BAT, some of which the disk may not need.
    pub(super) fn entries(&self) -> u64 {
        self.fields.max_table_entries.get().into()
    }

    /// What the BAT takes of the file: whole sectors.
    pub(super) fn table(&self) -> Range<u64> {
        let start = self.fields.table_offset.get();
        start..start.saturating_add((self.entries() * 4).next_multiple_of(SECTOR))
    }

    /// The error for a field of the header.
    pub(super) fn defect(
        &self,
        file: &ImageFile,
        problem: Problem,
        field: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        file.defect(Format::Vhd, problem, HEADER, self.offset + field as u64, expected, found)
    }
}
