//! What a table leaves to partitions.

use std::ops::Range;

use super::gpt::Room;
use super::layout::Layout;
use crate::error::Result;

impl Layout {
    /// The bytes of the disk that a GPT with these partitions leaves to them, whichever table this is.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`](crate::Error::NotConvertible) for a disk that is too small for a GPT.
    pub fn usable(&self) -> Result<Range<u64>> {
        Ok(Room::of(self)?.usable)
    }

    /// What no partition takes of the [usable](Self::usable) bytes, in order.
    ///
    /// # Errors
    ///
    /// As for [`usable`](Self::usable).
    pub fn gaps(&self) -> Result<Vec<Range<u64>>> {
        let usable = self.usable()?;
        let mut taken: Vec<_> = self.partitions.iter().map(|partition| partition.range()).collect();
        taken.sort_by_key(|range| range.start);
        let (mut gaps, mut at) = (Vec::new(), usable.start);
        for range in taken {
            if at < range.start.min(usable.end) {
                gaps.push(at..range.start.min(usable.end));
            }
            at = at.max(range.end);
        }
        if at < usable.end {
            gaps.push(at..usable.end);
        }
        Ok(gaps)
    }
}
