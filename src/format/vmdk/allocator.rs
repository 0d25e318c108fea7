//! Which parts of a sparse extent's file are taken: a bit for each unit in which its grains are aligned. New grains and
//! tables get their places here.

use std::ops::Range;

use super::layout::SECTOR;
use crate::format::tools::space::Space;

/// Bytes of the bits at most: enough for 2 TiB in grains of 4 KiB.
const MAX_BYTES: u64 = 64 << 20;
/// Bytes of a grain table.
const TABLE: u64 = super::layout::GTES_PER_GT as u64 * 4;
/// The first byte that no entry of a table can name.
const LIMIT: u64 = (1 << 32) * SECTOR;

/// The parts of a file that are taken.
pub(super) struct Allocator {
    /// Bytes of a grain, and of the unit that a bit stands for: a power of two, a grain at most.
    grain: u64,
    unit: u64,
    bits: Vec<u64>,
    /// No grain before this one is free.
    first: u64,
    /// Grains before this one are kept for metadata.
    kept: u64,
    /// Where the last of the metadata ends.
    metadata: u64,
    /// Room for grain tables in a grain that was taken for them.
    tables: Range<u64>,
}

impl Allocator {
    /// Nothing of a file is taken yet whose grains lie at multiples of `unit`; `None` when that takes too much
    /// memory.
    pub(super) fn new(grain: u64, unit: u64, file_size: u64) -> Option<Self> {
        let unit = unit.min(grain);
        (file_size.min(LIMIT) / unit / 8 <= MAX_BYTES).then(|| Self {
            grain,
            unit,
            bits: Vec::new(),
            first: 0,
            kept: 0,
            metadata: 0,
            tables: 0..0,
        })
    }

    /// Bytes of the unit.
    pub(super) fn unit(&self) -> u64 {
        self.unit
    }

    /// Takes note in smaller units: grains lie at multiples of `unit`, too. `metadata` is all that was marked. Says `false`,
    /// and does nothing, when that takes too much memory.
    pub(super) fn refine(&mut self, unit: u64, metadata: &Space, file_size: u64) -> bool {
        let Some(mut finer) = Self::new(self.grain, unit, file_size) else { return false };
        // What metadata share a unit with is free of grains.
        for range in metadata.ranges() {
            let units = range.start / self.unit..range.end.min(LIMIT).div_ceil(self.unit);
            units.for_each(|unit| self.set(unit, false));
            finer.mark(&range);
        }
        for (word, &bits) in (0..).zip(&self.bits) {
            for bit in (0..64).filter(|bit| bits >> bit & 1 == 1) {
                let start = (word * 64 + bit) * self.unit;
                (start / unit..(start + self.unit) / unit).for_each(|unit| finer.set(unit, true));
            }
        }
        *self = finer;
        true
    }

    /// Notes that metadata lie in `range`, of which other metadata may share a unit.
    pub(super) fn mark(&mut self, range: &Range<u64>) {
        self.metadata = self.metadata.max(range.end);
        // Nothing is ever allocated beyond what an entry can name.
        for unit in range.start / self.unit..range.end.min(LIMIT).div_ceil(self.unit) {
            self.set(unit, true);
        }
    }

    /// Keeps what lies before `end` for metadata.
    pub(super) fn keep(&mut self, end: u64) {
        self.metadata = self.metadata.max(end);
        self.kept = self.kept.max(end.min(LIMIT).div_ceil(self.grain));
        self.first = self.first.max(self.kept);
    }

    /// Takes `range`, which begins with a unit, for one who shares nothing; `false` when any of it was taken before.
    pub(super) fn take(&mut self, range: &Range<u64>) -> bool {
        let units = range.start / self.unit..range.end.div_ceil(self.unit);
        if units.clone().any(|unit| self.is_set(unit)) {
            return false;
        }
        units.for_each(|unit| self.set(unit, true));
        true
    }

    /// Gives the grain at `at` back.
    pub(super) fn free(&mut self, at: u64) {
        (at / self.unit..(at + self.grain) / self.unit).for_each(|unit| self.set(unit, false));
        self.first = self.first.min(at / self.grain).max(self.kept);
    }

    /// Takes up to `most` grains that lie one after the other in the first gap, and returns the place of the first, and
    /// how many they are. `None` when the file would grow beyond what tables can name.
    pub(super) fn allocate(&mut self, most: u64) -> Option<(u64, u64)> {
        let first = (self.first..).find(|&grain| self.is_free(grain))?;
        self.first = first;
        let end = (first + most).min(LIMIT / self.grain);
        let last = (first..end).find(|&grain| !self.is_free(grain)).unwrap_or(end);
        if last <= first || self.bits.len() as u64 * 8 > MAX_BYTES {
            return None;
        }
        let place = first * self.grain;
        for unit in place / self.unit..last * self.grain / self.unit {
            self.set(unit, true);
        }
        self.first = last;
        Some((place, last - first))
    }

    /// Takes the place of a new grain table.
    pub(super) fn allocate_table(&mut self) -> Option<u64> {
        if self.tables.is_empty() {
            let (at, _) = self.allocate(1)?;
            self.tables = at..at + self.grain;
        }
        let at = self.tables.start;
        self.tables.start += TABLE;
        self.metadata = self.metadata.max(at + TABLE);
        Some(at)
    }

    /// Whole grains before `end` that are free.
    pub(super) fn gaps(&self, end: u64) -> u64 {
        let end = end.min(LIMIT) / self.grain;
        end.saturating_sub(self.kept) - self.taken_grains(end)
    }

    /// Where the file could end if the grains at its end were moved into the gaps before them.
    pub(super) fn packed_end(&self) -> u64 {
        ((self.kept + self.taken_grains(u64::MAX)) * self.grain).max(self.metadata)
    }

    /// Grains before `end` that are taken, in whole or in part, without those that are kept.
    fn taken_grains(&self, end: u64) -> u64 {
        let (mut count, mut next) = (0, self.kept);
        for (word, &bits) in (0..).zip(&self.bits) {
            let mut bits = bits;
            while bits != 0 {
                let unit = word * 64 + u64::from(bits.trailing_zeros());
                let grain = unit * self.unit / self.grain;
                if (next..end).contains(&grain) {
                    count += 1;
                    next = grain + 1;
                }
                bits &= bits - 1;
            }
        }
        count
    }

    /// Where what is taken ends.
    pub(super) fn end(&self) -> u64 {
        let last = self.bits.iter().rposition(|&bits| bits != 0);
        let end = last.map_or(0, |word| {
            (word as u64 * 64 + 64 - u64::from(self.bits[word].leading_zeros())) * self.unit
        });
        end.max(self.metadata)
    }

    /// Whether grains can be moved: only those that lie at multiples of their size leave gaps for others.
    pub(super) fn is_aligned(&self) -> bool {
        self.unit == self.grain
    }

    fn is_free(&self, grain: u64) -> bool {
        let mut units = grain * self.grain / self.unit..(grain + 1) * self.grain / self.unit;
        grain >= self.kept && units.all(|unit| !self.is_set(unit))
    }

    fn is_set(&self, unit: u64) -> bool {
        self.bits.get((unit / 64) as usize).is_some_and(|bits| bits >> (unit % 64) & 1 == 1)
    }

    fn set(&mut self, unit: u64, taken: bool) {
        let word = (unit / 64) as usize;
        if taken && word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        if let Some(bits) = self.bits.get_mut(word) {
            let bit = 1 << (unit % 64);
            *bits = if taken { *bits | bit } else { *bits & !bit };
        }
    }
}
