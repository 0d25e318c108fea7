//! Block allocation table, [MS-VHDX] 2.5: its shape, its entries, and what they may say.

use std::ops::Range;

use byteorder::{ByteOrder, LittleEndian};

use super::metadata::Metadata;
use super::region::Reserved;
use crate::disk::cache::ChunkCache;
use crate::error::{Error, Problem, Result};
use crate::format::tools::table::{PagedTable, TableCursor};
use crate::leaves::Format::Vhdx;
use crate::leaves::MIB;
use crate::storage::ImageFile;

/// Bytes of an entry.
const ENTRY: u64 = 8;
/// Sectors whose bits fill a sector bitmap block: the sectors of a chunk.
const CHUNK_SECTORS_SHIFT: u32 = 23;
/// PAYLOAD_BLOCK_ZERO without an offset: Hyper-V does not open files that have one with.
pub(super) const ZERO: u64 = 2;
/// PAYLOAD_BLOCK_FULLY_PRESENT, and SB_BLOCK_PRESENT.
pub(super) const PRESENT: u64 = 6;
/// PAYLOAD_BLOCK_PARTIALLY_PRESENT.
pub(super) const PARTIALLY_PRESENT: u64 = 7;
/// Parts of the table that one progression goes through at most, holes left out: one call stays short.
const PARTS: u32 = 64;
/// Pieces of sector bitmaps kept.
const BITMAPS: u64 = 64;

/// The BAT of a file, with all that is needed to understand an entry.
pub(crate) struct Bat {
    pub(super) table: PagedTable<u64>,
    /// How many entries the disk needs.
    pub(super) entries: u64,
    /// Virtual size in bytes.
    pub(super) size: u64,
    /// Blocks, sectors and chunks are powers of two; these are their logarithms.
    pub(super) block_shift: u32,
    pub(super) sector_shift: u32,
    /// Payload blocks of a chunk.
    chunk_shift: u32,
    pub(super) differencing: bool,
    /// What no block may touch, in order.
    reserved: Vec<Reserved>,
    pub(super) bitmaps: ChunkCache,
    /// Whether a block that the file ends in is read up to there; else it is refused.
    pub(super) reads_cut_blocks: bool,
}

/// An entry as it stands on disk, 2.5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatEntry(u64);

/// A walk through a BAT, page by page.
#[derive(Default)]
pub(super) struct Page {
    /// The entries of the page that are not zero, with their indices.
    pub(super) entries: Vec<(u64, BatEntry)>,
    /// The first entry after the page.
    next: u64,
    /// How far the storage has data, as far as it was asked.
    data_end: u64,
}

/// The states of a payload block, 2.5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadState {
    /// The parent decides; without one the content is undefined, and read as zeros.
    NotPresent,
    /// UNDEFINED, ZERO and UNMAPPED: what they have in common is that the parent does not show through.
    Zero,
    FullyPresent,
    PartiallyPresent,
}

impl PayloadState {
    /// Whether the block has a place in the file.
    pub(super) fn is_present(self) -> bool {
        matches!(self, Self::FullyPresent | Self::PartiallyPresent)
    }
}

impl BatEntry {
    /// The entry as it is.
    pub(super) fn raw(self) -> u64 {
        self.0
    }

    pub(super) fn state(self) -> u64 {
        self.0 & 7
    }

    fn reserved(self) -> u64 {
        self.0 & 0xf_fff8
    }

    /// FileOffsetMB, in bytes.
    pub(super) fn file_offset(self) -> u64 {
        self.0 & !(MIB - 1)
    }
}

/// The logarithm of the chunk ratio, 2.5: 2^23 * logical sector size / block size, from 16 to 32768.
fn chunk_shift(block_shift: u32, sector_shift: u32) -> u32 {
    CHUNK_SECTORS_SHIFT + sector_shift - block_shift
}

/// How many entries the BAT of a disk of `size` bytes, at least 1, needs. A differencing disk has that of the last chunk's sector
/// bitmap block too.
pub(super) fn entries(size: u64, block_shift: u32, sector_shift: u32, differencing: bool) -> u64 {
    let chunk_shift = chunk_shift(block_shift, sector_shift);
    let blocks = size.div_ceil(1 << block_shift);
    if differencing {
        blocks.div_ceil(1 << chunk_shift) * ((1 << chunk_shift) + 1)
    } else {
        blocks + ((blocks - 1) >> chunk_shift)
    }
}

