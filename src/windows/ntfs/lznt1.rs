//! LZNT1, the compression of NTFS files (MS-XCA 2.5).

use super::flaw::{Flaw, flaw};

/// Bytes that a chunk gives, but the last.
const CHUNK: usize = 4096;
const COMPRESSED: u16 = 0x8000;

/// What `bytes` give, which is at most `limit` bytes. They end with their length, or with a chunk header of 0.
pub(super) fn decompress(mut bytes: &[u8], limit: usize) -> Result<Vec<u8>, Flaw> {
    let cut = || flaw("a whole chunk", "a part of one");
    let mut out = Vec::with_capacity(limit);
    while let Some((header, rest)) = bytes.split_first_chunk() {
        let header = u16::from_le_bytes(*header);
        if header == 0 {
            break;
        }
        // The length is that of the chunk with its header, less 3.
        let (chunk, rest) = rest.split_at_checked(usize::from(header & 0xfff) + 1).ok_or_else(cut)?;
        bytes = rest;
        // Each chunk but the last gives 4 KiB; what one leaves out is zeros.
        out.resize(out.len().next_multiple_of(CHUNK), 0);
        match header & COMPRESSED {
            0 => out.extend_from_slice(chunk),
            _ => chunk_into(chunk, &mut out)?,
        }
        if out.len() > limit {
            return Err(flaw(format!("at most {limit} bytes"), out.len().to_string()));
        }
    }
    Ok(out)
}

/// A chunk is groups of eight, behind a byte that says which of them are literals (0) and which matches (1).
fn chunk_into(mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Flaw> {
    let start = out.len();
    while let Some((&flags, rest)) = chunk.split_first() {
        chunk = rest;
        for bit in 0..8 {
            let Some((&literal, rest)) = chunk.split_first() else { break };
            if flags >> bit & 1 == 0 {
                out.push(literal);
                chunk = rest;
            } else {
                let (pair, rest) =
                    chunk.split_first_chunk().ok_or_else(|| flaw("a match of two bytes", "one"))?;
                chunk = rest;
                copy_match(u16::from_le_bytes(*pair), start, out)?;
            }
            if out.len() - start > CHUNK {
                return Err(flaw("a chunk of 4096 bytes", "a longer one"));
            }
        }
    }
    Ok(())
}

/// The further the chunk has come, the more bits of a match are its distance, and the fewer its length.
fn copy_match(pair: u16, start: usize, out: &mut Vec<u8>) -> Result<(), Flaw> {
    let come = out.len() - start;
    let distance_bits = come.saturating_sub(1).checked_ilog2().map_or(4, |log| (log + 1).clamp(4, 12));
    let length_bits = 16 - distance_bits;
    let distance = usize::from(pair >> length_bits) + 1;
    let length = usize::from(pair & ((1 << length_bits) - 1)) + 3;
    if distance > come {
        return Err(flaw(format!("a match within {come} bytes"), format!("one {distance} bytes back")));
    }
    for _ in 0..length {
        out.push(out[out.len() - distance]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of MS-XCA 3.3.
    #[test]
    fn the_example_of_the_specification() {
        let text = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G \
                    F# E D E A F# F# G A A G F# E D D E F# E D D\0";
        let packed = [
            0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47, 0x01,
            0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24,
            0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48,
            0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00,
        ];
        assert_eq!(decompress(&packed, 4096).unwrap(), text.as_bytes());
    }

    #[test]
    fn streams_that_mean_nothing_are_refused() {
        // Cut; a match of one byte; one before the chunk; more than the limit.
        let refused: [&[u8]; 4] =
            [&[0x04, 0xb0, 0], &[0x01, 0xb0, 1, 0], &[0x02, 0xb0, 1, 0, 0], &[0x03, 0x30, 1, 2, 3, 4, 0]];
        for bytes in refused {
            assert!(decompress(bytes, 3).is_err(), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(out) = decompress(&bytes, 65536) {
                prop_assert!(out.len() <= 65536);
            }
        }
    }
}
