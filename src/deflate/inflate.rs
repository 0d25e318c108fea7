//! Inflating grains: whole zlib streams (RFC 1950) into buffers that have room for all they give.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use super::adler32;

thread_local! {
    /// Each thread's own, used again for every grain: a new one costs more than a small grain.
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(true));
}

/// Inflates one whole zlib stream into `out` and returns how many bytes that gave, or what is wrong with it.
///
/// fdeflate takes three quarters of the time of zlib-rs. It refuses some codes that zlib takes, so what it does not
/// inflate is zlib-rs's to judge. It takes codewords that zlib refuses, but never bytes of another checksum.
pub(crate) fn inflate(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    fast(bytes, out).map_or_else(|| judge(bytes, out), Ok)
}

fn fast(bytes: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut inflater = fdeflate::Decompressor::new();
    let (taken, len) = inflater.read(bytes, out, 0, true).ok()?;
    // What it takes may reach beyond the stream: the last bytes of that are its checksum.
    let checksum = adler32(out.get(..len)?).to_be_bytes();
    (inflater.is_done() && taken == bytes.len() && bytes.ends_with(&checksum)).then_some(len)
}

fn judge(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    INFLATER.with_borrow_mut(|inflater| {
        inflater.reset(true);
        match inflater.decompress(bytes, out, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) if inflater.total_in() == bytes.len() as u64 => {
                Ok(inflater.total_out() as usize)
            }
            Ok(Status::StreamEnd) => Err(format!("a stream that ends after {} bytes", inflater.total_in())),
            Ok(_) => Err(format!("a stream that has not ended after {} bytes", inflater.total_out())),
            Err(e) => Err(e.to_string()),
        }
    })
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::core::{
        CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
    };
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::deflate::Compressor;

    /// One of zlib's levels and strategies: default, filtered, Huffman alone, runs, fixed code.
    fn zlib(input: &[u8], level: i32, strategy: i32) -> Vec<u8> {
        let mut compressor = CompressorOxide::new(create_comp_flags_from_zip_params(level, 15, strategy));
        let mut packed = vec![0; 2 * input.len() + 100];
        let (status, _, len) = compress(&mut compressor, input, &mut packed, TDEFLFlush::Finish);
        assert_eq!(status, TDEFLStatus::Done);
        packed.truncate(len);
        packed
    }

    fn ours(input: &[u8], level: u32) -> Vec<u8> {
        let mut packed = Vec::new();
        Compressor::new(level).zlib(input, &mut packed);
        packed
    }

    /// What comes of a stream in a buffer of so many bytes: its bytes, or what is wrong.
    fn result(
        inflate: impl Fn(&[u8], &mut [u8]) -> Result<usize, String>,
        packed: &[u8],
        room: usize,
    ) -> Result<Vec<u8>, String> {
        let mut out = vec![0xA5; room];
        let len = inflate(packed, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    fn inputs() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            vec(any::<u8>(), 0..300),
            vec(0..4_u8, 0..2000),
            (any::<u8>(), 0..70_000_usize).prop_map(|(byte, len)| vec![byte; len]),
            (vec(any::<u8>(), 1..40), 1..500_usize).prop_map(|(bytes, times)| bytes.repeat(times)),
        ];
        vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn streams_of_all_kinds_are_inflated_fast(input in inputs(), level in 0..10, strategy in 0..5) {
            for packed in [zlib(&input, level, strategy), ours(&input, level as u32)] {
                let fast = |bytes: &[u8], out: &mut [u8]| fast(bytes, out).ok_or("refused".to_owned());
                prop_assert!(result(fast, &packed, input.len()).as_ref() == Ok(&input));
                prop_assert!(result(inflate, &packed, input.len() + 1).as_ref() == Ok(&input));
            }
        }

        /// Bits that flip, most of them in the headers, bytes that are missing or too many, too little room.
        #[test]
        fn damaged_streams_are_what_they_are_to_zlib(
            input in vec(0..9_u8, 0..3000),
            level in 0..10,
            strategy in 0..5,
            flips in vec((any::<bool>(), any::<Index>()), 0..3),
            cut in prop::option::of(any::<Index>()),
            more in vec(any::<u8>(), 0..4),
            short in 0..2_usize,
        ) {
            let mut packed = zlib(&input, level, strategy);
            for (near, bit) in flips {
                let bit = bit.index(8 * if near { packed.len().min(60) } else { packed.len() });
                packed[bit / 8] ^= 1 << (bit % 8);
            }
            packed.truncate(cut.map_or(packed.len(), |cut| cut.index(packed.len())));
            packed.extend(more);
            let room = (input.len() + 1).saturating_sub(2 * short);
            prop_assert_eq!(result(inflate, &packed, room), result(judge, &packed, room));
        }
    }

    #[test]
    fn no_beginning_of_a_stream_is_one() {
        let input = b"abracadabra, ".repeat(100);
        for level in [0, 1, 6] {
            let packed = ours(&input, level);
            for len in 0..packed.len() {
                assert!(result(inflate, &packed[..len], input.len()).is_err(), "{len} bytes");
            }
        }
    }

    #[test]
    fn bytes_behind_a_stream_are_not_passed_over() {
        let mut packed = ours(&[7; 1000], 6);
        let whole = packed.len();
        for more in 1..12 {
            packed.push(0);
            let expected = Err(format!("a stream that ends after {whole} bytes"));
            assert_eq!(result(inflate, &packed, 1000), expected, "{more} bytes more");
        }
    }

    /// A block with one codeword, that of its end, and none for distances: fdeflate refuses it, zlib does not.
    #[test]
    fn codes_that_are_not_complete() {
        let fields: &[(u64, u32)] = &[
            (0b101, 3),           // the last block, with codes of its own
            (14 << 10, 14),       // 257 and 1 codewords, whose lengths are sent in a code of 18 symbols
            (0b010_001 << 6, 12), // 18 in one bit, 0 in two
            (0, 39),
            (0b010, 3),    // 1 in two bits
            (127 << 1, 8), // 138 zeros
            (107 << 1, 8), // 118 zeros
            (0b11, 2),     // the end of the block has one bit
            (0b01, 2),     // no distance
            (0, 1),        // the end
        ];
        let mut bits = 0_u128;
        let mut count = 0;
        for &(field, len) in fields {
            bits |= u128::from(field) << count;
            count += len;
        }
        let mut packed = vec![0x78, 0x9C];
        packed.extend_from_slice(&bits.to_le_bytes()[..count.div_ceil(8) as usize]);
        packed.extend_from_slice(&[0, 0, 0, 1]);
        assert_eq!(fast(&packed, &mut []), None);
        assert_eq!(inflate(&packed, &mut []), Ok(0));
    }
}
