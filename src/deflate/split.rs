//! Decides where a block ends: where the symbols are no longer distributed as they were.
//!
//! Codes that fit their data are worth a new header. What is compared is coarse: the kinds of literals, by a few of
//! their bits, and short and long matches.

/// Kinds of symbols that are told apart: eight of literals, two of matches.
const KINDS: usize = 10;
/// Symbols between two looks.
const PERIOD: u32 = 512;
/// The fewest bytes of a block.
const MIN_BLOCK: usize = 5000;

/// What a block's symbols were like, and what the newest are like.
#[derive(Default)]
pub(super) struct Observer {
    old: [u32; KINDS],
    new: [u32; KINDS],
    old_count: u32,
    new_count: u32,
}

impl Observer {
    #[inline(always)]
    pub(super) fn literal(&mut self, byte: u8) {
        self.new[usize::from(byte >> 5 & 6 | byte & 1)] += 1;
        self.new_count += 1;
    }

    #[inline(always)]
    pub(super) fn matched(&mut self, length: usize) {
        self.new[8 + usize::from(length > 8)] += 1;
        self.new_count += 1;
    }

    /// Whether a block of `length` bytes, with `rest` bytes of input behind it, had better end here.
    #[inline(always)]
    pub(super) fn ends(&mut self, length: usize, rest: usize) -> bool {
        self.new_count >= PERIOD && length >= MIN_BLOCK && rest >= MIN_BLOCK && self.changed(length)
    }

    fn changed(&mut self, length: usize) -> bool {
        if self.old_count > 0 {
            // Distances of probabilities, times both counts: no division.
            let distance: u32 = self
                .old
                .iter()
                .zip(&self.new)
                .map(|(&old, &new)| (old * self.new_count).abs_diff(new * self.old_count))
                .sum();
            let mut cutoff = self.new_count * 200 / 512 * self.old_count;
            let count = self.old_count + self.new_count;
            if length < 10_000 && count < 8192 {
                // A short block must gain more.
                cutoff += (u64::from(cutoff) * u64::from(8192 - count) / 8192) as u32;
            }
            if distance + (length / 4096) as u32 * self.old_count >= cutoff {
                return true;
            }
        }
        for (old, new) in self.old.iter_mut().zip(&mut self.new) {
            *old += std::mem::take(new);
        }
        self.old_count += std::mem::take(&mut self.new_count);
        false
    }
}
