//! Bins: the pieces of a hive's file in which its cells lie.

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
