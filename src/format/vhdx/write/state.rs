//! The tables of a file that is being written: BAT, sector bitmaps, and which parts of the file are taken.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::allocation::{Allocation, MAX_FILE};
use super::super::bat::{Bat, PARTIALLY_PRESENT, PRESENT, PayloadState, ZERO};
use super::super::contents::Contents;
use super::super::map::PIECE;
use super::journal::Journal;
use crate::error::{Error, Result};
use crate::format::tools::bitmap::{self, BitOrder};
use crate::leaves::Format;
use crate::leaves::MIB;
use crate::storage::{ImageFile, WritableFile};

/// Sectors of the metadata that a change of one block can touch: the bits of a block of 256 MiB, and two entries of the BAT.
pub(super) const BLOCK_SECTORS: usize = 16 + 2;

/// All that changes with the metadata.
pub(super) struct State {
    pub(super) file: WritableFile,
    /// Shared, so that it can be published without keeping anyone from the tables.
    pub(super) journal: Arc<Mutex<Journal>>,
    /// The file with all changes, for reading tables.
    pub(super) view: ImageFile,
    pub(super) contents: Contents,
    pub(super) allocation: Allocation,
    /// What is given back when the change that freed it is durable.
    pub(super) freed: Vec<Range<u64>>,
    /// Where the parent's content ends, for a differencing disk.
    pub(super) parent_size: Option<u64>,
}

/// Room for a block, which is not in the BAT yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) place: u64,
    /// How many bytes from its beginning on may hold something; the rest is new in the file, and zeros.
    pub(super) stale: u64,
}

/// Where data for a part of a block go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// To the block that is there.
    Block(u64),
    /// To room for the block, of which nothing but the data will be read.
    Part(Room),
    /// To room for the block, all of which will be read.
    Whole(Room),
}

impl State {
    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bat(&self) -> &Bat {
        &self.contents.bat
    }

    pub(super) fn block_size(&self) -> u64 {
        1 << self.bat().block_shift
    }

    /// Where `block` ends on the disk.
    pub(super) fn block_end(&self, block: u64) -> u64 {
        self.bat().size.min((block + 1) << self.bat().block_shift)
    }

    /// The state of a payload block, and where it lies.
    pub(super) fn payload(&self, block: u64) -> Result<(PayloadState, u64)> {
        let (entry, state) = self.bat().payload(&mut self.bat().table.cursor(&self.view), block)?;
        Ok((state, entry.file_offset()))
    }

    /// Takes room for `len` bytes.
    pub(super) fn reserve(&mut self, len: u64) -> Result<Room> {
        let place = self.allocation.gap(len);
        let end = place.saturating_add(len);
        let size = self.file.size()?;
        if !self.allocation.take(place..end) {
            let limit = format!("a file of at most {MAX_FILE} bytes");
            return Err(Error::SizeLimit { format: Format::Vhdx, size: end, limit });
        }
        let room = Room { place, stale: size.clamp(place, end) - place };
        if size < end {
            self.extend(end).inspect_err(|_| self.release(room, len))?;
        }
        Ok(room)
    }

    fn extend(&mut self, end: u64) -> Result<()> {
        self.file.set_size(end)?;
        let view = self.journal().view()?;
        self.view = view;
        Ok(())
    }

    /// Gives back room that was taken and never used.
    pub(super) fn release(&mut self, room: Room, len: u64) {
        self.allocation.free(room.place..room.place + len);
    }

    /// Where data for `range` of the disk, which lies within one block, are to be written.
    pub(super) fn target(&mut self, range: &Range<u64>) -> Result<Target> {
        let block = range.start >> self.bat().block_shift;
        let (state, place) = self.payload(block)?;
        Ok(match state {
            PayloadState::FullyPresent | PayloadState::PartiallyPresent => Target::Block(place),
            PayloadState::NotPresent if self.bat().differencing && !self.covers(range, block) => {
                Target::Part(self.reserve(self.block_size())?)
            }
            _ => Target::Whole(self.reserve(self.block_size())?),
        })
    }

    /// Makes the data in `target` the content of `range`. Says `false` when another writer was faster in finding room for the block.
    /// There is room for [`BLOCK_SECTORS`] in the journal.
    pub(super) fn commit(&mut self, range: &Range<u64>, target: Target) -> Result<bool> {
        let block = range.start >> self.bat().block_shift;
        let (state, place) = self.payload(block)?;
        match target {
            Target::Block(_) if state == PayloadState::FullyPresent => {}
            Target::Block(_) if self.covers(range, block) => self.set_payload(block, place | PRESENT)?,
            Target::Block(_) => self.set_bits(block, range, false)?,
            Target::Part(_) | Target::Whole(_) if state.is_present() => return Ok(false),
            Target::Whole(room) => self.set_payload(block, room.place | PRESENT)?,
            Target::Part(room) => {
                self.set_bits(block, range, true)?;
                self.set_payload(block, room.place | PARTIALLY_PRESENT)?;
            }
        }
        Ok(true)
    }

