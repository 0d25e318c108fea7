//! Which of a grain's two entries is right, where a cut has left the copies of its table different.
//!
//! Data are durable before any entry names them, and one copy is durable before the other is written. So one entry is what
//! the other will be, or both name the same content: a grain that was being moved. Reading and repairing go by this rule.

use super::grain_map::GrainMap;
use super::layout::{GTE_UNALLOCATED, GTE_ZEROED, SECTOR};
use crate::error::Result;
use crate::storage::ImageFile;

/// Bytes of two grains that are compared at once.
const PIECE: u64 = 64 * 1024;

/// The entry that says more: a grain, whose data are there, more than zeros, and zeros more than nothing. `None` where they
/// say as much: then [`same`] tells.
pub(super) fn fuller(map: &GrainMap, file: &ImageFile, redundant: u32, primary: u32) -> Option<u32> {
    let says = |entry| match entry {
        GTE_UNALLOCATED => 0,
        GTE_ZEROED if map.zeroed_grains => 1,
        entry if is_inside(map, file, entry) => 2,
        _ => 0,
    };
    if redundant == primary {
        return Some(primary);
    }
    match says(redundant).cmp(&says(primary)) {
        std::cmp::Ordering::Greater => Some(redundant),
        std::cmp::Ordering::Less => Some(primary),
        std::cmp::Ordering::Equal => None,
    }
}

/// Whether the grains that two entries name hold the same, so that either entry is right.
pub(super) fn same(map: &GrainMap, file: &ImageFile, a: u32, b: u32) -> Result<bool> {
    if !is_inside(map, file, a) || !is_inside(map, file, b) {
        return Ok(false);
    }
    let len = map.grain.min(file.size() - u64::from(a.max(b)) * SECTOR);
    let (mut one, mut other) = (vec![0; len.min(PIECE) as usize], vec![0; len.min(PIECE) as usize]);
    for at in (0..len).step_by(PIECE as usize) {
        let piece = (len - at).min(PIECE) as usize;
        file.read_exact_at(&mut one[..piece], u64::from(a) * SECTOR + at)?;
        file.read_exact_at(&mut other[..piece], u64::from(b) * SECTOR + at)?;
        if one[..piece] != other[..piece] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether an entry names a grain inside the file. What it lies on is another question.
pub(super) fn is_inside(map: &GrainMap, file: &ImageFile, entry: u32) -> bool {
    // The last grain may end with the disk.
    let shortest = match map.size % map.grain {
        0 => map.grain,
        rest => rest,
    };
    entry > GTE_ZEROED && u64::from(entry) * SECTOR + shortest <= file.size()
}
