//! What of an output holds data so far, and its digest.

use crate::leaves::ZEROS;
use std::ops::Range;

/// Runs of data are told apart by this many bytes of the disk: no block or grain of any format is smaller.
pub(super) const UNIT: u64 = 64 * 1024;

/// The account of data that were written in order.
///
/// The digest is that of all units with data in them, whole, as they are read back: zeros between data count where they
/// share a unit with them. Of compressed grains, it is that of the compressed bytes.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    hasher: blake3::Hasher,
    runs: Runs,
    /// The run at hand: where it began, and how far it is hashed.
    open: Option<Range<u64>>,
}

impl Ledger {
    /// Takes in the data for `range` of the disk, which comes after all before it.
    pub(super) fn add(&mut self, range: Range<u64>, data: &[u8]) {
        let unit = range.start / UNIT * UNIT;
        let mut open = match self.open.take() {
            Some(open) if unit <= open.end.next_multiple_of(UNIT) => open,
            before => {
                self.close(before, u64::MAX);
                unit..unit
            }
        };
        self.zeros(range.start.saturating_sub(open.end));
        self.hasher.update(data);
        open.end = range.end;
        self.open = Some(open);
    }

    /// The runs of data and the digest of what lies before `position`.
    pub(super) fn snapshot(&self, position: u64) -> (Runs, [u8; 32]) {
        let mut copy = self.clone();
        let open = copy.open.take();
        copy.close(open, position);
        (copy.runs, *copy.hasher.finalize().as_bytes())
    }

    fn close(&mut self, open: Option<Range<u64>>, position: u64) {
        let Some(open) = open else { return };
        let end = open.end.next_multiple_of(UNIT);
        self.zeros(end.min(position).saturating_sub(open.end));
        self.runs.push(open.start / UNIT..end / UNIT);
    }

    fn zeros(&mut self, mut len: u64) {
        while len > 0 {
            let now = len.min(ZEROS.len() as u64);
            self.hasher.update(&ZEROS[..now as usize]);
            len -= now;
        }
    }
}

/// Runs of units in order, each as the distance from the run before and its length, in LEB128: two bytes for most.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Runs {
    bytes: Vec<u8>,
    end: u64,
}

impl Runs {
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, end: 0 }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn push(&mut self, run: Range<u64>) {
        for mut number in [run.start - self.end, run.end - run.start] {
            while number >= 0x80 {
                self.bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            self.bytes.push(number as u8);
        }
        self.end = run.end;
    }

    /// The runs in bytes of the disk; `None` ends those that are no runs.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<Range<u64>>> {
        let (mut bytes, mut end) = (&self.bytes[..], 0_u64);
        std::iter::from_fn(move || {
            if bytes.is_empty() {
                return None;
            }
            let mut run = || {
                let start = end.checked_add(number(&mut bytes)?)?;
                end = start.checked_add(number(&mut bytes)?)?;
                Some(start.checked_mul(UNIT)?..end.checked_mul(UNIT)?)
            };
            let run = run();
            if run.is_none() {
                bytes = &[];
            }
            Some(run)
        })
    }
}

/// Takes a number off the front of `bytes`.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(ledger: &Ledger, position: u64) -> Vec<Range<u64>> {
        let runs = ledger.snapshot(position).0;
        runs.iter().map(|run| run.expect("a run")).collect()
    }

    #[test]
    fn the_digest_is_that_of_whole_units_however_they_came() {
        let mut disk = vec![0; 8 * UNIT as usize];
        let mut pieces = Ledger::default();
        // 4 KiB of data every 9 KiB, but for a gap of some units; what is left out is zeros.
        for number in (0..20).chain(45..56) {
            let range = number * 9216..number * 9216 + 4096;
            let bytes = &mut disk[range.start as usize..range.end as usize];
            bytes.fill(number as u8 + 1);
            pieces.add(range, bytes);
        }
        let position = 55 * 9216 + 5000;
        assert_eq!(runs(&pieces, position), [0..3 * UNIT, 6 * UNIT..8 * UNIT]);
        let whole = |disk: &[u8]| {
            let mut whole = Ledger::default();
            for range in [0..2 * UNIT, 2 * UNIT..3 * UNIT, 6 * UNIT..position] {
                whole.add(range.clone(), &disk[range.start as usize..range.end as usize]);
            }
            whole.snapshot(position)
        };
        assert!(whole(&disk) == pieces.snapshot(position));
        disk[5000] ^= 1;
        assert!(whole(&disk).1 != pieces.snapshot(position).1);
    }

    #[test]
    fn runs_of_any_size_come_back_and_others_are_refused() {
        let mut ledger = Ledger::default();
        let far = [0..UNIT, 5 * UNIT..6 * UNIT, 300 * UNIT..900 * UNIT, (1 << 44)..(1 << 44) + UNIT];
        far.iter().for_each(|run| ledger.add(run.clone(), &[]));
        assert_eq!(runs(&ledger, u64::MAX), far);
        // A number that does not end, one that is too large, a run that ends beyond all disks.
        let largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        for bytes in [vec![1], vec![0xff; 40], [&largest[..], &largest].concat()] {
            let last = Runs::from_bytes(bytes.clone()).iter().last();
            assert!(last.is_none_or(|run| run.is_none()), "{bytes:?}");
        }
    }
}
