//! What is to change on a disk, before any of it is written.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::storage::ReadAt;

/// Bytes that replace those of a disk; see [`Disk::patched`](super::Disk::patched).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// First byte of the virtual disk.
    pub offset: u64,
    /// The new bytes.
    pub bytes: Vec<u8>,
}

impl Patch {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }
}

/// Bytes of a disk that are wanted elsewhere on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Where they are.
    pub from: u64,
    /// Where they go.
    pub to: u64,
    /// How many they are.
    pub len: u64,
}

/// Bytes that come from elsewhere, such as a file: they are referred to, and read when they are wanted.
#[derive(Clone)]
pub struct Content {
    /// First byte of the virtual disk.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
    /// Where they are, and the first of them there; `None` for zeros.
    pub source: Option<(Arc<dyn ReadAt>, u64)>,
}

impl Content {
    /// The `len` bytes behind the first `skip`, which it has.
    pub(crate) fn part(&self, skip: u64, len: u64) -> Self {
        let source = self.source.as_ref().map(|(source, at)| (source.clone(), at + skip));
        Self { offset: self.offset + skip, len, source }
    }

    /// Fills `buf` with the bytes behind the first `skip`.
    pub(crate) fn read(&self, buf: &mut [u8], skip: u64) -> Result<()> {
        match &self.source {
            None => buf.fill(0),
            Some((source, at)) => source
                .read_exact_at(buf, at + skip)
                .map_err(|e| Error::io("read", "what a file is to hold", e))?,
        }
        Ok(())
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.source, &other.source) {
            (Some((a, at)), Some((b, other_at))) => Arc::ptr_eq(a, b) && at == other_at,
            (a, b) => a.is_none() && b.is_none(),
        };
        same && (self.offset, self.len) == (other.offset, other.len)
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.source.as_ref().map(|(_, at)| at);
        f.debug_struct("Content")
            .field("offset", &self.offset)
            .field("len", &self.len)
            .field("from", &from)
            .finish_non_exhaustive()
    }
}

/// What is to change on a disk. No two of the changes meet where they go, and what is moved is as it was before any of
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Changes {
    /// Bytes to be moved.
    pub moves: Vec<Move>,
    /// Bytes to be replaced.
    pub patches: Vec<Patch>,
    /// Bytes to be replaced by those of other storages.
    pub contents: Vec<Content>,
}

impl Changes {
    /// These changes, and `patches` after them: what they replace need not be moved there first. They meet none of the
    /// patches that are here already.
    pub fn and(mut self, patches: Vec<Patch>) -> Self {
        self.patches.extend(patches.into_iter().filter(|patch| !patch.bytes.is_empty()));
        self.patches.sort_by_key(|patch| patch.offset);
        self.moves = apart(self.moves, &self.patches);
        self
    }

    /// How many bytes are moved.
    pub fn moved(&self) -> u64 {
        self.moves.iter().fold(0, |sum, moved| sum.saturating_add(moved.len))
    }
}

impl From<Vec<Patch>> for Changes {
    fn from(patches: Vec<Patch>) -> Self {
        Self::default().and(patches)
    }
}

/// The moves without what patches, which are in order, replace at their end.
fn apart(moves: Vec<Move>, patches: &[Patch]) -> Vec<Move> {
    let mut kept = Vec::new();
    for Move { from, to, len } in moves {
        let mut at = 0;
        // Places that no disk has are refused by whoever takes the changes.
        let part = |at, len| Move { from: from.saturating_add(at), to: to.saturating_add(at), len };
        let first = patches.partition_point(|patch| patch.end() <= to);
        for patch in &patches[first..] {
            if patch.offset >= to.saturating_add(len) {
                break;
            }
            let start = patch.offset.saturating_sub(to).max(at);
            if start > at {
                kept.push(part(at, start - at));
            }
            at = (patch.end() - to).min(len);
        }
        if at < len {
            kept.push(part(at, len - at));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(offset: u64, len: usize) -> Patch {
        Patch { offset, bytes: vec![0; len] }
    }

    /// Patches before, at the ends of, within and behind what is moved.
    #[test]
    fn patches_come_after_moves() {
        let moved = Changes { moves: vec![Move { from: 1000, to: 100, len: 50 }], ..Changes::default() };
        let changes = moved.and(vec![patch(140, 20), patch(90, 20), patch(120, 5), patch(0, 7)]);
        let expected = [Move { from: 1010, to: 110, len: 10 }, Move { from: 1025, to: 125, len: 15 }];
        assert_eq!(changes.moves, expected);
        assert_eq!(changes.moved(), 25);
        assert_eq!(changes.and(vec![patch(110, 10), patch(125, 15), patch(1 << 40, 0)]).moves, []);
        assert_eq!(Changes::from(vec![patch(1 << 40, 0)]), Changes::default());
    }
}
