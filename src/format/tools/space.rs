//! Which parts of a file are taken.

use std::ops::Range;

use super::positions::Positions;

/// The ranges of a file that something lies in, joined where they touch: as much memory as there are gaps.
///
/// There are as many starts as ends, and each end lies behind its start and before the next one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Space {
    starts: Positions,
    ends: Positions,
}

impl Space {
    /// The last range that begins before `at`.
    fn last_before(&self, at: u64) -> Option<Range<u64>> {
        let start = self.starts.last_before(at)?;
        Some(start..self.ends.first_from(start)?)
    }

    /// Notes that `range` is taken; fails with a part of it that was taken already, and then notes nothing.
    pub(crate) fn take(&mut self, range: Range<u64>) -> Result<(), Range<u64>> {
        if range.is_empty() {
            return Ok(());
        }
        // Most things lie behind all that came before them.
        if range.start > self.end() {
            self.starts.insert(range.start);
            self.ends.insert(range.end);
            return Ok(());
        }
        if let Some(before) = self.last_before(range.end)
            && before.end > range.start
        {
            return Err(before.start.max(range.start)..before.end.min(range.end));
        }
        // Where it touches another, nothing begins or ends any more.
        if !self.ends.remove(range.start) {
            self.starts.insert(range.start);
        }
        if !self.starts.remove(range.end) {
            self.ends.insert(range.end);
        }
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
        if range.is_empty() {
            return;
        }
        while let Some(found) = self.last_before(range.end)
            && found.end > range.start
        {
            if range.end < found.end {
                self.starts.insert(range.end);
            } else {
                self.ends.remove(found.end);
            }
            if found.start < range.start {
                self.ends.insert(range.start);
            } else {
                self.starts.remove(found.start);
            }
        }
    }

    /// The first byte after everything that is taken.
    pub(crate) fn end(&self) -> u64 {
        self.ends.last().unwrap_or(0)
    }

    /// What is taken, in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.starts.iter().zip(self.ends.iter()).map(|(start, end)| start..end)
    }

    /// The gaps between what is taken, in order.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = Range<u64>> {
        let ends = std::iter::once(0).chain(self.ends.iter());
        ends.zip(self.starts.iter()).map(|(end, start)| end..start).filter(|gap| !gap.is_empty())
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
