//! The block allocation table, and where the blocks it names may lie.

use std::mem::offset_of;
use std::ops::Range;

use byteorder::{BigEndian, ByteOrder};

use super::footer::Found;
use super::header::{HEADER, Header};
use super::layout::*;
use crate::disk::{LayerInfo, WarningKind};
use crate::error::{Error, Problem, Result};
use crate::format::tools::space::Space;
use crate::format::tools::table::{PagedTable, TableCursor};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::storage::ImageFile;

pub(super) const BAT: &str = "BAT";
pub(super) const BATMAP: &str = "batmap";

/// The table, with what its entries are checked against.
pub(super) struct Bat {
    table: PagedTable<u32>,
    /// Virtual size of the disk.
    size: u64,
    pub(super) block_size: u64,
    /// Bytes of the sector bitmap that stands before each block's data.
    pub(super) bitmap_size: u64,
    /// The copy of the footer, the header and the BAT: no block may lie there.
    structures: [(&'static str, Range<u64>); 3],
    data_end: u64,
    /// XenServer's batmap, if there is one: header and map.
    pub(super) batmap: Vec<Range<u64>>,
    /// Whether a block that the data end in is read up to there; else it is refused.
    pub(super) reads_cut_blocks: bool,
}

impl Bat {
    pub(super) fn open(
        file: &ImageFile,
        found: &Found,
        header: &Header,
        info: &mut LayerInfo,
    ) -> Result<Self> {
        let offset = header.fields.table_offset.get();
        let len = header.entries() * 4;
        if len > file.size() {
            let field = offset_of!(DynamicHeader, max_table_entries);
            let expected = format!("a table that fits into a file of {} bytes", file.size());
            let entries = format!("{} entries, {len} bytes", header.entries());
            return Err(header.defect(file, Problem::Table, field, expected, entries));
        }
        file.check_inside(Format::Vhd, BAT, offset, len)?;
        let structures = [
            ("the copy of the footer", 0..SECTOR),
            (HEADER, header.offset..header.offset + size_of::<DynamicHeader>() as u64),
            (BAT, offset..offset + len),
        ];
        let footer = ("the footer", found.data_end..file.size());
        for (name, taken) in structures[..2].iter().chain([&footer]) {
            if offset < taken.end && taken.start < offset + len {
                let field = offset_of!(DynamicHeader, table_offset);
                let expected = format!("a table of {len} bytes apart from {name} at {}", taken.start);
                return Err(header.defect(
                    file,
                    Problem::Overlap,
                    field,
                    expected,
                    format!("one at {offset}"),
                ));
            }
        }
        if !offset.is_multiple_of(SECTOR) {
            let message = format!("its offset {offset} is not a whole number of sectors");
            info.warn(file, WarningKind::Irregular, BAT, message);
        }
        let batmap = batmap(file, (offset + len).next_multiple_of(SECTOR))?;
        if let Some(Range { start, .. }) = batmap.first() {
            let message = format!("XenServer's batmap at {start} is not used: the sector bitmaps count");
            info.warn(file, WarningKind::Unused, BATMAP, message);
        }
        let block_size = header.block_size();
        Ok(Self {
            table: PagedTable::new(offset, info.size.div_ceil(block_size), 4, BigEndian::read_u32),
            size: info.size,
            block_size,
            bitmap_size: (block_size / SECTOR).div_ceil(8).next_multiple_of(SECTOR),
            structures,
            data_end: found.data_end,
            batmap,
            reads_cut_blocks: false,
        })
    }

    /// What the structures take of the file that no block may lie over.
    pub(super) fn structures(&self) -> Space {
        let mut space = Space::default();
        for (_, range) in &self.structures {
            // That they do not overlap was checked.
            let _ = space.take(range.clone());
        }
        space
    }

    pub(super) fn cursor<'a>(&'a self, file: &'a ImageFile) -> TableCursor<'a, u32> {
        self.table.cursor(file)
    }

    /// Where block `index` begins in the file, with its bitmap; `None` when it is not there.
    pub(super) fn block(
        &self,
        file: &ImageFile,
        cursor: &mut TableCursor<'_, u32>,
        index: u64,
    ) -> Result<Option<u64>> {
        let Some(start) = place(cursor.get(index)?) else { return Ok(None) };
        let block = self.extent(index, start);
        let taken = |range: &Range<u64>| block.start < range.end && range.start < block.end;
        let there = if self.reads_cut_blocks { start + self.bitmap_size } else { block.end };
        if there > self.data_end || self.structures.iter().any(|(_, range)| taken(range)) {
            return Err(self.misplaced(file, index, block));
        }
        Ok(Some(start))
    }

    /// What block `index` takes of the file, if it was cut with the file, and lies over no structure.
    pub(super) fn cut_block(
        &self,
        cursor: &mut TableCursor<'_, u32>,
        index: u64,
    ) -> Result<Option<Range<u64>>> {
        let block = place(cursor.get(index)?).map(|start| self.extent(index, start));
        let is_cut = |block: &Range<u64>| block.start < self.data_end && self.data_end < block.end;
        let taken =
            |block: &Range<u64>, range: &Range<u64>| block.start < range.end && range.start < block.end;
        let apart = |block: &Range<u64>| !self.structures.iter().any(|(_, range)| taken(block, range));
        Ok(block.filter(|block| is_cut(block) && apart(block)))
    }

    /// How many of `len` bytes at `offset`, data of block `index`, are there: all of them, but for a salvage.
    pub(super) fn reach(&self, file: &ImageFile, index: u64, offset: u64, len: u64) -> Result<u64> {
        match self.data_end.saturating_sub(offset) {
            0 => Err(self.misplaced(file, index, offset..offset + len)),
            there => Ok(len.min(there)),
        }
    }

    /// What block `index`, which begins at `start`, takes of the file with its bitmap.
    pub(super) fn extent(&self, index: u64, start: u64) -> Range<u64> {
        start..start + self.bitmap_size + self.used(index)
    }

    /// Bytes of block `index` that belong to the disk. Of the last block, what lies beyond the disk's end need not be in the file.
    pub(super) fn used(&self, index: u64) -> u64 {
        self.block_size.min(self.size - index * self.block_size)
    }

    /// How many blocks the disk has.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block_size)
    }

    /// Where the entry of block `index` lies in the file.
    pub(super) fn entry_offset(&self, index: u64) -> u64 {
        self.table.entry_offset(index)
    }

    /// Forgets what was read of the entry of block `index`, which has changed in the file.
    pub(super) fn forget(&self, index: u64) {
        self.table.forget(index);
    }

    /// The error for a block that lies where it cannot.
    fn misplaced(&self, file: &ImageFile, index: u64, block: Range<u64>) -> Error {
        let at = self.table.entry_offset(index);
        let place = format!("block {index} at {} to {}", block.start, block.end);
        if block.end > file.size() {
            let expected = format!("a block within a file of {} bytes", file.size());
            let defect = file.defect_box(Format::Vhd, Problem::OutOfFile, BAT, at, expected, place);
            // Where the footer is whole, so is the file.
            let cut = self.data_end == file.size();
            return if cut { defect.advise(Hint::JoinPieces) } else { defect }.into();
        }
        let taken = |range: &Range<u64>| block.start < range.end && range.start < block.end;
        let structure = self.structures.iter().find(|(_, range)| taken(range));
        let name = structure.map_or("the footer", |(name, _)| name);
        file.defect(Format::Vhd, Problem::Overlap, BAT, at, format!("a block apart from {name}"), place)
    }
}

/// Where the block of an entry begins; `None` when it is not in the file.
pub(super) fn place(entry: u32) -> Option<u64> {
    (entry != UNUSED).then_some(u64::from(entry) * SECTOR)
}

/// XenServer keeps a map of the blocks that are wholly written behind the BAT, at `offset`: its header, and the map.
/// It says nothing that the sector bitmaps do not say.
fn batmap(file: &ImageFile, offset: u64) -> Result<Vec<Range<u64>>> {
    if offset.checked_add(SECTOR).is_none_or(|end| end > file.size()) {
        return Ok(Vec::new());
    }
    let header: BatmapHeader = file.read_struct(Format::Vhd, BATMAP, offset)?;
    if header.cookie != BATMAP_COOKIE {
        return Ok(Vec::new());
    }
    let start = header.batmap_offset.get();
    let end = start.saturating_add(u64::from(header.batmap_size.get()) * SECTOR);
    Ok(vec![offset..offset + SECTOR, start..end])
}
