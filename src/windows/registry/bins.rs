//! Bins: the pieces of a hive's file in which its cells lie, without a gap. A cell begins with its size, which is
//! negative while it is used.

use zerocopy::FromBytes;

use super::layout::{BIN_HEADER, BIN_UNIT, BINS, BinHeader};
use super::sectors::Sectors;
use crate::error::{Error, Result};

/// Bytes of the bins that are accepted. Windows' own largest hives have some hundreds of MiB.
pub(super) const MAX_BINS: u32 = 1 << 30;
/// The shortest cell.
pub(super) const MIN_CELL: u32 = 8;

/// The header of the bin at `offset`, which lies within `bins_size`.
pub(super) fn bin(sectors: &Sectors, offset: u32, bins_size: u32) -> Result<BinHeader> {
    let mut bytes = [0; BIN_HEADER as usize];
    sectors.read(&mut bytes, BINS + u64::from(offset))?;
    let bin =
        BinHeader::read_from_bytes(&bytes).map_err(|_| damaged("hive bin", offset, "a header", "none"))?;
    let size = bin.size.get();
    if bin.signature != *b"hbin" || bin.offset != offset {
        let found = format!("{} and {}", show(&bin.signature), bin.offset);
        return Err(damaged("hive bin", offset, "the signature hbin and its own offset", found));
    }
    if size == 0 || !size.is_multiple_of(BIN_UNIT) || bins_size - offset < size {
        let expected = format!("a multiple of {BIN_UNIT} bytes up to {}", bins_size - offset);
        return Err(damaged("hive bin", offset, expected, format!("{size} bytes")));
    }
    Ok(bin)
}

/// A cell of a bin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) offset: u32,
    pub(super) size: u32,
    pub(super) is_used: bool,
}

/// All cells, bin by bin, read in order with few reads of the file. After a bad bin there is nothing more; after a bad
/// cell comes the next bin.
pub(super) struct CellWalk<'s> {
    sectors: &'s Sectors,
    bins_size: u32,
    at: u32,
    bin_end: u32,
    window_start: u32,
    window: Vec<u8>,
}

/// Bytes that are read at once.
const WINDOW: u32 = 1 << 16;

impl<'s> CellWalk<'s> {
    pub(super) fn new(sectors: &'s Sectors, bins_size: u32) -> Self {
        Self { sectors, bins_size, at: 0, bin_end: 0, window_start: 0, window: Vec::new() }
    }

    /// Where the bin of the last cell ends.
    pub(super) fn bin_end(&self) -> u32 {
        self.bin_end
    }

    fn cell(&mut self) -> Result<Cell> {
        let (at, room) = (self.at, self.bin_end - self.at);
        let size = self.size()?;
        let len = size.unsigned_abs();
        if len < MIN_CELL || !len.is_multiple_of(MIN_CELL) || len > room {
            self.at = self.bin_end;
            let expected = format!("a multiple of {MIN_CELL} up to {room}");
            return Err(damaged("registry cell", at, expected, format!("a size of {size}")));
        }
        self.at += len;
        Ok(Cell { offset: at, size: len, is_used: size < 0 })
    }

    /// The size field at `at`, where there are 8 bytes at least, as all is aligned to 8.
    fn size(&mut self) -> Result<i32> {
        let bytes = |window: &[u8], skip: usize| {
            let bytes = window.get(skip..skip + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(i32::from_le_bytes)
        };
        let skip = self.at.checked_sub(self.window_start).and_then(|skip| bytes(&self.window, skip as usize));
        if let Some(size) = skip {
            return Ok(size);
        }
        self.window_start = self.at;
        self.window.resize(WINDOW.min(self.bins_size - self.at) as usize, 0);
        self.sectors.read(&mut self.window, BINS + u64::from(self.at))?;
        Ok(bytes(&self.window, 0).unwrap_or_default())
    }
}

impl Iterator for CellWalk<'_> {
    type Item = Result<Cell>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at == self.bin_end {
            if self.at == self.bins_size {
                return None;
            }
            match bin(self.sectors, self.at, self.bins_size) {
                Ok(header) => {
                    self.bin_end = self.at + header.size.get();
                    self.at += BIN_HEADER;
                }
                Err(error) => {
                    (self.at, self.bin_end) = (self.bins_size, self.bins_size);
                    return Some(Err(error));
                }
            }
        }
        Some(self.cell())
    }
}

/// Damage at an offset that counts from the end of the base block.
pub(super) fn damaged(
    structure: &'static str,
    offset: u32,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    let offset = BINS + u64::from(offset);
    Error::Damaged { structure, offset, expected: expected.into(), found: found.into() }
}

pub(super) fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
