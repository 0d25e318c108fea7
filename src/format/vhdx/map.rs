//! The map: from virtual ranges to the file, by the BAT and the sector bitmaps.

use std::sync::Arc;

use super::bat::{Bat, BatEntry, PayloadState};
use crate::disk::{FileIndex, Mapping, MappingKind};
use crate::error::{Error, Problem, Result};
use crate::format::tools::bitmap::{self, BitOrder};
use crate::format::tools::table::TableCursor;
use crate::storage::ImageFile;

/// Bytes of a sector bitmap read at once: the bits of 16 MiB of 512-byte sectors. All of a chunk's would be 1 MiB.
pub(super) const PIECE: u64 = 4096;
/// Runs that one call joins at most, so that it stays short.
const RUNS: u32 = 16;
const FILE: FileIndex = FileIndex(0);

impl Bat {
    /// The run at the virtual `offset`, at most `limit` bytes long; see [`crate::disk::Layer::map`].
    pub(crate) fn map(&self, file: &ImageFile, offset: u64, limit: u64) -> Result<Mapping> {
        let end = self.size.min(offset.saturating_add(limit));
        let mut cursor = self.table.cursor(file);
        let mut run = self.run(&mut cursor, offset, end)?;
        let in_block = (1 << self.block_shift) - 1;
        for _ in 0..RUNS {
            let at = offset + run.len;
            // Within a block, runs end only where the next is of another kind.
            if at >= end || at & in_block != 0 {
                return Ok(run);
            }
            // What is wrong with the next block is said when it is asked for.
            let Ok(next) = self.run(&mut cursor, at, end) else { return Ok(run) };
            if !follows(&run, &next) {
                return Ok(run);
            }
            run.len += next.len;
        }
        Ok(run)
    }

    /// The run at `offset`: within its block, or over blocks whose entries go on alike.
    fn run(&self, cursor: &mut TableCursor<'_, u64>, offset: u64, end: u64) -> Result<Mapping> {
        let block = offset >> self.block_shift;
        let skip = offset & ((1 << self.block_shift) - 1);
        let block_end = (offset - skip).saturating_add(1 << self.block_shift);
        let len = end.min(block_end) - offset;
        let (entry, state) = self.payload(cursor, block)?;
        // Blocks that go on as this one begins, so that a long run costs little more than its entries.
        let together = |cursor: &mut TableCursor<'_, u64>, step, room: u64| -> Result<u64> {
            let blocks_end = (((end - 1) >> self.block_shift) + 1).min(block.saturating_add(room));
            let next = self.progression(cursor, block, entry, step, blocks_end)?;
            Ok(end.min(next << self.block_shift) - offset)
        };
        match state {
            PayloadState::NotPresent => Ok(Mapping::absent(together(cursor, 0, u64::MAX)?)),
            PayloadState::Zero => Ok(Mapping::zero(together(cursor, 0, u64::MAX)?)),
            PayloadState::FullyPresent => {
                let there = self.reach(cursor, block, entry, skip, len)?;
                if there < len {
                    return Ok(Mapping::stored(there, FILE, entry.file_offset() + skip));
                }
                let room = self.room(cursor.file(), entry.file_offset());
                let len = together(cursor, 1 << self.block_shift, room)?;
                Ok(Mapping::stored(len, FILE, entry.file_offset() + skip))
            }
            PayloadState::PartiallyPresent => {
                let there = self.reach(cursor, block, entry, skip, len)?;
                let (set, len) = self.bits(cursor, block, skip, there)?;
                Ok(if set {
                    Mapping::stored(len, FILE, entry.file_offset() + skip)
                } else {
                    Mapping::absent(len)
                })
            }
        }
    }

    /// That a payload block lies where it may. What it has beyond the virtual size may be missing from the file.
    pub(super) fn check_payload(
        &self,
        cursor: &TableCursor<'_, u64>,
        block: u64,
        entry: BatEntry,
    ) -> Result<()> {
        let len = 1 << self.block_shift;
        let needed = (self.size - (block << self.block_shift)).min(len);
        self.check_place(cursor, self.index(block), entry, len, needed)
    }

    /// How many of the `len` bytes from `skip` on of a payload block are in the file: all of them, but for a salvage.
    fn reach(
        &self,
        cursor: &TableCursor<'_, u64>,
        block: u64,
        entry: BatEntry,
        skip: u64,
        len: u64,
    ) -> Result<u64> {
        match self.check_payload(cursor, block, entry) {
            Err(e) if self.is_cut(&e) => {
                let there = cursor.file().size().saturating_sub(entry.file_offset().saturating_add(skip));
                if there == 0 { Err(e) } else { Ok(len.min(there)) }
            }
            checked => checked.map(|()| len),
        }
    }

    /// Whether the file ends in a block which is read all the same, as far as it is there.
    fn is_cut(&self, error: &Error) -> bool {
        matches!(error, Error::Defect(defect) if self.reads_cut_blocks && defect.problem == Problem::OutOfFile)
    }

    /// Whether the sector at `skip` in a PARTIALLY_PRESENT block is in this file, and for how many of `len` bytes
    /// that goes on.
    fn bits(
        &self,
        cursor: &mut TableCursor<'_, u64>,
        block: u64,
        skip: u64,
        len: u64,
    ) -> Result<(bool, u64)> {
        let place = match self.bitmap(cursor, block) {
            Err(e) if self.is_cut(&e) => self.bitmap_entry(cursor, block)?.file_offset(),
            place => place?,
        };
        let file = cursor.file();
        let in_sector = skip & ((1 << self.sector_shift) - 1);
        let first = self.sector_in_chunk(block) + (skip >> self.sector_shift);
        let end = first + (in_sector + len).div_ceil(1 << self.sector_shift);
        let mut at = first;
        let mut all = None;
        while at < end {
            let number = at / 8 / PIECE;
            let piece = self.bitmap_piece(file, place + number * PIECE)?;
            let base = number * PIECE * 8;
            let piece_end = end.min(base + PIECE * 8);
            let (set, count) =
                bitmap::run(&piece, BitOrder::LsbFirst, (at - base) as usize, (piece_end - base) as usize);
            if *all.get_or_insert(set) != set {
                break;
            }
            at += count as u64;
            if at < piece_end {
                break;
            }
        }
        // The first sector may be cut by the offset, the last by the length.
        let run = ((at - first) << self.sector_shift) - in_sector;
        Ok((all.unwrap_or(false), run.min(len)))
    }

    /// A piece of a sector bitmap, which lies at `at`.
    pub(super) fn bitmap_piece(&self, file: &ImageFile, at: u64) -> Result<Arc<Vec<u8>>> {
        self.bitmaps.get(at / PIECE, || {
            let mut bytes = vec![0; PIECE as usize];
            file.read_exact_at(&mut bytes, at)?;
            Ok(bytes)
        })
    }
}

/// Whether `next`, which begins where `run` ends, is the same run.
fn follows(run: &Mapping, next: &Mapping) -> bool {
    match (run.kind, next.kind) {
        (MappingKind::Absent, MappingKind::Absent) | (MappingKind::Zero, MappingKind::Zero) => true,
        (MappingKind::Stored { offset, .. }, MappingKind::Stored { offset: next, .. }) => {
            offset.checked_add(run.len) == Some(next)
        }
        _ => false,
    }
}
