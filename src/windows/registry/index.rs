//! The lists of a key's subkeys, changed: kinds are kept, a full leaf is split under an "ri", an emptied one leaves it.

use std::cmp::Ordering;

use zerocopy::IntoBytes;

use super::bins::damaged;
use super::cells::Cells;
use super::hive::Hive;
use super::layout::{KeyNode, NIL};
use super::list::{self, List, STRUCTURE};
use super::name;
use crate::error::{Error, Result};

/// UTF-16 units of a key's name.
const MAX_NAME: usize = 255;
/// Keys in a leaf: what Windows puts into two pages.
const MAX_LEAF: usize = 1012;
/// Hives have hash leaves from this version on, fast leaves before.
const HASH_LEAVES: u32 = 5;

/// A name that is looked for, or that a key gets.
pub(super) struct Name {
    pub(super) bytes: Vec<u8>,
    pub(super) is_compressed: bool,
    pub(super) sort_key: Vec<u16>,
}

impl Name {
    pub(super) fn new(text: &str) -> Self {
        let (bytes, is_compressed) = name::encode(text);
        Self { bytes, is_compressed, sort_key: name::sort_key(text) }
    }

    /// A name that Windows allows for a key.
    pub(super) fn checked(text: &str) -> Result<Self> {
        name::check("key", text, MAX_NAME)?;
        Ok(Self::new(text))
    }

    /// The item of a list that leads to the key of this name.
    fn item(&self, signature: [u8; 2], key: u32) -> Vec<u8> {
        let mut item = key.to_le_bytes().to_vec();
        match &signature {
            b"lf" => item.extend(name::hint(&self.bytes, self.is_compressed)),
            b"lh" => item.extend(name::hash(&self.sort_key).to_le_bytes()),
            _ => {}
        }
        item
    }
}

/// That the keys below one are as many as it says, and in order.
pub(super) fn verify(hive: &Hive, key: u32, node: &KeyNode) -> Result<()> {
    let (list, count) = (node.subkey_list.get(), node.subkeys.get());
    let keys = if list == NIL { Vec::new() } else { list::subkeys(hive, list)? };
    if u32::try_from(keys.len()) != Ok(count) {
        return Err(damaged(STRUCTURE, key, format!("{count} keys"), keys.len().to_string()));
    }
    let mut last: Option<Vec<u16>> = None;
    for key in keys {
        let next = list::sort_key(hive, key)?;
        if last.is_some_and(|last| last >= next) {
            let found = format!("{:?} behind a greater one", String::from_utf16_lossy(&next));
            return Err(damaged(STRUCTURE, key, "keys in the order of their names", found));
        }
        last = Some(next);
    }
    Ok(())
}

/// The key of a name.
pub(super) fn find(hive: &Hive, list: u32, sort_key: &[u16]) -> Result<Option<u32>> {
    if list == NIL {
        return Ok(None);
    }
    let (_, leaf) = leaf_for(hive, list, sort_key)?;
    let (found, at) = position(hive, &leaf, sort_key)?;
    if found { leaf.offset(at).map(Some) } else { Ok(None) }
}

/// Adds a key, whose name is not there; where the list is then.
pub(super) fn insert(cells: &mut Cells, list: u32, name: &Name, key: u32) -> Result<u32> {
    if list == NIL {
        let signature = if cells.hive.minor < HASH_LEAVES { *b"lf" } else { *b"lh" };
        return new(cells, signature, name.item(signature, key));
    }
    let (under, mut leaf) = leaf_for(&cells.hive, list, &name.sort_key)?;
    let (_, at) = position(&cells.hive, &leaf, &name.sort_key)?;
    let (size, item) = (leaf.item_size(), name.item(leaf.signature, key));
    leaf.items.splice(at * size..at * size, item);
    let second = (leaf.len() > MAX_LEAF).then(|| leaf.items.split_off(leaf.len() / 2 * size));
    write(cells, &mut leaf)?;
    let second = second.map(|items| new(cells, leaf.signature, items)).transpose()?;
    match (under, second) {
        (Some((mut root, at)), second) => {
            root.items.splice(4 * at..4 * at + 4, leaf.cell.to_le_bytes());
            if let Some(second) = second {
                root.items.splice(4 * at + 4..4 * at + 4, second.to_le_bytes());
            }
            write(cells, &mut root)?;
            Ok(root.cell)
        }
        (None, Some(second)) => new(cells, *b"ri", [leaf.cell, second].map(u32::to_le_bytes).concat()),
        (None, None) => Ok(leaf.cell),
    }
}

