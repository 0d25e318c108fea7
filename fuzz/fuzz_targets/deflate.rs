//! The encoder: what goes in comes out of inflaters that know nothing of it, and never much longer.
#![no_main]

use diskport::deflate::Compressor;
use flate2::{Decompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;

// The first byte is the level. Longer input than a grain holds comes from repeating what there is.
fuzz_target!(|data: &[u8]| {
    let [level, repeat, input @ ..] = data else { return };
    let input = input.repeat(1 + usize::from(repeat % 4));
    let mut packed = Vec::new();
    Compressor::new(u32::from(level % 10)).zlib(&input, &mut packed);
    assert!(packed.len() <= input.len() + 5 * input.len().div_ceil(0xFFFF).max(1) + 6);

    let mut out = vec![0; input.len() + 1];
    let mut inflater = Decompress::new(true);
    let status = inflater.decompress(&packed, &mut out, FlushDecompress::Finish).expect("inflates");
    assert_eq!((status, inflater.total_in()), (Status::StreamEnd, packed.len() as u64));
    assert!(out[..inflater.total_out() as usize] == input);

    assert!(miniz_oxide::inflate::decompress_to_vec_zlib(&packed).expect("inflates") == input);
    assert!(zune_inflate::DeflateDecoder::new(&packed).decode_zlib().expect("inflates") == input);
});
