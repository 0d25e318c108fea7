//! How many sectors a disk and its extents may have, and which number counts.

use crate::error::{Problem, Result};
use crate::leaves::Format;
use crate::storage::ImageFile;

/// Sectors of a disk, by policy: 64 TiB.
pub(super) const MAX_SECTORS: u64 = 1 << 37;

/// That the capacity which a header records, at `(structure, offset)` of `file`, is that of a disk.
pub(super) fn check(file: &ImageFile, (structure, offset): (&'static str, u64), capacity: u64) -> Result<()> {
    if (1..=MAX_SECTORS).contains(&capacity) {
        return Ok(());
    }
    let expected = format!("a capacity of 1 to {MAX_SECTORS} sectors");
    Err(file.defect(Format::Vmdk, Problem::Size, structure, offset, expected, capacity.to_string()))
}

/// The sectors of an extent that count: those that the descriptor declares, where there is one. The header's
/// capacity, at `(structure, offset)`, may be rounded up to a multiple of `unit` sectors.
pub(super) fn sectors(
    file: &ImageFile,
    (structure, offset): (&'static str, usize),
    (capacity, unit): (u64, u64),
    declared: Option<u64>,
) -> Result<u64> {
    let Some(declared) = declared else { return Ok(capacity) };
    // A descriptor may declare any number: it is bounded by the capacity alone.
    let rounded = declared.checked_next_multiple_of(unit).unwrap_or(u64::MAX);
    if capacity < declared || capacity > rounded {
        return Err(file.defect(
            Format::Vmdk,
            Problem::Size,
            structure,
            offset as u64,
            format!("{declared} sectors, as the descriptor says"),
            format!("a capacity of {capacity}"),
        ));
    }
    Ok(declared)
}
