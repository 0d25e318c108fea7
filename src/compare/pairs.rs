//! Two disks, read side by side.

use std::ops::Range;

use crate::disk::{Block, BlockReader, Blocks, Data, Disk};
use crate::error::Result;

/// Bytes that are read of each disk at a time.
const BLOCK: u64 = 1 << 20;

/// The contents of two disks, piece by piece. What both know to be zeros is not read.
pub(crate) struct Pairs {
    left: Side,
    right: Side,
    at: u64,
}

/// The same range of both disks.
pub(crate) struct Pair<'a> {
    /// First byte of the virtual disks.
    pub(crate) offset: u64,
    /// Bytes of the range.
    pub(crate) len: u64,
    pub(crate) left: Part<'a>,
    pub(crate) right: Part<'a>,
}

/// What one of the disks holds there: as many bytes as the pair is long, or zeros.
pub(crate) enum Part<'a> {
    Zeros,
    Bytes(&'a [u8]),
}

impl Pairs {
    /// The pairs of `range`, as far as both disks reach.
    pub(crate) fn new(left: &Disk, right: &Disk, range: Range<u64>) -> Self {
        let options = Blocks::of(BLOCK).read_ahead(2).range(range.clone());
        Self { left: Side::new(left, &options), right: Side::new(right, &options), at: range.start }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Pair<'_>>> {
        let offset = self.at;
        let (Some(left), Some(right)) = (self.left.block(offset)?, self.right.block(offset)?) else {
            return Ok(None);
        };
        let len = left.end().min(right.end()) - offset;
        self.at += len;
        Ok(Some(Pair { offset, len, left: part(left, offset, len), right: part(right, offset, len) }))
    }
}

/// The part of `block` that begins at `offset`.
fn part(block: &Block, offset: u64, len: u64) -> Part<'_> {
    match &block.data {
        Data::Bytes(bytes) => {
            let skip = (offset - block.offset) as usize;
            Part::Bytes(&bytes[skip..skip + len as usize])
        }
        Data::Zero(_) | Data::Absent(_) => Part::Zeros,
    }
}

/// One of the two disks.
struct Side {
    blocks: BlockReader,
    block: Option<Block>,
}

impl Side {
    fn new(disk: &Disk, options: &Blocks) -> Self {
        Self { blocks: disk.blocks(options.clone()), block: None }
    }

    /// The block that holds `at`; offsets only grow.
    fn block(&mut self, at: u64) -> Result<Option<&Block>> {
        if self.block.as_ref().is_none_or(|block| block.end() <= at) {
            self.block = self.blocks.next().transpose()?;
        }
        Ok(self.block.as_ref())
    }
}
