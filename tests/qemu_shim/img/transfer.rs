//! Writing one disk's content into another that exists.

use diskport::{Disk, WritableDisk};

use crate::failure;

/// Bytes that are copied at once.
const PIECE: u64 = 1 << 20;

/// Writes what the layers of `source` above `depth` hold into `target`, zeros as zeros.
pub fn write(source: &Disk, depth: u32, target: &WritableDisk) -> Result<(), String> {
    let mut buffer = vec![0; PIECE as usize];
    for extent in source.extents(..) {
        let extent = extent.map_err(|e| failure::of(&e))?;
        if extent.depth >= depth {
            continue;
        }
        if !extent.is_data() {
            target.write_zeroes(extent.start, extent.len).map_err(|e| failure::of(&e))?;
            continue;
        }
        let mut at = extent.start;
        while at < extent.end() {
            let piece = &mut buffer[..(extent.end() - at).min(PIECE) as usize];
            source.read_at(piece, at).map_err(|e| failure::of(&e))?;
            target.write_at(piece, at).map_err(|e| failure::of(&e))?;
            at += piece.len() as u64;
        }
    }
    Ok(())
}
