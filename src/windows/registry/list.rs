//! Lists of subkeys: "lf", "lh", "li", and "ri" over them.

use super::bins::damaged;
use super::hive::Hive;
use super::layout::KEY_NODE;
use crate::error::Result;

const STRUCTURE: &str = "registry subkey list";

/// The key nodes that a list leads to, in its order.
pub(super) fn subkeys(hive: &Hive, list: u32) -> Result<Vec<u32>> {
    let (signature, entries) = entries(hive, list)?;
    if &signature != b"ri" {
        return leaf(signature, list, entries);
    }
    // More keys than there is room for are the same keys again.
    let most = hive.bins_size as usize / KEY_NODE;
    let mut keys = Vec::new();
    for at in entries {
        let (signature, entries) = self::entries(hive, at)?;
        keys.extend(leaf(signature, at, entries)?);
        if keys.len() > most {
            return Err(damaged(STRUCTURE, list, format!("at most {most} keys"), "more"));
        }
    }
    Ok(keys)
}

/// The entries of a list that leads to keys; an index root leads to no other.
fn leaf(signature: [u8; 2], list: u32, entries: Vec<u32>) -> Result<Vec<u32>> {
    match &signature {
        b"lf" | b"lh" | b"li" => Ok(entries),
        other => Err(damaged(STRUCTURE, list, "lf, lh or li", other.escape_ascii().to_string())),
    }
}

/// A list's signature and the offsets in it, without the hints of fast and hash leaves.
fn entries(hive: &Hive, list: u32) -> Result<([u8; 2], Vec<u32>)> {
    let head = hive.cell(list, 4, STRUCTURE)?;
    let (signature, count) = ([head[0], head[1]], usize::from(u16::from_le_bytes([head[2], head[3]])));
    let words = if matches!(&signature, b"lf" | b"lh") { 2 } else { 1 };
    let offsets = hive.offsets(list, 1 + count * words, STRUCTURE)?;
    Ok((signature, offsets.into_iter().skip(1).step_by(words).collect()))
}