/// Takes a key out; where the list is then.
pub(super) fn remove(cells: &mut Cells, list: u32, sort_key: &[u16]) -> Result<u32> {
    let (under, mut leaf) = leaf_for(&cells.hive, list, sort_key)?;
    let (found, at) = position(&cells.hive, &leaf, sort_key)?;
    if !found {
        return Err(leaf.damage("the key that is removed", "none"));
    }
    let size = leaf.item_size();
    leaf.items.drain(at * size..(at + 1) * size);
    if !leaf.items.is_empty() {
        write(cells, &mut leaf)?;
        return Ok(list);
    }
    cells.release(leaf.cell)?;
    let Some((mut root, at)) = under else { return Ok(NIL) };
    root.items.drain(4 * at..4 * at + 4);
    if root.items.is_empty() {
        cells.release(root.cell)?;
        return Ok(NIL);
    }
    write(cells, &mut root)?;
    Ok(root.cell)
}

/// Gives the cells of a list back, and the keys that it led to.
pub(super) fn release(cells: &mut Cells, list: u32) -> Result<Vec<u32>> {
    if list == NIL {
        return Ok(Vec::new());
    }
    let keys = list::subkeys(&cells.hive, list)?;
    let top = List::read(&cells.hive, list)?;
    if top.is_root() {
        top.offsets().try_for_each(|leaf| cells.release(leaf))?;
    }
    cells.release(list)?;
    Ok(keys)
}

/// The leaf in which a name stands or would stand, and its place in the index root, if there is one.
fn leaf_for(hive: &Hive, list: u32, sort_key: &[u16]) -> Result<(Option<(List, usize)>, List)> {
    let top = List::read(hive, list)?;
    if !top.is_root() {
        return Ok((None, top.leaf()?));
    }
    // The last leaf that does not begin behind the name.
    let leaves: Vec<u32> = top.offsets().collect();
    let (mut at, mut end) = (0, leaves.len());
    while end - at > 1 {
        let middle = at + (end - at) / 2;
        let first = list::first(hive, leaves[middle])?;
        if list::sort_key(hive, first)?.as_slice() <= sort_key { at = middle } else { end = middle }
    }
    let leaf = leaves.get(at).ok_or_else(|| top.damage("leaves", "none"))?;
    Ok((Some((top, at)), List::read(hive, *leaf)?.leaf()?))
}

/// Whether a name stands in a leaf, and where it does or would.
fn position(hive: &Hive, leaf: &List, sort_key: &[u16]) -> Result<(bool, usize)> {
    let keys: Vec<u32> = leaf.offsets().collect();
    let (mut start, mut end) = (0, keys.len());
    while start < end {
        let middle = start + (end - start) / 2;
        match list::sort_key(hive, keys[middle])?.as_slice().cmp(sort_key) {
            Ordering::Equal => return Ok((true, middle)),
            Ordering::Less => start = middle + 1,
            Ordering::Greater => end = middle,
        }
    }
    Ok((false, start))
}

fn new(cells: &mut Cells, signature: [u8; 2], items: Vec<u8>) -> Result<u32> {
    let list = List { cell: NIL, signature, items };
    cells.store(&bytes(&list)?)
}

/// Writes a list into its cell, or into a longer one.
fn write(cells: &mut Cells, list: &mut List) -> Result<()> {
    list.cell = cells.replace(list.cell, &bytes(list)?, false)?;
    Ok(())
}

fn bytes(list: &List) -> Result<Vec<u8>> {
    let count = u16::try_from(list.len()).map_err(|_| Error::Layout {
        reason: "a registry key has more subkeys than a list can hold".to_owned(),
    })?;
    Ok([&list.signature[..], count.as_bytes(), &list.items].concat())
}
