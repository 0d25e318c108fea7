//! Canonical Huffman codes with codewords of limited length (RFC 1951, 3.2.2).

/// The longest codeword of any code.
const MAX_LENGTH: usize = 15;
/// Bits of a sort key that hold the symbol.
const SYMBOL_BITS: u32 = 9;

/// A code for `N` symbols.
#[derive(Clone)]
pub(super) struct Code<const N: usize> {
    /// Bits of each codeword; 0 where the symbol does not occur.
    pub(super) lengths: [u8; N],
    /// The codewords, with the bit that is sent first lowest.
    pub(super) codewords: [u16; N],
}

impl<const N: usize> Code<N> {
    /// The code for these frequencies with codewords of up to `limit` bits. The sum of the frequencies is below 2^23.
    pub(super) fn new(frequencies: &[u32; N], limit: usize) -> Self {
        Self::from_lengths(lengths(frequencies, limit))
    }

    /// The canonical code with these lengths.
    pub(super) fn from_lengths(lengths: [u8; N]) -> Self {
        let mut counts = [0_u16; MAX_LENGTH + 1];
        for &length in &lengths {
            counts[usize::from(length)] += 1;
        }
        counts[0] = 0;
        let mut next = [0_u16; MAX_LENGTH + 1];
        for length in 1..=MAX_LENGTH {
            next[length] = (next[length - 1] + counts[length - 1]) << 1;
        }
        let codewords = lengths.map(|length| {
            let slot = &mut next[usize::from(length)];
            let codeword = *slot;
            *slot = codeword.wrapping_add(u16::from(length > 0));
            codeword.reverse_bits().checked_shr(16 - u32::from(length)).unwrap_or(0)
        });
        Self { lengths, codewords }
    }

    /// Bits that symbols of these frequencies take.
    pub(super) fn cost(&self, frequencies: &[u32; N]) -> u32 {
        self.lengths.iter().zip(frequencies).map(|(&length, &count)| u32::from(length) * count).sum()
    }
}

/// Lengths of the codewords for these frequencies. No code has fewer than two: some decoders refuse those.
fn lengths<const N: usize>(frequencies: &[u32; N], limit: usize) -> [u8; N] {
    let mut lengths = [0; N];
    let mut leaves = [0_u32; N];
    let mut used = 0;
    for (symbol, &count) in frequencies.iter().enumerate() {
        leaves[used] = count << SYMBOL_BITS | symbol as u32;
        used += usize::from(count > 0);
    }
    let leaves = &mut leaves[..used];
    if leaves.len() < 2 {
        let only = leaves.first().map_or(0, |&leaf| symbol_of(leaf));
        lengths[only] = 1;
        lengths[usize::from(only == 0)] = 1;
        return lengths;
    }
    leaves.sort_unstable();
    let mut weights = [0_u32; N];
    let depths = &mut weights[..leaves.len()];
    for (weight, &leaf) in depths.iter_mut().zip(leaves.iter()) {
        *weight = leaf >> SYMBOL_BITS;
    }
    depths_in_place(depths);
    // The rarest symbols, which are first, get the longest codewords.
    if depths.first().is_some_and(|&depth| depth > limit as u32) {
        limited_lengths(leaves, limit, depths);
    }
    for (&leaf, &depth) in leaves.iter().zip(depths.iter()) {
        lengths[symbol_of(leaf)] = depth as u8;
    }
    lengths
}

fn symbol_of(leaf: u32) -> usize {
    (leaf & ((1 << SYMBOL_BITS) - 1)) as usize
}

/// Replaces weights in ascending order, at least two, by the depths of their leaves in the Huffman tree (Moffat and
/// Katajainen, "In-Place Calculation of Minimum-Redundancy Codes", 1995).
fn depths_in_place(a: &mut [u32]) {
    let n = a.len();
    // Inner nodes take the places of the leaves that they have used up; those with a parent hold its index.
    let (mut leaf, mut root) = (0, 0);
    for next in 0..n - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            if leaf >= n || (root < next && a[root] < a[leaf]) {
                weight += a[root];
                a[root] = next as u32;
                root += 1;
            } else {
                weight += a[leaf];
                leaf += 1;
            }
        }
        a[next] = weight;
    }
    // From parents to depths, of the inner nodes.
    a[n - 2] = 0;
    for next in (0..n - 2).rev() {
        a[next] = a[a[next] as usize] + 1;
    }
    // What a level has room for and inner nodes do not take is leaves.
    let (mut room, mut depth, mut inner, mut leaf) = (1, 0, n - 1, n);
    while room > 0 {
        let mut taken = 0;
        while inner > 0 && a[inner - 1] == depth {
            taken += 1;
            inner -= 1;
        }
        for _ in taken..room {
            leaf -= 1;
            a[leaf] = depth;
        }
        room = 2 * taken;
        depth += 1;
    }
}