impl Bat {
    /// The BAT in `region`, which lies in `file`.
    pub(crate) fn new(
        file: &ImageFile,
        region: &Range<u64>,
        metadata: &Metadata,
        reserved: Vec<Reserved>,
    ) -> Result<Self> {
        let block_shift = metadata.block_size.trailing_zeros();
        let sector_shift = metadata.logical_sector_size.trailing_zeros();
        let chunk_shift = chunk_shift(block_shift, sector_shift);
        let blocks = metadata.size.div_ceil(metadata.block_size);
        let differencing = metadata.parent.is_some();
        let entries = entries(metadata.size, block_shift, sector_shift, differencing);
        if entries * ENTRY > region.end - region.start {
            return Err(file.defect(
                Vhdx,
                Problem::Table,
                "BAT region",
                region.start,
                format!("{} bytes for {blocks} blocks", entries * ENTRY),
                format!("{} bytes", region.end - region.start),
            ));
        }
        Ok(Self {
            table: PagedTable::new(region.start, entries, ENTRY, LittleEndian::read_u64),
            entries,
            size: metadata.size,
            block_shift,
            sector_shift,
            chunk_shift,
            differencing,
            reserved,
            bitmaps: ChunkCache::new(BITMAPS),
            reads_cut_blocks: false,
        })
    }

    /// The chunk that the entry at `index` belongs to.
    fn chunk(&self, index: u64) -> u64 {
        index / ((1 << self.chunk_shift) + 1)
    }

    /// The index of the entry of the sector bitmap block that covers a payload block.
    pub(super) fn bitmap_index(&self, block: u64) -> u64 {
        let chunk = block >> self.chunk_shift;
        ((chunk + 1) << self.chunk_shift) + chunk
    }

    /// The payload block whose entry is at `index`; `None` for a sector bitmap block's.
    pub(super) fn block_of(&self, index: u64) -> Option<u64> {
        let chunk = self.chunk(index);
        (index != ((chunk + 1) << self.chunk_shift) + chunk).then(|| index - chunk)
    }

    /// The index of a payload block's entry: behind each chunk's there is one of its sector bitmap block.
    pub(super) fn index(&self, block: u64) -> u64 {
        block + (block >> self.chunk_shift)
    }

    /// The entry of a payload block and its state.
    pub(super) fn payload(
        &self,
        cursor: &mut TableCursor<'_, u64>,
        block: u64,
    ) -> Result<(BatEntry, PayloadState)> {
        let index = self.index(block);
        let entry = BatEntry(cursor.get(index)?);
        let state = match entry.state() {
            _ if entry.reserved() != 0 => Err("reserved bits that are zero"),
            0 => Ok(PayloadState::NotPresent),
            1..=3 => Ok(PayloadState::Zero),
            PRESENT => Ok(PayloadState::FullyPresent),
            PARTIALLY_PRESENT if self.differencing => Ok(PayloadState::PartiallyPresent),
            PARTIALLY_PRESENT => Err("no PARTIALLY_PRESENT block without a parent"),
            _ => Err("one of the states 0, 1, 2, 3, 6 and 7"),
        };
        match state {
            Ok(state) => Ok((entry, state)),
            Err(expected) => {
                Err(self.defect(cursor, Problem::Value, index, expected, format!("{:#x}", entry.0)))
            }
        }
    }

    /// Where the sector bitmap block lies that covers a PARTIALLY_PRESENT block.
    pub(super) fn bitmap(&self, cursor: &mut TableCursor<'_, u64>, block: u64) -> Result<u64> {
        let entry = self.bitmap_entry(cursor, block)?;
        self.bitmap_at(cursor, self.bitmap_index(block), entry)
    }

    /// The entry of the sector bitmap block that covers a payload block.
    pub(super) fn bitmap_entry(&self, cursor: &mut TableCursor<'_, u64>, block: u64) -> Result<BatEntry> {
        cursor.get(self.bitmap_index(block)).map(BatEntry)
    }

    /// Where the sector bitmap block lies whose entry is at `index`.
    pub(super) fn bitmap_at(
        &self,
        cursor: &TableCursor<'_, u64>,
        index: u64,
        entry: BatEntry,
    ) -> Result<u64> {
        if entry.state() != PRESENT || entry.reserved() != 0 {
            let expected = "a sector bitmap block that is PRESENT, for a PARTIALLY_PRESENT block";
            return Err(self.defect(cursor, Problem::Value, index, expected, format!("{:#x}", entry.0)));
        }
        self.check_place(cursor, index, entry, MIB, MIB)?;
        Ok(entry.file_offset())
    }

    /// The number of a block's first sector within its chunk.
    pub(super) fn sector_in_chunk(&self, block: u64) -> u64 {
        (block & ((1 << self.chunk_shift) - 1)) << (self.block_shift - self.sector_shift)
    }

