//! Zeros: a piece of them to write or to hash, and telling them from data.

/// Zeros, to be written or hashed a piece at a time.
pub(crate) static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Whether all bytes are zero. Stops at the first 4 KiB that are not.
///
/// Plain code: the compiler turns the inner fold into vector instructions, and a core scans faster than it reads
/// from memory.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|chunk| {
        let words = chunk.chunks_exact(8);
        let rest = words.remainder().iter().fold(0, |all, byte| all | byte);
        let fold = words.fold(0, |all, word| all | u64::from_ne_bytes(word.try_into().unwrap_or([1; 8])));
        fold == 0 && rest == 0
    })
}

#[cfg(test)]
mod tests {
    use super::is_zero;

    #[test]
    fn every_position_counts() {
        for len in [0, 1, 7, 8, 9, 512, 4095, 4096, 4097, 10_000] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes), "{len}");
            for at in 0..len {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{len}, {at}");
                bytes[at] = 0;
            }
        }
    }
}
