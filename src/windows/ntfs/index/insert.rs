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

impl Loose {
    fn entry(&self) -> Entry<'_> {
        Entry { bytes: &self.entry, child: self.child }
    }
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
            false => self.put(path, vec![Loose { entry: entry.to_vec(), child: None }], room),
        }
    }

    /// Puts entries where a way ends, and what then has no place there into the nodes above.
    pub(super) fn put(&mut self, mut path: Vec<Step>, mut loose: Vec<Loose>, room: usize) -> Result<()> {
        while let Some(Step { place, slot }) = path.pop().filter(|_| !loose.is_empty()) {
            let bytes = self.bytes(place)?.into_owned();
            let mut node = self.parse(place, &bytes)?;
            let slot = slot.min(node.entries.len());
            node.entries.splice(slot..slot, loose.iter().map(Loose::entry));
            loose = self.settle(place, &node.entries, node.last, room)?;
        }
        Ok(())
    }

    /// Gives a node other entries, which may be too many: then those at the end, and what has no place are the entries between them
    /// and the nodes that take the others. The root has none that have none.
    pub(super) fn settle(
        &mut self,
        place: Place,
        entries: &[Entry],
        last: Option<u64>,
        room: usize,
    ) -> Result<Vec<Loose>> {
        if place == Place::Root {
            return match node::ROOT_ENTRIES + node::size(entries, last) > room {
                true => self.move_root(entries, last, room).map(|()| Vec::new()),
                false => self.write(place, entries, last).map(|()| Vec::new()),
            };
        }
        let room = node::room(self.geometry.block);
        let (mut rest, mut loose) = (entries, Vec::new());
        while node::size(rest, last) > room {
            let middle = middle(rest, room - HEADER - CHILD);
            let new = self.allocate()?;
            self.write(Place::Block(new), &rest[..middle], rest[middle].child)?;
            loose.push(Loose { entry: rest[middle].to_vec(), child: Some(self.geometry.vcn(new)) });
            rest = &rest[middle + 1..];
        }
        self.write(place, rest, last)?;
        Ok(loose)
    }

    /// Gives entries that would be the root's to a new block. When they are too many for that, the root keeps some of them if it has room,
    /// else those go to a block of their own.
    fn move_root(&mut self, entries: &[Entry], last: Option<u64>, room: usize) -> Result<()> {
        if room < LEAST_ROOT {
            return Err(refused(&format!(
                "an index root needs {LEAST_ROOT} bytes of its FILE record: {room} are free"
            )));
        }
        let new = self.allocate()?;
        let vcn = self.geometry.vcn(new);
        self.write(Place::Root, &[], Some(vcn))?;
        let loose = self.settle(Place::Block(new), entries, last, room)?;
        if !loose.is_empty() {
            let entries: Vec<Entry> = loose.iter().map(Loose::entry).collect();
            self.settle(Place::Root, &entries, Some(vcn), room)?;
        }
        Ok(())
    }
}

/// The entry on both sides of which about as many bytes are, with at most `most` before it, and entries at all if there are three. Of two the
/// first, so that what is behind it is no empty leaf.
fn middle(entries: &[Entry], most: usize) -> usize {
    let half = entries.iter().map(Entry::len).sum::<usize>() / 2;
    let mut before = 0;
    let middle = entries.iter().position(|entry| {
        before += entry.len();
        before > half.min(most)
    });
    middle.unwrap_or(0).max(1).min(entries.len().saturating_sub(2))
}
