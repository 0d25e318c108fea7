//! Which parts of the file are taken. Everything in a VHDX lies on whole MiBs.

use std::ops::Range;

use crate::{GIB, MIB};

/// The largest file: more than the largest disk with all its tables needs.
pub(crate) const MAX_FILE: u64 = 128 * 1024 * GIB;

/// The MiBs of a file that something lies in, a bit for each: at most 16 MiB of memory, whatever the file is like.
#[derive(Default)]
pub(crate) struct Allocation {
    taken: Vec<u64>,
    /// Where the last search ended: below it there is no gap of so many MiBs.
    searched: (u64, u64),
}

impl Allocation {
    /// Notes that `range` is taken; says `false`, and notes nothing, when a part of it was already, or is beyond the
    /// largest file.
    pub(crate) fn take(&mut self, range: Range<u64>) -> bool {
        let mibs = range.start / MIB..range.end.div_ceil(MIB);
        if range.end > MAX_FILE || !self.is_free(mibs.clone()) {
            return false;
        }
        let words = (mibs.end.div_ceil(64) as usize).max(self.taken.len());
        self.taken.resize(words, 0);
        mibs.for_each(|mib| self.taken[(mib / 64) as usize] |= 1 << (mib % 64));
        true
    }

    /// Notes that nothing lies in `range` any more.
    pub(crate) fn free(&mut self, range: Range<u64>) {
        for mib in range.start / MIB..range.end.div_ceil(MIB) {
            if let Some(word) = self.taken.get_mut((mib / 64) as usize) {
                *word &= !(1 << (mib % 64));
            }
        }
        self.searched = (0, 0);
    }

    /// The first place with room for `len` bytes, which may lie behind everything.
    pub(crate) fn gap(&mut self, len: u64) -> u64 {
        let needed = len.div_ceil(MIB);
        let end = self.taken.len() as u64 * 64;
        let mut at = if self.searched.0 == needed { self.searched.1 } else { 0 };
        let mut free = 0;
        while free < needed && at < end {
            let word = self.taken[(at / 64) as usize] >> (at % 64);
            let rest = 64 - at % 64;
            if word & 1 == 1 {
                free = 0;
                at += u64::from(word.trailing_ones());
            } else {
                let run = u64::from(word.trailing_zeros()).min(rest).min(needed - free);
                free += run;
                at += run;
            }
        }
        let start = at - free;
        self.searched = (needed, start);
        start * MIB
    }

    /// The first byte after everything that is taken.
    pub(crate) fn end(&self) -> u64 {
        let last = self.taken.iter().enumerate().rfind(|(_, word)| **word != 0);
        last.map_or(0, |(index, word)| (index as u64 * 64 + 64 - u64::from(word.leading_zeros())) * MIB)
    }

    /// Bytes that are taken.
    pub(crate) fn total(&self) -> u64 {
        self.taken.iter().map(|word| u64::from(word.count_ones())).sum::<u64>() * MIB
    }

    fn is_free(&self, mut mibs: Range<u64>) -> bool {
        mibs.all(|mib| self.taken.get((mib / 64) as usize).is_none_or(|word| word >> (mib % 64) & 1 == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain list of MiBs.
        #[test]
        fn knows_what_is_taken(ops in proptest::collection::vec((0..3_u8, 0_u64..300, 1_u64..80), 0..64)) {
            let (mut allocation, mut model) = (Allocation::default(), vec![false; 4096]);
            for (op, start, len) in ops {
                match op {
                    0 => {
                        let mibs = start as usize..(start + len) as usize;
                        let free = !model[mibs.clone()].contains(&true);
                        prop_assert_eq!(allocation.take(start * MIB..(start + len) * MIB), free);
                        if free {
                            model[mibs].fill(true);
                        }
                    }
                    1 => {
                        allocation.free(start * MIB..(start + len) * MIB);
                        model[start as usize..(start + len) as usize].fill(false);
                    }
                    _ => {
                        let gap = model.windows(len as usize).position(|mibs| !mibs.contains(&true));
                        prop_assert_eq!(Some(allocation.gap(len * MIB) / MIB), gap.map(|gap| gap as u64));
                    }
                }
                let end = model.iter().rposition(|&taken| taken).map_or(0, |last| last as u64 + 1);
                prop_assert_eq!(allocation.end(), end * MIB);
                prop_assert_eq!(allocation.total(), model.iter().filter(|&&taken| taken).count() as u64 * MIB);
            }
        }
    }
}
