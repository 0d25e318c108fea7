//! Putting entries in. A node that is full is split: the entry in its middle moves up, with a new node of those before it for its
//! child. A root that does not fit into its record gives its entries to a new block.

use super::entry::{CHILD, Entry, HEADER};
use super::node;
use super::search::Step;
use super::tree::{Index, Place};
use crate::error::{Error, Result};
use crate::windows::ntfs::flaw::{flaw, refused};

/// The least room for a root: with an end entry that has a child.
const LEAST_ROOT: usize = node::ROOT_ENTRIES + HEADER + CHILD;

/// An entry that has no place yet, and the node before it.
pub(super) struct Loose {
    pub entry: Vec<u8>,
    pub child: Option<u64>,
}

impl Index<'_> {
    /// Puts an entry in: header, key and data, as it stands in a leaf. The root may become `room` bytes long.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], for a key that is there too; [`Error::Unsupported`] for one too long for the blocks,
    /// [`Error::Layout`] for too little room, and what reading the blocks gives rise to.
    pub fn insert(&mut self, entry: &[u8], room: usize) -> Result<()> {
        let parsed = Entry::parse(entry)
            .ok_or_else(|| flaw("an index entry", "a part of one").at("NTFS index entry", 0))?;
        // It may come to stand in a node alone, with a child, and the end entry with one.
        if entry.len() + CHILD + HEADER + CHILD > node::room(self.geometry.block) {
            let what =
                format!("an entry of {} bytes in index blocks of {}", entry.len(), self.geometry.block);
            return Err(Error::Unsupported { what });
        }
        let (path, found) = self.path(|other| self.collation.compare(other, parsed.key()))?;
        match found {
            true => Err(flaw("a key that the index does not have", "one that it has").at("NTFS index", 0)),
            false => self.put(path, Loose { entry: entry.to_vec(), child: None }, room),
        }
    }

    /// Puts an entry where a way ends, and what then has no place there into the nodes above.
    pub(super) fn put(&mut self, mut path: Vec<Step>, mut loose: Loose, room: usize) -> Result<()> {
        while let Some(Step { place, slot }) = path.pop() {
            let bytes = self.bytes(place)?.into_owned();
            let mut node = self.parse(place, &bytes)?;
            node.entries
                .insert(slot.min(node.entries.len()), Entry { bytes: &loose.entry, child: loose.child });
            match self.settle(place, &node.entries, node.last, room)? {
                Some(split) => loose = split,
                None => break,
            }
        }
        Ok(())
    }

    /// Gives a node other entries, which may be too many: then those behind the middle, and the entry in the middle is what has no
    /// place. The root never has one that has none.
    pub(super) fn settle(
        &mut self,
        place: Place,
        entries: &[Entry],
        last: Option<u64>,
        room: usize,
    ) -> Result<Option<Loose>> {
        let size = node::size(entries, last);
        match place {
            Place::Root if node::ROOT_ENTRIES + size > room => {
                self.move_root(entries, last, room).map(|()| None)
            }
            Place::Block(_) if size > node::room(self.geometry.block) => {
                let middle = middle(entries);
                let (before, behind) = (&entries[..middle], &entries[middle + 1..]);
                let new = self.allocate()?;
                self.write(Place::Block(new), before, entries[middle].child)?;
                self.write(place, behind, last)?;
                let entry = entries[middle].to_vec();
                Ok(Some(Loose { entry, child: Some(self.geometry.vcn(new)) }))
            }
            _ => self.write(place, entries, last).map(|()| None),
        }
    }

    /// Gives the root's entries, if it has any, to a new block, so that they need no room in the record.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert).
    pub fn push_down(&mut self) -> Result<()> {
        let bytes = self.bytes(Place::Root)?.into_owned();
        let root = self.parse(Place::Root, &bytes)?;
        if root.entries.is_empty() {
            return Ok(());
        }
        self.move_root(&root.entries, root.last, LEAST_ROOT)
    }

    /// Gives entries that would be the root's to a new block. When they are too many for that, the root keeps one of them if it has
    /// room, else that one goes to a block of its own.
    fn move_root(&mut self, entries: &[Entry], last: Option<u64>, room: usize) -> Result<()> {
        if room < LEAST_ROOT {
            return Err(refused(&format!(
                "an index root needs {LEAST_ROOT} bytes of its FILE record: {room} are free"
            )));
        }
        let new = self.allocate()?;
        let vcn = self.geometry.vcn(new);
        self.write(Place::Root, &[], Some(vcn))?;
        if let Some(Loose { entry, child }) = self.settle(Place::Block(new), entries, last, room)? {
            let entry = Entry { bytes: &entry, child };
            self.settle(Place::Root, &[entry], Some(vcn), room)?;
        }
        Ok(())
    }
}

/// The entry on both sides of which about as many bytes are, and entries at all if there are three. Of two the first, so that what is behind it is
/// no empty leaf.
fn middle(entries: &[Entry]) -> usize {
    let half = entries.iter().map(Entry::len).sum::<usize>() / 2;
    let mut before = 0;
    let middle = entries.iter().position(|entry| {
        before += entry.len();
        before > half
    });
    middle.unwrap_or(0).max(1).min(entries.len().saturating_sub(2))
}
