//! Taking entries out, and changing what an entry says.
//!
//! An entry of a leaf is cut out. One of another node is replaced by the entry before it, which stands last in a leaf. A leaf that has become
//! empty is freed: the entry behind which it was loses its place in the node above, and is put in again like a new one. Nodes are never merged: so
//! it is in Windows' own indexes.

use super::entry::Entry;
use super::search::Step;
use super::tree::{Index, MAX_DEPTH, Place};
use crate::error::Result;
use crate::windows::ntfs::flaw::flaw;

impl Index<'_> {
    /// Takes the entry of a key out; `false` when there is none. The root may become `room` bytes long.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert).
    pub fn remove(&mut self, key: &[u8], room: usize) -> Result<bool> {
        for _ in 0..MAX_DEPTH {
            let (path, found) = self.path(|other| self.collation.compare(other, key))?;
            let Some(&step) = path.last().filter(|_| found) else { return Ok(false) };
            let leaf = self.to_leaf_before(path.clone())?;
            if leaf.len() == path.len() {
                self.cut(step)?;
                self.tidy(path, room)?;
                return Ok(true);
            }
            let Some(&end) = leaf.last().filter(|end| end.slot > 0) else {
                // An empty leaf, which chkdsk left, has no entry that could take the place.
                match self.prune(leaf)? {
                    Some(gone) if self.collation.compare(key_of(&gone), key).is_eq() => return Ok(true),
                    Some(loose) => self.insert(&loose, room)?,
                    None => {}
                }
                continue;
            };
            let before = self.cut(Step { slot: end.slot - 1, ..end })?;
            self.exchange(path, &before, room)?;
            // Nodes may have been split on the way.
            let (path, _) = self.path(|other| self.collation.compare(other, key_of(&before)))?;
            self.tidy(self.to_leaf_before(path)?, room)?;
            return Ok(true);
        }
        Err(flaw("a leaf with entries before each entry", "empty ones again and again").at("NTFS index", 0))
    }

    /// Gives the entry of a key other bytes: as many, with a key that is the same to the collation. `false` when there is no such entry.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the blocks gives rise to.
    pub fn replace(&mut self, entry: &[u8]) -> Result<bool> {
        let parsed = Entry::parse(entry);
        let key = parsed.map(|entry| entry.key()).unwrap_or_default();
        let (path, found) = self.path(|other| self.collation.compare(other, key))?;
        let Some(&Step { place, slot }) = path.last().filter(|_| found) else { return Ok(false) };
        let bytes = self.bytes(place)?.into_owned();
        let mut node = self.parse(place, &bytes)?;
        match node.entries.get_mut(slot) {
            Some(old) if old.bytes.len() == entry.len() => old.bytes = entry,
            _ => {
                let flaw = flaw(format!("an entry of {} bytes", entry.len()), "one of another length");
                return Err(self.at(place, flaw));
            }
        }
        self.write(place, &node.entries, node.last).map(|()| true)
    }

    /// Takes an entry out of a leaf.
    fn cut(&mut self, Step { place, slot }: Step) -> Result<Vec<u8>> {
        let bytes = self.bytes(place)?.into_owned();
        let mut node = self.parse(place, &bytes)?;
        let entry = node.entries.remove(slot);
        self.write(place, &node.entries, node.last)?;
        Ok(entry.to_vec())
    }

    /// Puts an entry, which may be a longer one, in the place of that at the end of a way.
    fn exchange(&mut self, mut path: Vec<Step>, entry: &[u8], room: usize) -> Result<()> {
        let Some(Step { place, slot }) = path.pop() else { return Ok(()) };
        let bytes = self.bytes(place)?.into_owned();
        let mut node = self.parse(place, &bytes)?;
        if let Some(old) = node.entries.get_mut(slot) {
            old.bytes = entry;
        }
        let loose = self.settle(place, &node.entries, node.last, room)?;
        self.put(path, loose, room)
    }

    /// Frees the leaf at the end of a way, if it is empty.
    fn tidy(&mut self, path: Vec<Step>, room: usize) -> Result<()> {
        let Some(&Step { place, .. }) = path.last() else { return Ok(()) };
        if !self.parse(place, &self.bytes(place)?)?.entries.is_empty() {
            return Ok(());
        }
        match self.prune(path)? {
            Some(loose) => self.insert(&loose, room),
            None => Ok(()),
        }
    }

    /// Frees the empty leaf at the end of a way, and the nodes above it that have no other child. The entry that stood between it and
    /// another node has no place then.
    fn prune(&mut self, mut path: Vec<Step>) -> Result<Option<Vec<u8>>> {
        while let Some(Step { place: Place::Block(number), .. }) = path.pop() {
            self.free(number);
            let Some(&Step { place, slot }) = path.last() else { break };
            let bytes = self.bytes(place)?.into_owned();
            let mut node = self.parse(place, &bytes)?;
            let (loose, last) = match slot < node.entries.len() {
                true => (node.entries.remove(slot), node.last),
                // The end entry has no key that could go: it takes the child of the entry before it.
                false => match node.entries.pop() {
                    Some(loose) => (loose, loose.child),
                    None => continue,
                },
            };
            self.write(place, &node.entries, last)?;
            return Ok(Some(loose.to_vec()));
        }
        // Nothing is left but the root.
        self.write(Place::Root, &[], None).map(|()| None)
    }
}

fn key_of(entry: &[u8]) -> &[u8] {
    Entry { bytes: entry, child: None }.key()
}
