//! BLAKE3 by many threads: the subtrees of its tree are hashed apart, and merged in order.
//!
//! A chunk's hash depends on the chunk's place (BLAKE3 paper, section 2.4: the counter `t`), so that zeros are hashed anew wherever
//! they stand; but they need not be read, nor moved through memory.

use std::sync::Arc;

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::disk::pipeline::Pipeline;
use crate::leaves::ZEROS;
use crate::sink::Packet;

/// Bytes of a subtree that holds data.
const UNIT: u64 = 1 << 20;
/// Units of a subtree of zeros at most: a few milliseconds' worth.
const MAX_UNITS: u64 = 8;

/// The tree over a content of known size.
pub(super) struct Tree {
    size: u64,
    pipeline: Pipeline<Subtree, Hashed>,
    /// Subtrees that may be on their way.
    ahead: usize,
    /// The subtree that is being filled, and how far it is.
    open: Subtree,
    at: u64,
    /// The hashes of the subtrees on the left edge of what is to come, the largest first: one for each bit that is set in the
    /// number of units they cover.
    merged: Vec<ChainingValue>,
    units: u64,
}

/// An aligned part of the content: a power of two of units, or the rest of the content.
#[derive(Default)]
struct Subtree {
    start: u64,
    len: u64,
    /// What is not zeros, in order: pieces of packets.
    data: Vec<(Arc<Packet>, usize)>,
}

struct Hashed {
    value: ChainingValue,
    units: u64,
}

impl Tree {
    pub(super) fn new(size: u64) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            size,
            pipeline: Pipeline::new(threads, move |subtree: Subtree| subtree.hash(size)),
            ahead: threads + 1,
            open: Subtree { start: 0, len: size.min(UNIT), data: Vec::new() },
            at: 0,
            merged: Vec::new(),
            units: 0,
        }
    }

    /// Takes a piece of a packet, which begins where the content taken so far ends.
    pub(super) fn put(&mut self, packet: &Arc<Packet>, index: usize) {
        let piece = packet.pieces[index];
        let end = piece.offset + piece.len as u64;
        while self.at < end {
            self.open.data.push((packet.clone(), index));
            self.advance(end);
        }
    }

    /// Takes some of the zeros up to `end`, and returns how far it came.
    pub(super) fn zeros_to(&mut self, end: u64) -> u64 {
        if self.at == self.open.start {
            // Larger subtrees where they fit, but never the whole tree: its root is made otherwise.
            let fits = |units: &u64| {
                let len = units * UNIT;
                self.at.is_multiple_of(len) && self.at + len <= end && len < self.size
            };
            let units = (0..).map(|shift| 1 << shift).take_while(|&units| units <= MAX_UNITS);
            if let Some(units) = units.filter(fits).max() {
                self.open.len = units * UNIT;
            }
        }
        self.advance(end);
        self.at
    }

    /// Moves on to `end`, or to the end of the open subtree, which is then hashed.
    fn advance(&mut self, end: u64) {
        let full = self.open.start + self.open.len;
        self.at = end.min(full);
        if self.at == full && full < self.size {
            let next = Subtree { start: full, len: (self.size - full).min(UNIT), data: Vec::new() };
            let subtree = std::mem::replace(&mut self.open, next);
            self.hash(subtree);
        }
    }

    fn hash(&mut self, subtree: Subtree) {
        self.pipeline.push(subtree);
        while self.pipeline.pending() > self.ahead {
            self.merge_next();
        }
    }

    /// Lays the next subtree beside those before it. Two are merged only when a third comes: the last two make the root.
    fn merge_next(&mut self) {
        let Some(hashed) = self.pipeline.pop() else { return };
        while self.merged.len() > self.units.count_ones() as usize
            && let (Some(right), Some(left)) = (self.merged.pop(), self.merged.pop())
        {
            self.merged.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
        self.merged.push(hashed.value);
        self.units += hashed.units;
    }

    /// The hash of the whole content, which is all there.
    pub(super) fn finish(mut self) -> [u8; 32] {
        let last = std::mem::take(&mut self.open);
        self.hash(last);
        while self.pipeline.pending() > 0 {
            self.merge_next();
        }
        let Some(mut right) = self.merged.pop() else { return [0; 32] };
        let top = self.merged.first().copied();
        for left in self.merged.iter().skip(1).rev() {
            right = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
        top.map_or(right, |top| merge_subtrees_root(&top, &right, Mode::Hash).into())
    }
}

impl Subtree {
    /// The hash of the subtree, or of the content of `size` bytes if it is all of it.
    fn hash(&self, size: u64) -> Hashed {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(self.start);
        let end = self.start + self.len;
        let mut at = self.start;
        let zeros = |hasher: &mut Hasher, at: &mut u64, to: u64| {
            while *at < to {
                let len = (to - *at).min(ZEROS.len() as u64);
                hasher.update(&ZEROS[..len as usize]);
                *at += len;
            }
        };
        for (packet, index) in &self.data {
            let piece = packet.pieces[*index];
            zeros(&mut hasher, &mut at, piece.offset);
            let skip = (at - piece.offset) as usize;
            let len = (piece.len - skip).min((end - at) as usize);
            let part = &packet.buffer[piece.at + skip..piece.at + skip + len];
            hasher.update(part);
            at += part.len() as u64;
        }
        zeros(&mut hasher, &mut at, end);
        let value = if self.len == size { hasher.finalize().into() } else { hasher.finalize_non_root() };
        Hashed { value, units: self.len.div_ceil(UNIT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Buffer;
    use crate::sink::Piece;

    /// Contents that end within, at and behind the edges of subtrees, with data and zeros across them.
    #[test]
    fn the_tree_is_that_of_the_whole_content() {
        let mib = 1 << 20;
        let sizes =
            [0, 1, 1024, 1025, mib - 1, mib, mib + 1, 2 * mib, 3 * mib + 7, 8 * mib, 16 * mib, 27 * mib + 5];
        for size in sizes {
            let runs = [
                (0, 5),
                (mib - 3, 10),
                (mib + 4096, 3 * mib),
                (13 * mib, 100),
                (22 * mib, mib),
                (26 * mib + 1, 9),
            ];
            for kept in [0, 1, 2, 6] {
                let mut content = vec![0; size];
                let mut tree = Tree::new(size as u64);
                for &(start, len) in runs.iter().take(kept).filter(|(start, len)| start + len <= size) {
                    let bytes: Vec<u8> = (0..len).map(|n| (n * 7 % 251) as u8).collect();
                    content[start..start + len].copy_from_slice(&bytes);
                    while tree.at < start as u64 {
                        tree.zeros_to(start as u64);
                    }
                    let pieces = vec![Piece { offset: start as u64, at: 0, len }];
                    tree.put(&Arc::new(Packet { pieces, buffer: Buffer::new(bytes) }), 0);
                }
                while tree.at < size as u64 {
                    tree.zeros_to(size as u64);
                }
                assert_eq!(tree.finish(), *blake3::hash(&content).as_bytes(), "{size}, {kept} runs");
            }
        }
    }
}
