//! The cells of a hive that is being changed: taken, given back, written.
//!
//! At all times the cells fill their bins, and a cell is given back only if it is one that is used: what a damaged hive
//! takes for a cell, or names twice, is found out before it spoils its neighbours.

use roaring::RoaringBitmap;
use zerocopy::{Immutable, IntoBytes};

use super::bins::{CellWalk, MIN_CELL, damaged};
use super::free::Free;
use super::hive::Hive;
use super::layout::{BIN_HEADER, BIN_UNIT, BINS, BinHeader};
use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct Cells {
    pub(super) hive: Hive,
    free: Free,
    /// Where cells that are used begin, by eights.
    used: RoaringBitmap,
    /// Bytes of bins that the hive may have.
    limit: u32,
}

impl Cells {
    pub(super) fn new(hive: Hive, limit: u32) -> Result<Self> {
        let (mut free, mut used) = (Free::default(), RoaringBitmap::new());
        for cell in CellWalk::new(&hive.sectors, hive.bins_size) {
            let cell = cell?;
            if cell.is_used {
                used.insert(cell.offset / MIN_CELL);
            } else {
                free.insert(cell.offset, cell.size);
            }
        }
        Ok(Self { hive, free, used, limit })
    }

    pub(super) fn set_limit(&mut self, bytes: u32) {
        self.limit = bytes;
    }

    /// Whether there is a free cell for so much data.
    pub(super) fn has_room(&self, len: usize) -> bool {
        cell_size(len).is_some_and(|size| self.free.smallest(size).is_some())
    }

    /// A cell that holds `data`, and room for so many bytes in all.
    pub(super) fn allocate(&mut self, data: &[u8], room: usize) -> Result<u32> {
        let size = cell_size(room.max(data.len())).ok_or_else(|| self.too_large(room))?;
        let (cell, found) = match self.free.smallest(size) {
            Some(found) => found,
            None => self.grow(size)?,
        };
        self.free.take(cell);
        if found > size {
            self.set_free(cell + size, found - size)?;
        }
        self.used.insert(cell / MIN_CELL);
        self.put(cell, &(-i64::from(size) as i32).to_le_bytes())?;
        // What was there before is no part of it.
        let mut bytes = data.to_vec();
        bytes.resize(size as usize - 4, 0);
        self.put(cell + 4, &bytes)?;
        Ok(cell)
    }

    /// A cell that holds just this.
    pub(super) fn store(&mut self, data: &[u8]) -> Result<u32> {
        self.allocate(data, data.len())
    }

    /// Gives a cell other data. It is another cell when this one is too short; one that is `exact` is not longer than it
    /// must be, others get room for half as much again.
    pub(super) fn replace(&mut self, cell: u32, data: &[u8], exact: bool) -> Result<u32> {
        let has = self.check_used(cell)?;
        let needed = cell_size(data.len()).ok_or_else(|| self.too_large(data.len()))?;
        if needed > has {
            let room = if exact { data.len() } else { data.len() + data.len() / 2 };
            let new = self.allocate(data, room)?;
            self.release(cell)?;
            return Ok(new);
        }
        self.put(cell + 4, data)?;
        if exact && needed < has {
            self.put(cell, &(-i64::from(needed) as i32).to_le_bytes())?;
            self.used.insert((cell + needed) / MIN_CELL);
            self.put(cell + needed, &(-i64::from(has - needed) as i32).to_le_bytes())?;
            self.release(cell + needed)?;
        }
        Ok(cell)
    }

    /// Gives a cell back. Free neighbours in its bin become one with it.
    pub(super) fn release(&mut self, cell: u32) -> Result<()> {
        let size = self.check_used(cell)?;
        self.used.remove(cell / MIN_CELL);
        // Whoever still leads to it finds it free.
        self.put(cell, &size.to_le_bytes())?;
        let (mut offset, mut end) = (cell, cell + size);
        if let Some((before, _)) = self.free.before(cell) {
            self.free.take(before);
            offset = before;
        }
        if let Some(size) = self.free.take(end) {
            end += size;
        }
        self.set_free(offset, end - offset)
    }

    /// Overwrites the beginning of a cell's data.
    pub(super) fn write(&mut self, cell: u32, record: &(impl IntoBytes + Immutable)) -> Result<()> {
        let (has, bytes) = (self.check_used(cell)?, record.as_bytes());
        if bytes.len() + 4 > has as usize {
            let expected = format!("{} bytes", bytes.len() + 4);
            return Err(damaged("registry cell", cell, expected, format!("{has} bytes")));
        }
        self.put(cell + 4, bytes)
    }

    /// The size of a cell, which must be one.
    fn check_used(&self, cell: u32) -> Result<u32> {
        if !cell.is_multiple_of(MIN_CELL) || !self.used.contains(cell / MIN_CELL) {
            return Err(damaged("registry cell", cell, "the beginning of a cell in use", "none"));
        }
        // It fits its bin, which has less than 2 GiB.
        Ok(self.hive.cell_len(cell)? as u32 + 4)
    }

    fn set_free(&mut self, offset: u32, size: u32) -> Result<()> {
        self.put(offset, &size.to_le_bytes())?;
        self.free.insert(offset, size);
        Ok(())
    }

    /// A new bin at the end, with one free cell of so many bytes at least; its offset and its size.
    fn grow(&mut self, size: u32) -> Result<(u32, u32)> {
        let start = self.hive.bins_size;
        let bin = size.checked_add(BIN_HEADER).and_then(|bytes| bytes.checked_next_multiple_of(BIN_UNIT));
        let end = bin.and_then(|bin| start.checked_add(bin)).filter(|&end| end <= self.limit);
        let end = end.ok_or_else(|| self.too_large(size as usize))?;
        let header = BinHeader {
            signature: *b"hbin",
            offset: start.into(),
            size: (end - start).into(),
            reserved: [0; 8],
            timestamp: 0.into(),
            spare: 0.into(),
        };
        self.put(start, header.as_bytes())?;
        self.hive.bins_size = end;
        let free = (start + BIN_HEADER, end - start - BIN_HEADER);
        self.set_free(free.0, free.1)?;
        Ok(free)
    }

    fn too_large(&self, more: usize) -> Error {
        let (size, limit) = (self.hive.bins_size, self.limit);
        let reason = format!(
            "the registry hive has {size} bytes and may have {limit}: there is no room for {more} more"
        );
        Error::Layout { reason }
    }

    fn put(&mut self, offset: u32, bytes: &[u8]) -> Result<()> {
        self.hive.sectors.write(bytes, BINS + u64::from(offset))
    }
}

/// Bytes of a cell with so much data.
fn cell_size(len: usize) -> Option<u32> {
    let size = u32::try_from(len).ok()?.checked_add(4)?.checked_next_multiple_of(MIN_CELL)?;
    (size <= i32::MAX as u32).then_some(size)
}
