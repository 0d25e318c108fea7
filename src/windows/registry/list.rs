//! Lists of subkeys: "lf", "lh" and "li" lead to keys, "ri" to such lists.
//!
//! The keys are in the order of their names in upper case, over all leaves of an "ri" together: Windows searches by
//! halves, and does not see a key that stands elsewhere. With its key, "lf" has the first characters of the name, "lh" a
//! hash of it.

use super::bins::damaged;
use super::hive::Hive;
use super::layout::{KEY_COMP_NAME, KEY_NODE, KeyNode};
use super::name;
use crate::error::{Error, Result};

pub(super) const STRUCTURE: &str = "registry subkey list";

/// A list, as it lies in its cell: a signature, the number of items, and the items.
#[derive(Debug)]
pub(super) struct List {
    pub(super) cell: u32,
    pub(super) signature: [u8; 2],
    pub(super) items: Vec<u8>,
}

impl List {
    pub(super) fn read(hive: &Hive, cell: u32) -> Result<Self> {
        let head = hive.cell(cell, 4, STRUCTURE)?;
        let signature = [head[0], head[1]];
        let count = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let mut items = hive.cell(cell, 4 + count * item_size(signature), STRUCTURE)?;
        items.drain(..4);
        Ok(Self { cell, signature, items })
    }

    /// Bytes of an item: an offset, and a hint or a hash in fast and hash leaves.
    pub(super) fn item_size(&self) -> usize {
        item_size(self.signature)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len() / self.item_size()
    }

    pub(super) fn is_root(&self) -> bool {
        &self.signature == b"ri"
    }

    /// The items, each with its offset.
    pub(super) fn offsets(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.items.chunks_exact(self.item_size()).map(|item| {
            let (offset, _) = item.split_first_chunk().unwrap_or((&[0xff; 4], &[]));
            u32::from_le_bytes(*offset)
        })
    }

    /// The offset in an item.
    pub(super) fn offset(&self, index: usize) -> Result<u32> {
        self.offsets().nth(index).ok_or_else(|| self.damage(&format!("more than {index} items"), "fewer"))
    }

    /// That it leads to keys; an index root leads to no other.
    pub(super) fn leaf(self) -> Result<Self> {
        match &self.signature {
            b"lf" | b"lh" | b"li" => Ok(self),
            other => Err(self.damage("lf, lh or li", &other.escape_ascii().to_string())),
        }
    }

    pub(super) fn damage(&self, expected: &str, found: &str) -> Error {
        damaged(STRUCTURE, self.cell, expected, found)
    }
}

fn item_size(signature: [u8; 2]) -> usize {
    if matches!(&signature, b"lf" | b"lh") { 8 } else { 4 }
}

/// The key nodes that a list leads to, in its order.
pub(super) fn subkeys(hive: &Hive, list: u32) -> Result<Vec<u32>> {
    let top = List::read(hive, list)?;
    if !top.is_root() {
        return Ok(top.leaf()?.offsets().collect());
    }
    // More keys than there is room for are the same keys again.
    let most = hive.bins_size as usize / KEY_NODE;
    let mut keys = Vec::new();
    for at in top.offsets() {
        keys.extend(List::read(hive, at)?.leaf()?.offsets());
        if keys.len() > most {
            return Err(top.damage(&format!("at most {most} keys"), "more"));
        }
    }
    Ok(keys)
}

/// The first key that a leaf leads to, without the others.
pub(super) fn first(hive: &Hive, leaf: u32) -> Result<u32> {
    let bytes = hive.cell(leaf, 8, STRUCTURE)?;
    match bytes[..] {
        [_, _, c0, c1, k0, k1, k2, k3] if c0 | c1 != 0 => Ok(u32::from_le_bytes([k0, k1, k2, k3])),
        _ => Err(damaged(STRUCTURE, leaf, "a key", "an empty list")),
    }
}

/// What a key is sorted by.
pub(super) fn sort_key(hive: &Hive, key: u32) -> Result<Vec<u16>> {
    let node: KeyNode = hive.record(key)?;
    Ok(name::stored_sort_key(&name(hive, key, &node)?, node.flags.get() & KEY_COMP_NAME != 0))
}

/// A key's name, as it stands in its cell.
pub(super) fn name(hive: &Hive, key: u32, node: &KeyNode) -> Result<Vec<u8>> {
    let mut cell = hive.cell(key, KEY_NODE + usize::from(node.name_len.get()), "registry key node")?;
    Ok(cell.split_off(KEY_NODE))
}
