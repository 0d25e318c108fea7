//! Which parts of a file are taken.

use std::collections::BTreeMap;
use std::ops::Range;

/// The ranges of a file that something lies in, joined where they touch: as much memory as there are gaps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Space {
    /// End by start; neither overlapping nor touching.
    taken: BTreeMap<u64, u64>,
}

impl Space {
    /// Notes that `range` is taken; fails with a part of it that was taken already, and then notes nothing.
    pub(crate) fn take(&mut self, range: Range<u64>) -> Result<(), Range<u64>> {
        if range.is_empty() {
            return Ok(());
        }
        let before = self.taken.range(..range.end).next_back().map(|(&start, &end)| start..end);
        let mut joined = range.clone();
        if let Some(before) = before {
            if before.end > range.start {
                return Err(before.start.max(range.start)..before.end.min(range.end));
            }
            if before.end == range.start {
                joined.start = before.start;
            }
        }
        if let Some(end) = self.taken.remove(&range.end) {
            joined.end = end;
        }
        self.taken.insert(joined.start, joined.end);
        Ok(())
    }

    /// Notes that `range` is taken, where it was not.
    pub(crate) fn cover(&mut self, range: Range<u64>) {
        self.free(range.clone());
        let taken = self.take(range);
        debug_assert_eq!(taken, Ok(()));
    }

    /// Notes that nothing lies in `range` any more.
    pub(crate) fn free(&mut self, range: Range<u64>) {
        while let Some((&start, &end)) = self.taken.range(..range.end).next_back() {
            if end <= range.start {
                break;
            }
            self.taken.remove(&start);
            if range.end < end {
                self.taken.insert(range.end, end);
            }
            if start < range.start {
                self.taken.insert(start, range.start);
            }
        }
    }

    /// The first byte after everything that is taken.
    pub(crate) fn end(&self) -> u64 {
        self.taken.last_key_value().map_or(0, |(_, &end)| end)
    }

    /// What is taken, in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.taken.iter().map(|(&start, &end)| start..end)
    }

    /// The gaps between what is taken, in order.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = Range<u64>> {
        let starts = self.taken.keys().copied();
        let ends = std::iter::once(0).chain(self.taken.values().copied());
        ends.zip(starts).map(|(end, start)| end..start).filter(|gap| !gap.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain array of bytes.
        #[test]
        fn knows_what_is_taken(ops in proptest::collection::vec((any::<bool>(), 0_u64..64, 0_u64..16), 0..64)) {
            let (mut space, mut model) = (Space::default(), [false; 80]);
            for (take, start, len) in ops {
                let range = start..start + len;
                let bytes = start as usize..(start + len) as usize;
                if take {
                    let free = !model[bytes.clone()].contains(&true);
                    let taken = space.take(range.clone());
                    prop_assert_eq!(taken.is_ok(), free);
                    match taken {
                        Ok(()) => model[bytes].fill(true),
                        Err(hit) => prop_assert!(!hit.is_empty() && hit.clone().all(|at| model[at as usize] && range.contains(&at))),
                    }
                } else {
                    space.free(range);
                    model[bytes].fill(false);
                }
                let end = model.iter().rposition(|&taken| taken).map_or(0, |last| last + 1);
                prop_assert_eq!(space.end(), end as u64);
                let gaps: Vec<_> = space.gaps().flatten().collect();
                let free: Vec<_> = (0..end as u64).filter(|&at| !model[at as usize]).collect();
                prop_assert_eq!(gaps, free);
            }
        }
    }
}
