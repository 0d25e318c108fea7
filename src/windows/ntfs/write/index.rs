//! Indexes of a file changed: their root, their blocks, and the bitmap of these.

use super::super::directory::with_index;
use super::super::flaw::flaw;
use super::super::index::{Entry, Index};
use super::super::record::kind;
use super::Edit;
use super::attribute::{Attribute, Clusters, Value};
use super::node::Node;
use crate::error::Result;

/// A root may take so many bytes, though other attributes would have to leave the record for it: its header, and an end
/// entry with a child.
const LEAST_ROOT: usize = 56;

impl Edit {
    pub(in crate::windows::ntfs) fn index_insert(
        &mut self,
        file: u64,
        index: &str,
        entry: &[u8],
    ) -> Result<()> {
        self.change_index(file, index, |index, room| index.insert(entry, room))
    }

    /// Whether there was such an entry.
    pub(in crate::windows::ntfs) fn index_remove(
        &mut self,
        file: u64,
        index: &str,
        key: &[u8],
    ) -> Result<bool> {
        self.change_index(file, index, |index, room| index.remove(key, room))
    }

    /// Replaces the entry that a file has for a key, or adds it.
    pub(super) fn index_put(&mut self, file: u64, index: &str, entry: &[u8]) -> Result<()> {
        let no_entry = || flaw("an index entry", "a part of one").at("NTFS index", 0);
        let new = Entry::parse(entry).ok_or_else(no_entry)?;
        self.change_index(file, index, |index, room| {
            let Some(old) = index.get(new.key())? else { return index.insert(entry, room) };
            let old = Entry::parse(&old).ok_or_else(no_entry)?.reference();
            match old == new.reference() && index.replace(entry)? {
                true => Ok(()),
                false => {
                    let expected = format!("an entry of file {}", new.reference().number());
                    Err(flaw(expected, format!("one of {}", old.number())).at("NTFS index", 0))
                }
            }
        })
    }

    fn change_index<T>(
        &mut self,
        file: u64,
        name: &str,
        change: impl FnOnce(&mut Index, usize) -> Result<T>,
    ) -> Result<T> {
        let mut node = Node::load(&self.volume, file)?;
        let before = node.attributes.clone();
        let room = self.room_for_root(&node, name)?;
        let (changed, after) = with_index(&self.volume, &node.base, name, |mut index| {
            let changed = change(&mut index, room)?;
            Ok((changed, index.finish()?))
        })?;
        if !after.blocks.is_empty() && node.find(kind::INDEX_ALLOCATION, name).is_none() {
            let blocks = Attribute::in_clusters(kind::INDEX_ALLOCATION, name, Clusters::default());
            node.add(blocks, &self.volume.upcase);
            node.add(Attribute::resident(kind::BITMAP, name, Vec::new()), &self.volume.upcase);
        }
        if let Some(len) = after.blocks.values().next().map(Vec::len) {
            let size = after.count * len as u64;
            if node.find(kind::INDEX_ALLOCATION, name).is_some_and(|blocks| blocks.size() < size) {
                self.resize_value(&mut node, kind::INDEX_ALLOCATION, name, size)?;
            }
        }
        for (number, bytes) in &after.blocks {
            let offset = number * bytes.len() as u64;
            self.write_value(&mut node, kind::INDEX_ALLOCATION, name, offset, bytes)?;
        }
        if !after.bitmap.is_empty() {
            self.write_value(&mut node, kind::BITMAP, name, 0, &after.bitmap)?;
        }
        if let Some(Value::Resident { bytes, .. }) =
            node.find_mut(kind::INDEX_ROOT, name).map(|root| &mut root.value)
        {
            *bytes = after.root;
        }
        // What changed in blocks alone is none of the record's business.
        if node.attributes != before {
            self.store(&mut node)?;
        }
        Ok(changed)
    }

    /// Bytes that the value of an index's root may take, with all other attributes in the record beside it.
    fn room_for_root(&self, node: &Node, index: &str) -> Result<usize> {
        let all: usize = node.attributes.iter().map(Attribute::len).sum();
        let root = node.find(kind::INDEX_ROOT, index).map_or(0, |root| root.size() as usize);
        let room = self.room_for_attributes(&node.base)? + root.next_multiple_of(8);
        Ok(room.saturating_sub(all).max(LEAST_ROOT))
    }
}
