//! A part of an image, which is written by itself.

use std::ops::Range;

use super::{BlockSet, Blueprint};
use crate::leaves::MIB;

/// What belongs to a part. The parts of an image share nothing, and with what lies around the blocks they are all of it.
pub(crate) struct Part {
    /// Bytes of the disk.
    pub(crate) disk: Range<u64>,
    /// The blocks among those in the file.
    pub(super) ranks: Range<u64>,
    /// Bytes of the file.
    pub(crate) file: Range<u64>,
}

impl Blueprint {
    /// Part `number` of `count`, which hold about as much each, of a disk of `size` bytes with data in `blocks`.
    pub(crate) fn part(&self, blocks: &BlockSet, size: u64, number: u32, count: u32) -> Part {
        let cut = |whole: u64, number: u32| {
            (u128::from(whole) * u128::from(number) / u128::from(count.max(1))) as u64
        };
        if self.is_fixed {
            let at = |number| if number == count { size } else { cut(size, number) / MIB * MIB };
            let disk = at(number)..at(number + 1);
            let block_size = self.block_size.max(1);
            let ranks = disk.start / block_size..disk.end.div_ceil(block_size);
            return Part { file: self.first + disk.start..self.first + disk.end, ranks, disk };
        }
        let ranks = cut(blocks.len(), number)..cut(blocks.len(), number + 1);
        let at = |rank| match rank {
            0 => 0,
            rank => blocks.select(rank).map_or(size, |block| block * self.block_size),
        };
        // With the gaps in front of the blocks.
        let file = self.payload_end(ranks.start)..self.payload_end(ranks.end);
        Part { disk: at(ranks.start)..at(ranks.end), ranks, file }
    }
}
