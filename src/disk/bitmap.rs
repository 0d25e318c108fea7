//! Runs of equal bits, for sector bitmaps.

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
