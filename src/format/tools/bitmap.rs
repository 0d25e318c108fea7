//! Runs of equal bits, for sector bitmaps.

use std::ops::Range;

/// Which bit of a byte comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BitOrder {
    /// Bit 7 first, as in a VHD's sector bitmap.
    MsbFirst,
    /// Bit 0 first, as in a VHDX's sector bitmap block.
    LsbFirst,
}

/// The bit at `start` and the length of the run of equal bits that begins there and ends at or before `end`.
///
/// `start < end`, and both lie within `bits`.
pub(crate) fn run(bits: &[u8], order: BitOrder, start: usize, end: usize) -> (bool, usize) {
    let word = |index: usize| -> u64 {
        // The 64 bits from bit `index` on (a multiple of 8), the first of them lowest; missing bytes are zero.
        let mut bytes = [0; 8];
        let rest = &bits[index / 8..];
        let n = rest.len().min(8);
        bytes[..n].copy_from_slice(&rest[..n]);
        match order {
            BitOrder::LsbFirst => u64::from_le_bytes(bytes),
            BitOrder::MsbFirst => u64::from_be_bytes(bytes).reverse_bits(),
        }
    };
    let set = word(start / 8 * 8) >> (start % 8) & 1 == 1;
    let mut at = start;
    while at < end {
        let base = at / 8 * 8;
        let differing = if set { !word(base) } else { word(base) } >> (at - base);
        if differing != 0 {
            at += differing.trailing_zeros() as usize;
            break;
        }
        at = base + 64;
    }
    (set, at.min(end) - start)
}

/// Gives the bits in `range`, which lies within `bits`, the value `set`.
pub(crate) fn fill(bits: &mut [u8], order: BitOrder, range: Range<usize>, set: bool) {
    let mut at = range.start;
    while at < range.end {
        let (first, last) = (at % 8, (range.end - at / 8 * 8).min(8));
        let mask = match order {
            BitOrder::LsbFirst => (0xff_u16 << first) as u8 & (0xff >> (8 - last)),
            BitOrder::MsbFirst => (0xff >> first) & (0xff_u16 << (8 - last)) as u8,
        };
        let byte = &mut bits[at / 8];
        *byte = if set { *byte | mask } else { *byte & !mask };
        at = at / 8 * 8 + 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(bits: &[u8], order: BitOrder, i: usize) -> bool {
        match order {
            BitOrder::LsbFirst => bits[i / 8] >> (i % 8) & 1 == 1,
            BitOrder::MsbFirst => bits[i / 8] >> (7 - i % 8) & 1 == 1,
        }
    }

    proptest! {
        #[test]
        fn fills_what_it_is_told_to(
            mut bits in proptest::collection::vec(any::<u8>(), 1..16),
            lsb: bool,
            set: bool,
            from: proptest::sample::Index,
            to: proptest::sample::Index,
        ) {
            let order = if lsb { BitOrder::LsbFirst } else { BitOrder::MsbFirst };
            let start = from.index(bits.len() * 8);
            let end = start + to.index(bits.len() * 8 - start + 1);
            let old = bits.clone();
            fill(&mut bits, order, start..end, set);
            for i in 0..bits.len() * 8 {
                let expected = if (start..end).contains(&i) { set } else { bit(&old, order, i) };
                prop_assert_eq!(bit(&bits, order, i), expected);
            }
        }

        #[test]
        fn runs_are_maximal(
            bits in proptest::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 1..64),
            lsb: bool,
            from: proptest::sample::Index,
            to: proptest::sample::Index,
        ) {
            let order = if lsb { BitOrder::LsbFirst } else { BitOrder::MsbFirst };
            let start = from.index(bits.len() * 8);
            let end = start + 1 + to.index(bits.len() * 8 - start);
            let (set, len) = run(&bits, order, start, end);
            prop_assert!(len >= 1 && start + len <= end);
            prop_assert!((start..start + len).all(|i| bit(&bits, order, i) == set));
            prop_assert!(start + len == end || bit(&bits, order, start + len) != set);
        }
    }
}
