//! Changing the virtual size.

use std::ops::Range;

use super::journal::Session;
use super::state::State;
use super::{Source, Writer};
use crate::error::{Error, Result};
use crate::format::vhdx::bat::{self, Page};
use crate::format::vhdx::contents::Contents;
use crate::format::vhdx::log::SECTOR;
use crate::format::vhdx::region;
use crate::format::vhdx::skeleton::check_size;
use crate::job::Job;
use crate::leaves::MIB;
use crate::leaves::is_zero;

/// Bytes that are copied at once.
const PIECE: u64 = MIB;

impl Writer {
    /// Makes the disk `size` bytes large.
    ///
    /// A log entry with the new size is what does it. What a larger disk needs is there before or comes with it, and what a smaller one
    /// does not need goes with it or after it, so that a cut leaves no more than entries that nothing uses.
    pub(super) fn set_size(&self, size: u64, job: &Job) -> Result<()> {
        let size = check_size(size, self.info.logical_sector_size)?;
        let mut state = self.lock();
        let old = state.bat().size;
        if size == old {
            return Ok(());
        }
        state.journal().begin(Session::DataChanged)?;
        state.publish()?;
        if size < old {
            state.record_size(size)?;
            return state.cut_off(size);
        }
        state.enlarge_bat(size)?;
        drop(state);
        let defined = self.define(old..size, job);
        if matches!(defined, Err(Error::Cancelled)) {
            // The disk is closed with its old size, and without blocks behind its end.
            self.lock().cut_off(old)?;
        }
        defined?;
        let mut state = self.lock();
        state.record_size(size)?;
        state.publish()
    }

    /// Makes what was added read as zeros, until `job` stops it.
    fn define(&self, added: Range<u64>, job: &Job) -> Result<()> {
        let state = self.read();
        let whole = self.fixed || state.bat().differencing;
        let block = (added.start - 1) >> state.bat().block_shift;
        let present = state.payload(block)?.0.is_present();
        let (block_size, block_end) = (state.block_size(), state.block_end(block));
        drop(state);
        let end = match whole {
            // Neither is what a parent has there to show through, nor may a reader look for a parent where there is none.
            true => added.end,
            false if present => block_end,
            false => added.start,
        };
        let mut at = added.start;
        while at < end {
            job.check()?;
            let next = (at / block_size * block_size + block_size).min(end);
            self.put(at, Source::Zeros(next - at))?;
            job.set_done(next);
            at = next;
        }
        Ok(())
    }
}

impl State {
    fn record_size(&mut self, size: u64) -> Result<()> {
        self.make_room(1)?;
        self.journal().patch(self.contents.metadata.size_at, &size.to_le_bytes())
    }

    /// Takes the blocks beyond `size`, which was recorded, out of the BAT.
    fn cut_off(&mut self, size: u64) -> Result<()> {
        let blocks = size.div_ceil(self.block_size());
        let mut page = Page::default();
        while self.bat().next_page(&self.view, &mut page)? {
            for &(index, entry) in &page.entries {
                let (beyond, len) = match self.bat().block_of(index) {
                    Some(block) => (block >= blocks, self.block_size()),
                    None => (index > self.bat().bitmap_index(blocks - 1), MIB),
                };
                if !beyond {
                    continue;
                }
                self.make_room(1)?;
                self.set_entry(index, 0)?;
                if entry.state() >= bat::PRESENT {
                    self.freed.push(entry.file_offset()..entry.file_offset() + len);
                }
            }
        }
        self.publish()
    }

    /// Gives the BAT in memory the entries for `size` bytes, all of them empty, and more room in the file when it needs it. The
    /// disk in the file stays as large as it is.
    fn enlarge_bat(&mut self, size: u64) -> Result<()> {
        let (blocks, old_entries) = (self.bat().size.div_ceil(self.block_size()), self.bat().entries);
        let Self { contents: Contents { regions, bat, .. }, .. } = self;
        let entries = bat::entries(size, bat.block_shift, bat.sector_shift, bat.differencing);
        let (region, needed) = (regions.bat.clone(), (entries * 8).next_multiple_of(MIB));
        if needed > region.end - region.start {
            self.move_bat(needed)?;
        }
        // What other writers, or a resize that was cut short, may have left behind the entries in use.
        let bat = self.bat();
        let bitmap = bat.bitmap_index(blocks - 1);
        let (first, start) = (bat.index(blocks), self.contents.regions.bat.start);
        if bat.differencing && first < bitmap {
            self.clear_entries(start + first * 8..start + bitmap * 8)?;
        }
        self.clear_entries(start + old_entries.max(first) * 8..start + entries * 8)?;
        self.contents.metadata.size = size;
        self.contents.bat = bat::Bat::new(
            &self.view,
            &self.contents.regions.bat,
            &self.contents.metadata,
            self.contents.regions.reserved.clone(),
        )?;
        Ok(())
    }

    /// Makes a part of the BAT zeros.
    fn clear_entries(&mut self, part: Range<u64>) -> Result<()> {
        let mut at = part.start;
        while at < part.end {
            // Holes are zeros already.
            at = at.max(self.view.past_hole(at) / 8 * 8);
            if at >= part.end {
                break;
            }
            let end = part.end.min(at / SECTOR * SECTOR + SECTOR);
            let mut bytes = vec![0; (end - at) as usize];
            self.view.read_exact_at(&mut bytes, at)?;
            if !is_zero(&bytes) {
                bytes.fill(0);
                self.make_room(1)?;
                self.journal().patch(at, &bytes)?;
            }
            at = end;
        }
        Ok(())
    }

    /// Moves the BAT to a place of `len` bytes; what is more than before is zeros. Everything was published before.
    pub(super) fn move_bat(&mut self, len: u64) -> Result<()> {
        let old = self.contents.regions.bat.clone();
        let room = self.reserve(len)?;
        let new = room.place..room.place + len;
        let moved = self.copy(old.start..old.end.min(old.start + len), new.clone(), room.stale);
        let table = moved.and_then(|()| region::moved(&self.view, &self.contents.regions, region::BAT, &new));
        let table = table.inspect_err(|_| self.release(room, len))?;
        for offset in region::OFFSETS {
            self.journal().patch(offset, &table)?;
        }
        self.publish()?;
        let log = self.contents.regions.log.clone();
        self.contents = Contents::read(&self.view, log)?;
        self.allocation.free(old);
        Ok(())
    }

    /// Copies `from` to `to`, which is at least as long and holds zeros but for its first `stale` bytes; the rest becomes zeros. What is
    /// missing at the end of the file is zeros too.
    pub(super) fn copy(&self, from: Range<u64>, to: Range<u64>, stale: u64) -> Result<()> {
        if stale > 0 {
            self.file.zero(to.start..to.start + stale)?;
        }
        let end = from.end.min(self.view.size());
        let mut bytes = vec![0; PIECE as usize];
        let mut at = from.start;
        while at < end {
            at = self.view.past_hole(at);
            let piece = &mut bytes[..end.saturating_sub(at).min(PIECE) as usize];
            self.view.read_exact_at(piece, at)?;
            if !is_zero(piece) {
                self.file.write_all_at(piece, to.start + (at - from.start))?;
            }
            at += (piece.len() as u64).max(1);
        }
        Ok(())
    }
}