    /// That a block of `len` bytes, of which `needed` are read, lies in the file and touches nothing else.
    pub(super) fn check_place(
        &self,
        cursor: &TableCursor<'_, u64>,
        index: u64,
        entry: BatEntry,
        len: u64,
        needed: u64,
    ) -> Result<()> {
        let start = entry.file_offset();
        let end = start.saturating_add(len);
        let next = self.reserved.partition_point(|reserved| reserved.range.end <= start);
        if let Some(other) = self.reserved.get(next).filter(|other| other.range.start < end) {
            let found = format!("a block at {start}..{end} over the {} at {:?}", other.name, other.range);
            let expected = "a block that overlaps no other structure";
            return Err(self.defect(cursor, Problem::Overlap, index, expected, found));
        }
        let size = cursor.file().size();
        if start.checked_add(needed).is_none_or(|end| end > size) {
            let expected = format!("{needed} bytes within a file of {size} bytes");
            return Err(self.defect(
                cursor,
                Problem::OutOfFile,
                index,
                expected,
                format!("a block at {start}"),
            ));
        }
        Ok(())
    }

    /// How many blocks from the file's `start` on touch neither another structure nor the end of the file.
    pub(super) fn room(&self, file: &ImageFile, start: u64) -> u64 {
        let next = self.reserved.partition_point(|reserved| reserved.range.end <= start);
        let end = self.reserved.get(next).map_or(u64::MAX, |reserved| reserved.range.start).min(file.size());
        end.saturating_sub(start) >> self.block_shift
    }

    /// The first payload block after `block`, or `end`, whose entry does not go on from `entry`, or is not looked at any more: from
    /// one to the next, entries grow by `step`.
    pub(super) fn progression(
        &self,
        cursor: &mut TableCursor<'_, u64>,
        block: u64,
        entry: BatEntry,
        step: u64,
        end: u64,
    ) -> Result<u64> {
        let mut at = block + 1;
        let mut expected = entry.0.wrapping_add(step);
        // How far the storage has data, as far as it was asked.
        let mut data_end = 0;
        for _ in 0..PARTS {
            if at >= end {
                break;
            }
            let index = self.index(at);
            let in_chunk = (1 << self.chunk_shift) - (at & ((1 << self.chunk_shift) - 1));
            let bytes = cursor.page_from(index)?;
            let entries = (bytes.len() as u64 / ENTRY).min(in_chunk).min(end - at);
            let bytes = &bytes[..(entries * ENTRY) as usize];
            let same = bytes.chunks_exact(ENTRY as usize).take_while(|bytes| {
                let same = LittleEndian::read_u64(bytes) == expected;
                expected = expected.wrapping_add(step);
                same
            });
            let same = same.count() as u64;
            at += same;
            if same < entries {
                break;
            }
            if expected == 0 && at < end {
                let index = self.skip_hole(cursor.file(), self.index(at), &mut data_end);
                at = (index - self.chunk(index)).min(end);
            }
        }
        Ok(at)
    }

    /// Hands each entry that is not zero to `visit`, with its index, in order.
    pub(super) fn for_each(
        &self,
        file: &ImageFile,
        mut visit: impl FnMut(u64, BatEntry) -> Result<()>,
    ) -> Result<()> {
        let mut page = Page::default();
        while self.next_page(file, &mut page)? {
            page.entries.iter().try_for_each(|&(index, entry)| visit(index, entry))?;
        }
        Ok(())
    }

    /// Goes on to the entries of the next page that are not zero; says `false` after the last. The table may be changed between
    /// two calls.
    pub(super) fn next_page(&self, file: &ImageFile, page: &mut Page) -> Result<bool> {
        page.entries.clear();
        while page.entries.is_empty() {
            page.next = self.skip_hole(file, page.next, &mut page.data_end);
            if page.next == self.entries {
                return Ok(false);
            }
            let mut cursor = self.table.cursor(file);
            let bytes = cursor.page_from(page.next)?;
            let entries = bytes.chunks_exact(ENTRY as usize).map(LittleEndian::read_u64);
            let entries = (page.next..).zip(entries).filter(|&(_, entry)| entry != 0);
            page.entries.extend(entries.map(|(index, entry)| (index, BatEntry(entry))));
            page.next += bytes.len() as u64 / ENTRY;
        }
        Ok(true)
    }

    /// The first entry from `index` on that does not lie in a hole of the file, or the end: those in holes are zero, and
    /// need not be read. A 64 TiB disk has up to 512 MiB of them.
    fn skip_hole(&self, file: &ImageFile, index: u64, data_end: &mut u64) -> u64 {
        let offset = self.table.entry_offset(index);
        if index >= self.entries || offset < *data_end {
            return index.min(self.entries);
        }
        match file.next_data(offset) {
            Ok(data) => {
                *data_end = data.end;
                self.entries.min(index + data.start.saturating_sub(offset) / ENTRY)
            }
            // It cannot tell, or there is less than there was: all of it is read, or fails.
            Err(_) => {
                *data_end = u64::MAX;
                index
            }
        }
    }

    fn defect(
        &self,
        cursor: &TableCursor<'_, u64>,
        problem: Problem,
        index: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        cursor.file().defect(Vhdx, problem, "BAT entry", self.table.entry_offset(index), expected, found)
    }
}
