//! Ranges that come in order, in bounded memory: of too many the smallest are let go.

use std::ops::Range;

/// Ranges that are kept at most: 16 MiB of them.
const MOST: usize = 1 << 20;

/// Collects ranges.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    kept: Vec<Range<u64>>,
    /// Shorter ones are let go.
    least: u64,
}

impl Ranges {
    /// Adds a range that begins at the end of the last one, or behind it.
    pub fn add(&mut self, range: Range<u64>) {
        match self.kept.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if range.end - range.start < self.least => {}
            _ => self.kept.push(range),
        }
        while self.kept.len() > MOST {
            self.least = (self.least * 2).max(1024);
            self.kept.retain(|range| range.end - range.start >= self.least);
        }
    }

    pub fn into_vec(self) -> Vec<Range<u64>> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_go_first() {
        let mut ranges = Ranges::default();
        let lengths = (0..3 * MOST as u64).map(|number| if number % 10 == 0 { 1 << 20 } else { 512 });
        for (number, len) in lengths.enumerate() {
            let start = number as u64 * (2 << 20);
            ranges.add(start..start + len);
        }
        let kept = ranges.into_vec();
        assert!(kept.len() <= MOST);
        assert_eq!(kept.iter().filter(|range| range.end - range.start == 1 << 20).count(), 3 * MOST / 10 + 1);
    }

    #[test]
    fn what_meets_is_one() {
        let mut ranges = Ranges::default();
        [0..10, 10..20, 30..40].into_iter().for_each(|range| ranges.add(range));
        assert_eq!(ranges.into_vec(), [0..20, 30..40]);
    }
}