    /// Whether `range` is all of `block`.
    pub(super) fn covers(&self, range: &Range<u64>, block: u64) -> bool {
        range.start == block << self.bat().block_shift && range.end == self.block_end(block)
    }

    /// Makes a block read as zeros by its entry alone. There is room for one sector in the journal.
    pub(super) fn set_zero(&mut self, block: u64) -> Result<()> {
        let (state, place) = self.payload(block)?;
        self.set_payload(block, ZERO)?;
        if state.is_present() {
            self.freed.push(place..place + self.block_size());
        }
        Ok(())
    }

    pub(super) fn set_payload(&mut self, block: u64, entry: u64) -> Result<()> {
        self.set_entry(self.bat().index(block), entry)
    }

    pub(super) fn set_entry(&mut self, index: u64, entry: u64) -> Result<()> {
        self.journal().patch(self.bat().table.entry_offset(index), &entry.to_le_bytes())?;
        self.bat().table.forget(index);
        Ok(())
    }

    /// Sets the bits of `range` in the sector bitmap; with `alone`, clears those of the rest of the block.
    fn set_bits(&mut self, block: u64, range: &Range<u64>, alone: bool) -> Result<()> {
        let place = self.bitmap(block)?;
        let (block_shift, sector_shift) = (self.bat().block_shift, self.bat().sector_shift);
        let first = self.bat().sector_in_chunk(block);
        let bit = |at: u64| first + ((at - (block << block_shift)) >> sector_shift);
        let set = bit(range.start)..bit(range.end);
        let all = if alone { first..first + (1 << (block_shift - sector_shift)) } else { set.clone() };
        for piece in all.start / (PIECE * 8)..all.end.div_ceil(PIECE * 8) {
            let at = place + piece * PIECE;
            let old = self.bat().bitmap_piece(&self.view, at)?;
            let mut bytes = old.to_vec();
            let within = |bits: &Range<u64>| {
                let bit = |bit: u64| bit.saturating_sub(piece * PIECE * 8).min(PIECE * 8) as usize;
                bit(bits.start)..bit(bits.end)
            };
            if alone {
                bitmap::fill(&mut bytes, BitOrder::LsbFirst, within(&all), false);
            }
            bitmap::fill(&mut bytes, BitOrder::LsbFirst, within(&set), true);
            if bytes[..] != old[..] {
                self.journal().patch(at, &bytes)?;
                self.bat().bitmaps.put(at / PIECE, bytes);
            }
        }
        Ok(())
    }

    /// Where the sector bitmap block lies that covers `block`; it is made when there is none.
    fn bitmap(&mut self, block: u64) -> Result<u64> {
        let index = self.bat().bitmap_index(block);
        let mut cursor = self.bat().table.cursor(&self.view);
        if cursor.get(index)? & 7 == PRESENT {
            return self.bat().bitmap(&mut cursor, block);
        }
        let room = self.reserve(MIB)?;
        let made = self
            .clear(room.place, room.stale, MIB)
            .and_then(|()| self.set_entry(index, room.place | PRESENT));
        match made {
            Ok(()) => Ok(room.place),
            Err(e) => {
                self.release(room, MIB);
                Err(e)
            }
        }
    }

    /// Makes the first `stale` of `len` bytes at `place` zeros; the others are. Bits of another bitmap that was there
    /// are forgotten.
    fn clear(&self, place: u64, stale: u64, len: u64) -> Result<()> {
        if stale > 0 {
            self.file.zero(place..place + stale)?;
        }
        self.forget_bitmaps(place, len);
        Ok(())
    }

    /// Forgets what was read of sector bitmaps in `len` bytes at `place`.
    pub(super) fn forget_bitmaps(&self, place: u64, len: u64) {
        (place / PIECE..(place + len) / PIECE).for_each(|piece| self.bat().bitmaps.forget(piece));
    }

    /// Sees to it that `sectors` of the metadata can be changed together.
    pub(super) fn make_room(&mut self, sectors: usize) -> Result<()> {
        let is_full = self.journal().room() < sectors;
        if is_full { self.publish() } else { Ok(()) }
    }

    /// Makes everything durable.
    pub(super) fn publish(&mut self) -> Result<()> {
        self.journal().publish()?;
        self.give_back();
        Ok(())
    }

    /// Gives back what was freed by changes that are durable now.
    pub(super) fn give_back(&mut self) {
        self.freed.drain(..).for_each(|range| self.allocation.free(range));
    }
}
