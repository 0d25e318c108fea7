//! What of an output holds data so far, and its digest.

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
        static ZEROS: [u8; UNIT as usize] = [0; UNIT as usize];
        while len > 0 {
            let now = len.min(UNIT);
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
        let (mut bytes, mut end) = (self.bytes.iter(), 0_u64);
        let mut number = move || {
            let (mut number, mut shift) = (0_u64, 0);
            loop {
                let byte = *bytes.next()?;
                number |= u64::from(byte & 0x7f).checked_shl(shift)?;
                if byte & 0x80 == 0 {
                    return Some(number);
                }
                shift += 7;
            }
        };
        std::iter::from_fn(move || {
            let gap = number()?;
            let mut run = || {
                let start = end.checked_add(gap)?;
                end = start.checked_add(number()?)?;
                Some(start.checked_mul(UNIT)?..end.checked_mul(UNIT)?)
            };
            Some(run())
        })
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
        let disk: Vec<u8> = (0..8 * UNIT).map(|at| if at % 9000 < 5000 { 7 } else { 0 }).collect();
        let part = |range: Range<u64>| &disk[range.start as usize..range.end as usize];
        let mut pieces = Ledger::default();
        // What is left out is zeros.
        for start in (0..3 * UNIT - 9000).step_by(9000).chain((49..54).map(|n| n * 9000)) {
            pieces.add(start..start + 5000, part(start..start + 5000));
        }
        let position = 54 * 9000;
        assert_eq!(runs(&pieces, position), [0..3 * UNIT, 6 * UNIT..8 * UNIT]);
        let mut whole = Ledger::default();
        let zeros = vec![0; UNIT as usize];
        whole.add(0..2 * UNIT, part(0..2 * UNIT));
        let mut third = zeros.clone();
        let kept = (2 * UNIT..21 * 9000 + 5000).len();
        third[..kept].copy_from_slice(part(2 * UNIT..21 * 9000 + 5000));
        third[(20 * 9000 + 5000 - 2 * UNIT) as usize..].fill(0);
        whole.add(2 * UNIT..3 * UNIT, &third);
        let mut later = vec![0; (position - 6 * UNIT) as usize];
        let from = (49 * 9000 - 6 * UNIT) as usize;
        later[from..].copy_from_slice(part(49 * 9000..position));
        whole.add(6 * UNIT..position, &later);
        assert!(whole.snapshot(position) == pieces.snapshot(position));
        later[0] = 1;
        let mut other = Ledger::default();
        other.add(6 * UNIT..position, &later);
        assert!(other.snapshot(position).1 != pieces.snapshot(position).1);
    }

    #[test]
    fn runs_of_any_size_come_back_and_others_are_refused() {
        let mut ledger = Ledger::default();
        let far = [0..UNIT, 5 * UNIT..6 * UNIT, 300 * UNIT..900 * UNIT, (1 << 44)..(1 << 44) + UNIT];
        far.iter().for_each(|run| ledger.add(run.clone(), &[]));
        assert_eq!(runs(&ledger, u64::MAX), far);
        for bytes in [&[1][..], &[0xff; 40], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]] {
            assert!(Runs::from_bytes(bytes.to_vec()).iter().any(|run| run.is_none()) || bytes.len() > 30);
        }
    }
}
