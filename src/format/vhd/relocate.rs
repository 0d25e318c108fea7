//! Moving blocks: out of the way of a structure, and into gaps.

use std::ops::Range;

use super::layout::{DynamicHeader, SECTOR};
use super::locator;
use super::pending::{ALIGNMENT, Pending};
use super::write::Writer;
use crate::error::Result;
use crate::format::tools::space::Space;
use crate::job::Job;
use crate::leaves::is_zero;

/// Bytes that are copied at once.
const PIECE: u64 = 256 << 10;

impl Writer {
    /// What structures take of the file.
    pub(super) fn structures(&self, pending: &Pending) -> Space {
        let header = self.header.offset..self.header.offset + size_of::<DynamicHeader>() as u64;
        let mut space = Space::default();
        let locators = locator::places(&self.header.fields);
        let ranges = [0..SECTOR, header, self.header.table()].into_iter().chain(locators);
        for range in ranges.chain(self.dynamic.bat.batmap.iter().cloned()) {
            // A locator or a batmap may claim more than there is.
            space.cover(range.start.min(pending.footers.at)..range.end.min(pending.footers.at));
        }
        space
    }

    /// Makes room for a structure of `len` bytes, in front of all blocks where there is a gap: readers that go by the end of the
    /// last structure take a block before it for one that lies over them.
    pub(super) fn room(&self, pending: &mut Pending, len: u64, job: &Job) -> Result<u64> {
        let space = self.structures(pending);
        let fits = |gap: &Range<u64>| gap.start + len <= gap.end;
        let gaps = space.gaps().map(|gap| gap.start.next_multiple_of(SECTOR)..gap.end);
        let at = { gaps }.find(fits).map_or(space.end().next_multiple_of(SECTOR), |gap| gap.start);
        self.clear(pending, at..at + len, job)?;
        Ok(at)
    }

    /// Moves the blocks that lie in `range` to the file's end, until `job` stops it.
    pub(super) fn clear(&self, pending: &mut Pending, range: Range<u64>, job: &Job) -> Result<()> {
        if range.end > pending.end {
            pending.footers.make_room(range.end)?;
            pending.end = range.end;
        }
        for (index, from) in self.blocks_in(&range)? {
            job.check()?;
            let to = self.fresh(pending)?;
            self.move_block(pending, index, from, to)?;
        }
        self.publish(pending)
    }

    /// The blocks that take any of `range`, with their places.
    pub(super) fn blocks_in(&self, range: &Range<u64>) -> Result<Vec<(u64, u64)>> {
        let bat = &self.dynamic.bat;
        let (tables, mut cursor) = (self.tables(), self.dynamic.cursor());
        let mut found = Vec::new();
        for index in 0..bat.blocks() {
            let Some(place) = self.place(&tables, &mut cursor, index)? else { continue };
            if place < range.end && range.start < bat.extent(index, place).end {
                found.push((index, place));
            }
        }
        Ok(found)
    }

    /// Copies block `index` from one place to another, where nothing is, and notes that it lies there.
    pub(super) fn move_block(&self, pending: &mut Pending, index: u64, from: u64, to: u64) -> Result<()> {
        let bat = &self.dynamic.bat;
        let bits = self.dynamic.bitmap(index, from)?.to_vec();
        let mut buf = vec![0; PIECE.min(bat.block_size) as usize];
        let end = bat.bitmap_size + bat.used(index);
        for at in (bat.bitmap_size..end).step_by(buf.len()) {
            let piece = &mut buf[..(end - at).min(PIECE) as usize];
            self.file.read_exact_at(piece, from + at)?;
            match is_zero(piece) {
                true => self.file.zero(to + at..to + at + piece.len() as u64)?,
                false => self.file.write_all_at(piece, to + at)?,
            }
        }
        self.change_tables().put(index, to, bits);
        self.bound(pending)
    }

    /// Moves the last blocks of the file into gaps that hold a whole one, until `job` stops it, and cuts the file.
    pub(super) fn move_into_gaps(&self, pending: &mut Pending, job: &Job) -> Result<()> {
        self.publish(pending)?;
        let bat = &self.dynamic.bat;
        let mut space = self.structures(pending);
        // Eight bytes a block: 32 MiB for the largest disk in the smallest blocks in use.
        let mut blocks = Vec::new();
        let (tables, mut cursor) = (self.tables(), self.dynamic.cursor());
        for index in 0..bat.blocks() {
            if let Some(place) = self.place(&tables, &mut cursor, index)? {
                let _ = space.take(bat.extent(index, place));
                blocks.push(((place / SECTOR) as u32, index as u32));
            }
        }
        drop(tables);
        blocks.sort_unstable();
        let mut gaps = space.gaps().flat_map(|gap| self.places_in(gap));
        while let (Some((sector, index)), Some(to)) = (blocks.pop(), gaps.next()) {
            let from = u64::from(sector) * SECTOR;
            if to > from || job.is_cancelled() {
                break;
            }
            self.move_block(pending, index.into(), from, to)?;
        }
        self.publish(pending)?;
        self.cut(pending, bat.blocks())?;
        job.check()
    }

    /// The places in `gap` that hold a whole block.
    fn places_in(&self, gap: Range<u64>) -> impl Iterator<Item = u64> + use<> {
        let (bitmap, len) = (self.dynamic.bat.bitmap_size, self.dynamic.bat.block_size);
        let first = (gap.start + bitmap).next_multiple_of(ALIGNMENT);
        let stride = (bitmap + len).next_multiple_of(ALIGNMENT);
        (first..gap.end)
            .step_by(stride as usize)
            .take_while(move |data| data + len <= gap.end)
            .map(move |data| data - bitmap)
    }

    /// FooterPair the file after the last thing in use, where the disk has `blocks` blocks.
    pub(super) fn cut(&self, pending: &mut Pending, blocks: u64) -> Result<()> {
        let bat = &self.dynamic.bat;
        let (tables, mut cursor) = (self.tables(), self.dynamic.cursor());
        let mut end = self.structures(pending).end();
        for index in 0..blocks {
            // The last block whole too, where the file has room for it: others read it so.
            let place = self.place(&tables, &mut cursor, index)?;
            end = end.max(place.map_or(0, |place| place + bat.bitmap_size + bat.block_size));
        }
        pending.end = end.next_multiple_of(SECTOR).min(pending.end);
        let end = pending.end;
        pending.footers.cut(end)
    }
}
