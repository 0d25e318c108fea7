//! Runs of clear bits in a bitmap that comes in parts, bit 0 of each byte first: what a file system holds free.

use std::ops::Range;

/// Finds the runs of clear bits of a bitmap that is fed to it part by part.
#[derive(Debug)]
pub(crate) struct ClearRuns {
    /// The bits that count.
    within: Range<u64>,
    /// Where the run began that has not ended yet.
    open: Option<u64>,
}

impl ClearRuns {
    pub(crate) fn new(within: Range<u64>) -> Self {
        Self { within, open: None }
    }

    /// The next part, whose first bit has the number `first`; each part begins where the last one ended, and all but the last
    /// are of whole words of 8 bytes.
    pub(crate) fn feed(&mut self, first: u64, bytes: &[u8], visit: &mut impl FnMut(Range<u64>)) {
        for (chunk, number) in bytes.chunks(8).zip(0..) {
            let mut word = [0xff; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let (bits, start) = (u64::from_le_bytes(word), first + number * 64);
            // Most words are full or empty, and go on with what came before.
            let same = if self.open.is_some() { 0 } else { u64::MAX };
            if bits == same && start + 64 <= self.within.end {
                continue;
            }
            for bit in 0..64 {
                self.bit(start + bit, bits >> bit & 1 == 1, visit);
            }
        }
    }

    /// The next bit, by its number.
    pub(crate) fn bit(&mut self, number: u64, set: bool, visit: &mut impl FnMut(Range<u64>)) {
        match (!set && self.within.contains(&number), self.open) {
            (true, None) => self.open = Some(number),
            (false, Some(start)) => {
                self.open = None;
                visit(start..number);
            }
            _ => {}
        }
    }

    /// The run that goes on to the end, if there is one.
    pub(crate) fn finish(self) -> Option<Range<u64>> {
        self.open.map(|start| start..self.within.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_bit_by_bit(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 1..80),
            part in 1..10usize,
            cut in 0..8u64,
        ) {
            let bits = bytes.len() as u64 * 8;
            let within = cut.min(bits)..bits - cut.min(bits / 2);
            let mut runs = Vec::new();
            let mut found = ClearRuns::new(within.clone());
            for (chunk, number) in bytes.chunks(part * 8).zip(0..) {
                found.feed(number * part as u64 * 64, chunk, &mut |run| runs.push(run));
            }
            runs.extend(found.finish());
            let is_set = |bit: u64| bytes[(bit / 8) as usize] >> (bit % 8) & 1 == 1;
            let all: Vec<u64> = runs.iter().cloned().flatten().collect();
            prop_assert_eq!(all, within.filter(|&bit| !is_set(bit)).collect::<Vec<_>>());
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
