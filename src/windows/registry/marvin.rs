//! Marvin32, the hash of log entries.

/// The seed of all logs.
const SEED: u64 = 0x82ef_4d88_7a4e_55c5;

pub(super) fn hash(bytes: &[u8]) -> u64 {
    seeded(SEED, bytes)
}

fn seeded(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = (seed as u32, (seed >> 32) as u32);
    let (words, rest) = bytes.as_chunks::<4>();
    words.iter().for_each(|word| mix(&mut state, u32::from_le_bytes(*word)));
    // The rest is ended by a byte of 0x80 and filled up with zeros.
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x80;
    mix(&mut state, u32::from_le_bytes(last));
    mix(&mut state, 0);
    u64::from(state.1) << 32 | u64::from(state.0)
}

fn mix((low, high): &mut (u32, u32), word: u32) {
    *low = low.wrapping_add(word);
    *high ^= *low;
    *low = low.rotate_left(20).wrapping_add(*high);
    *high = high.rotate_left(9) ^ *low;
    *low = low.rotate_left(27).wrapping_add(*high);
    *high = high.rotate_left(19);
}

#[cfg(test)]
mod tests {
    /// Values that other implementations are tested with, too.
    #[test]
    fn known_hashes() {
        const SEED: u64 = 0x4f_b61a_001b_dbcc;
        assert_eq!(super::seeded(SEED, b""), 0x30ed_35c1_00cd_3c7d);
        assert_eq!(super::seeded(SEED, b"\xaf"), 0x48e7_3fc7_7d75_ddc1);
        assert_eq!(super::seeded(SEED, b"\xe7\x0f"), 0xb5f6_e1fc_485d_bff8);
        assert_eq!(super::seeded(SEED, b"\x37\xf4\x95"), 0xf0b0_7c78_9b8c_f7e8);
    }
}
