//! Finding entries: from the root down, by halving each node.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::ControlFlow;

use super::entry::Entry;
use super::tree::{Index, MAX_DEPTH, Place};
use crate::error::Result;
use crate::windows::ntfs::flaw::flaw;

/// A node on the way from the root, and the entry in it, or before which the way goes down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub place: Place,
    pub slot: usize,
}

impl Index<'_> {
    /// The entry of a key: its header, key and data.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the blocks gives rise to; as all that follow.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.find(|other| self.collation.compare(other, key))
    }

    /// An entry whose key `order` says is the one; it says how a key compares with what is sought, and agrees with the collation.
    pub fn find(&self, order: impl Fn(&[u8]) -> Ordering) -> Result<Option<Vec<u8>>> {
        let (path, found) = self.path(order)?;
        match path.last() {
            Some(&step) if found => self.entry(step),
            _ => Ok(None),
        }
    }

    /// The first entry whose key is not less than `key`.
    pub fn first_from(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let (path, _) = self.path(|other| self.collation.compare(other, key))?;
        // Behind the last entry of a node the next one is further up.
        for &step in path.iter().rev() {
            if let Some(entry) = self.entry(step)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn entry(&self, Step { place, slot }: Step) -> Result<Option<Vec<u8>>> {
        let bytes = self.bytes(place)?;
        Ok(self.parse(place, &bytes)?.entries.get(slot).map(|entry| entry.to_vec()))
    }

    /// Calls `visit` with the entries in order.
    pub fn walk<T>(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<T>) -> Result<ControlFlow<T>> {
        self.walk_below(Place::Root, 1, &mut HashSet::new(), visit)
    }

    /// `met` has the blocks that the walk came through, so that it ends whatever they refer to.
    fn walk_below<T>(
        &self,
        place: Place,
        depth: usize,
        met: &mut HashSet<u64>,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<T>,
    ) -> Result<ControlFlow<T>> {
        self.check_depth(place, depth)?;
        let bytes = self.bytes(place)?;
        let node = self.parse(place, &bytes)?;
        for slot in 0..=node.entries.len() {
            if let Some(vcn) = node.child(slot) {
                let child = self.child(place, vcn)?;
                if !met.insert(vcn) {
                    let found = format!("the block {vcn} for the second time");
                    return Err(self.at(place, flaw("a block as the child of one entry", found)));
                }
                if let done @ ControlFlow::Break(_) = self.walk_below(child, depth + 1, met, visit)? {
                    return Ok(done);
                }
            }
            if let Some(&entry) = node.entries.get(slot)
                && let done @ ControlFlow::Break(_) = visit(entry)
            {
                return Ok(done);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The way to a key, or to the place in a leaf where it would stand, and whether it is there.
    pub(super) fn path(&self, order: impl Fn(&[u8]) -> Ordering) -> Result<(Vec<Step>, bool)> {
        let mut path = Vec::new();
        let mut place = Place::Root;
        loop {
            self.check_depth(place, path.len() + 1)?;
            let bytes = self.bytes(place)?;
            let node = self.parse(place, &bytes)?;
            let found = node.entries.binary_search_by(|entry| order(entry.key()));
            let (Ok(slot) | Err(slot)) = found;
            path.push(Step { place, slot });
            match node.child(slot) {
                Some(vcn) if found.is_err() => place = self.child(place, vcn)?,
                _ => return Ok((path, found.is_ok())),
            }
        }
    }

    /// A way that ends at an entry with a child, and on from there to the end of the leaf before the entry.
    pub(super) fn to_leaf_before(&self, mut path: Vec<Step>) -> Result<Vec<Step>> {
        while let Some(&Step { place, slot }) = path.last() {
            let bytes = self.bytes(place)?;
            let Some(vcn) = self.parse(place, &bytes)?.child(slot) else { break };
            let place = self.child(place, vcn)?;
            self.check_depth(place, path.len() + 1)?;
            let slot = self.parse(place, &self.bytes(place)?)?.entries.len();
            path.push(Step { place, slot });
        }
        Ok(path)
    }

    /// A tree that loops is one without end.
    fn check_depth(&self, place: Place, depth: usize) -> Result<()> {
        match depth > MAX_DEPTH {
            true => {
                let flaw = flaw(format!("an index of at most {MAX_DEPTH} levels"), "one more");
                Err(self.at(place, flaw))
            }
            false => Ok(()),
        }
    }
}
