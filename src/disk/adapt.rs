//! Adapters that take a stream of blocks and give one: composable, as iterators are.

use std::ops::Range;

use super::{Block, Buffer, Data, Patch};
use crate::error::Result;

/// Adapters for any stream of blocks in order; every iterator over `Result<Block>` has them.
///
/// ```
/// use diskport::{BlockStream, Blocks, Data, MIB};
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// let mut stored = 0;
/// let first_half = disk.blocks(Blocks::of(MIB)).limit(0..disk.size() / 2).observe(|block| {
///     if let Data::Bytes(bytes) = &block.data {
///         stored += bytes.len();
///     }
/// });
/// for block in first_half {
///     block?;
/// }
/// # Ok::<(), diskport::Error>(())
/// ```
pub trait BlockStream: Iterator<Item = Result<Block>> + Sized {
    /// Only the parts within `range`, cut where they cross its ends.
    fn limit(self, range: Range<u64>) -> Limit<Self> {
        Limit { blocks: self, range }
    }

    /// Shows each block to `look` as it passes: to a digest, a progress bar, a counter.
    fn observe<F: FnMut(&Block)>(self, look: F) -> Observe<Self, F> {
        Observe { blocks: self, look }
    }

    /// Replaces bytes by those of `patches`, which do not overlap. Zero and absent runs that a patch touches are
    /// split around it.
    fn overlay(self, mut patches: Vec<Patch>) -> Overlay<Self> {
        patches.retain(|patch| !patch.bytes.is_empty());
        patches.sort_by_key(|patch| std::cmp::Reverse(patch.offset));
        Overlay { blocks: self, patches, rest: None }
    }
}

impl<I: Iterator<Item = Result<Block>>> BlockStream for I {}

/// See [`BlockStream::limit`].
#[derive(Debug)]
pub struct Limit<I> {
    blocks: I,
    range: Range<u64>,
}

impl<I: BlockStream> Iterator for Limit<I> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let block = match self.blocks.next()? {
                Ok(block) => block,
                Err(e) => return Some(Err(e)),
            };
            if block.offset >= self.range.end {
                return None;
            }
            let start = block.offset.max(self.range.start);
            let end = block.end().min(self.range.end);
            if start < end {
                return Some(Ok(cut(block, start, end)));
            }
        }
    }
}

/// See [`BlockStream::observe`].
#[derive(Debug)]
pub struct Observe<I, F> {
    blocks: I,
    look: F,
}

impl<I: BlockStream, F: FnMut(&Block)> Iterator for Observe<I, F> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.blocks.next()?;
        if let Ok(block) = &block {
            (self.look)(block);
        }
        Some(block)
    }
}

/// See [`BlockStream::overlay`].
#[derive(Debug)]
pub struct Overlay<I> {
    blocks: I,
    /// The last first.
    patches: Vec<Patch>,
    rest: Option<Block>,
}

impl<I: BlockStream> Iterator for Overlay<I> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut block = match self.rest.take() {
            Some(block) => block,
            None => match self.blocks.next()? {
                Ok(block) => block,
                Err(e) => return Some(Err(e)),
            },
        };
        while self.patches.last().is_some_and(|patch| patch.offset + patch.bytes.len() as u64 <= block.offset)
        {
            self.patches.pop();
        }
        if let Data::Bytes(bytes) = &mut block.data {
            let end = block.offset + bytes.len() as u64;
            for patch in self.patches.iter().rev().take_while(|patch| patch.offset < end) {
                let from = patch.offset.max(block.offset);
                let to = (patch.offset + patch.bytes.len() as u64).min(end);
                let new = &patch.bytes[(from - patch.offset) as usize..(to - patch.offset) as usize];
                bytes[(from - block.offset) as usize..(to - block.offset) as usize].copy_from_slice(new);
            }
            return Some(Ok(block));
        }
        let (start, end) = (block.offset, block.end());
        let Some(patch) = self.patches.last().filter(|patch| patch.offset < end) else {
            return Some(Ok(block));
        };
        let patched = start.max(patch.offset)..(patch.offset + patch.bytes.len() as u64).min(end);
        if patched.start > start {
            self.rest = Some(part(&block, patched.start, end));
            return Some(Ok(part(&block, start, patched.start)));
        }
        let skip = (patched.start - patch.offset) as usize;
        let bytes = patch.bytes[skip..skip + (patched.end - patched.start) as usize].to_vec();
        if patched.end < end {
            self.rest = Some(part(&block, patched.end, end));
        }
        Some(Ok(Block { offset: patched.start, data: Data::Bytes(Buffer::new(bytes)) }))
    }
}

/// The part of a block that lies within `start..end`.
fn cut(block: Block, start: u64, end: u64) -> Block {
    match &block.data {
        Data::Bytes(bytes) if (start, end) != (block.offset, block.end()) => {
            let part = bytes[(start - block.offset) as usize..(end - block.offset) as usize].to_vec();
            Block { offset: start, data: Data::Bytes(Buffer::new(part)) }
        }
        Data::Bytes(_) => block,
        _ => part(&block, start, end),
    }
}

/// The part of a run without bytes that lies within `start..end`.
fn part(block: &Block, start: u64, end: u64) -> Block {
    let data = match block.data {
        Data::Absent(_) => Data::Absent(end - start),
        _ => Data::Zero(end - start),
    };
    Block { offset: start, data }
}