/// The best lengths up to `limit` for leaves in ascending order: package-merge (Larmore and Hirschberg, "A Fast
/// Algorithm for Optimal Length-Limited Huffman Codes", 1990).
fn limited_lengths(leaves: &[u32], limit: usize, lengths: &mut [u32]) {
    // From the longest length to the shortest: the leaves, and pairs of what the length before has. In ascending
    // order of weight; `true` for a leaf.
    let mut levels: Vec<Vec<(u32, bool)>> = Vec::with_capacity(limit);
    for _ in 0..limit {
        let pairs = levels.last().map_or(&[][..], |level| level).chunks_exact(2);
        let mut level: Vec<_> = pairs.map(|pair| (pair[0].0 + pair[1].0, false)).collect();
        level.extend(leaves.iter().map(|&leaf| (leaf >> SYMBOL_BITS, true)));
        level.sort_unstable();
        levels.push(level);
    }
    lengths.fill(0);
    let mut taken = 2 * leaves.len() - 2;
    for level in levels.iter().rev() {
        let rarest = level.iter().take(taken).filter(|item| item.1).count();
        lengths.iter_mut().take(rarest).for_each(|length| *length += 1);
        taken = 2 * (taken - rarest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The bits of the best code of codewords up to `limit` bits, by package-merge (Larmore and Hirschberg, 1990).
    fn least_cost(frequencies: &[u32], limit: usize) -> u32 {
        let mut leaves: Vec<u32> = frequencies.iter().copied().filter(|&count| count > 0).collect();
        leaves.sort_unstable();
        let mut packages: Vec<u32> = Vec::new();
        for _ in 0..limit {
            packages = packages.chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
            packages.extend(&leaves);
            packages.sort_unstable();
        }
        packages[..2 * leaves.len() - 2].iter().sum()
    }

    /// The sum over codewords of 2^-length, in units of 2^-15.
    fn space(lengths: &[u8]) -> u32 {
        lengths.iter().filter(|&&length| length > 0).map(|&length| 1 << (15 - length)).sum()
    }

    fn check<const N: usize>(frequencies: [u32; N], limit: usize) -> u32 {
        let code = Code::new(&frequencies, limit);
        assert!(code.lengths.iter().all(|&length| usize::from(length) <= limit));
        assert!(frequencies.iter().zip(&code.lengths).all(|(&count, &length)| count == 0 || length > 0));
        assert_eq!(space(&code.lengths), 1 << 15, "complete: {:?}", code.lengths);
        code.cost(&frequencies)
    }

    #[test]
    fn fibonacci_frequencies_are_cut_to_the_limit() {
        let mut frequencies = [1_u32; 30];
        for index in 2..30 {
            frequencies[index] = frequencies[index - 1] + frequencies[index - 2];
        }
        for limit in [7, 14, 15] {
            let (cost, least) = (check(frequencies, limit), least_cost(&frequencies, limit));
            assert!(
                cost >= least && cost <= least + least / 16,
                "limit {limit}: {cost} bits, {least} would do"
            );
        }
    }

    #[test]
    fn a_full_tree_has_no_shorter_codewords() {
        assert_eq!(Code::new(&[1; 128], 7).lengths, [7; 128]);
    }

    #[test]
    fn there_are_always_two_codewords() {
        assert_eq!(Code::new(&[0; 4], 15).lengths, [1, 1, 0, 0]);
        assert_eq!(Code::new(&[9, 0, 0, 0], 15).lengths, [1, 1, 0, 0]);
        assert_eq!(Code::new(&[0, 0, 9, 0], 15).lengths, [1, 0, 1, 0]);
    }

    /// The example of RFC 1951, 3.2.2: codewords 010 011 100 101 110 00 1110 1111.
    #[test]
    fn codewords_are_canonical() {
        let code = Code::from_lengths([3, 3, 3, 3, 3, 2, 4, 4]);
        assert_eq!(code.codewords, [0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111]);
    }

    proptest! {
        #[test]
        fn codes_are_the_best(exponents in vec(0..18_u32, 286), limit in 9..16_usize) {
            let frequencies = std::array::from_fn::<_, 286, _>(|symbol| (1 << exponents[symbol]) >> 1);
            prop_assert_eq!(check(frequencies, limit), least_cost(&frequencies, limit));
        }
    }
}
