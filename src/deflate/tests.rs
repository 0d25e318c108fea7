//! Whole streams: what goes in comes out, of inflaters that know nothing of each other.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Compressor, SEGMENT};

/// Compresses at every level, and holds the bound and three inflaters against each result.
fn check(input: &[u8]) {
    for level in 0..=9 {
        let packed = pack(&mut Compressor::new(level), input);
        let bound = input.len() + 5 * input.len().div_ceil(0xFFFF).max(1) + 6;
        assert!(packed.len() <= bound, "level {level}: {} bytes of {}", packed.len(), input.len());
        assert!(zlib_rs(&packed, input.len()) == input, "level {level}: zlib-rs");
        let miniz = miniz_oxide::inflate::decompress_to_vec_zlib(&packed).expect("inflates");
        assert!(miniz == input, "level {level}: miniz_oxide");
        let zune = zune_inflate::DeflateDecoder::new(&packed).decode_zlib().expect("inflates");
        assert!(zune == input, "level {level}: zune-inflate");
    }
}

fn pack(compressor: &mut Compressor, input: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    compressor.zlib(input, &mut packed);
    packed
}

fn zlib_rs(packed: &[u8], len: usize) -> Vec<u8> {
    let mut out = vec![0; len + 1];
    let mut inflater = Decompress::new(true);
    let status = inflater.decompress(packed, &mut out, FlushDecompress::Finish).expect("inflates");
    assert_eq!((status, inflater.total_in()), (Status::StreamEnd, packed.len() as u64));
    out.truncate(inflater.total_out() as usize);
    out
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The bytes of this program: what disks hold.
fn program() -> Vec<u8> {
    std::fs::read(std::env::current_exe().expect("a path")).expect("reads")
}

#[test]
fn lengths_at_the_edges() {
    let noise = noise(3 * SEGMENT);
    for len in (0..20).chain([511, 512, 0xFFFE, 0xFFFF, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT]) {
        check(&vec![0; len]);
        check(&noise[..len]);
        check(&b"abracadabra, ".repeat(len.div_ceil(13))[..len]);
    }
}

#[test]
fn small_alphabets() {
    for symbols in [1, 2, 3, 4, 9, 20, 60, 100] {
        let input: Vec<u8> = noise(SEGMENT).iter().map(|byte| byte % symbols * 2 + 7).collect();
        check(&input);
    }
}

#[test]
fn programs_and_text() {
    let program = program();
    for grain in program.chunks(SEGMENT).step_by(program.len() / SEGMENT / 8) {
        check(grain);
    }
    check(include_bytes!("matcher.rs"));
}

/// Matches of every distance that there is, at every length's edges.
#[test]
fn the_farthest_match() {
    for distance in [1, 2, 255, 256, 257, 32_767, 32_768, 32_769] {
        for length in [3, 4, 10, 11, 257, 258, 259, 600] {
            let mut input = noise(distance.max(length));
            input.extend_from_within(..length);
            input.extend_from_within(..length);
            check(&input);
        }
    }
}

/// Frequencies as the Fibonacci numbers make the deepest of trees: deeper than codewords may be long.
#[test]
fn codewords_that_would_be_too_long() {
    let mut input = Vec::new();
    let (mut count, mut next) = (1, 1);
    for symbol in 0..22 {
        input.extend(std::iter::repeat_n(symbol, count));
        (count, next) = (next, count + next);
    }
    // Shuffled, so that no match is worth its while.
    let keys = noise(4 * input.len());
    let mut order: Vec<usize> = (0..input.len()).collect();
    order.sort_by_key(|&index| &keys[4 * index..4 * index + 4]);
    check(&order.iter().map(|&index| input[index]).collect::<Vec<_>>());
}

#[test]
fn noise_is_stored() {
    let noise = noise(SEGMENT);
    for level in 0..=9 {
        assert_eq!(pack(&mut Compressor::new(level), &noise).len(), SEGMENT + 2 * 5 + 6);
    }
}

#[test]
fn what_came_before_does_not_matter() {
    let (program, noise) = (program(), noise(SEGMENT));
    for level in 0..=9 {
        let mut used = Compressor::new(level);
        for grain in program.chunks(SEGMENT).take(20) {
            pack(&mut used, &noise);
            let half = &grain[..grain.len() / 2];
            assert!(pack(&mut used, grain) == pack(&mut Compressor::new(level), grain));
            assert!(pack(&mut used, half) == pack(&mut Compressor::new(level), half));
        }
    }
}

/// The reason why this encoder exists; benches/deflate compares with zlib itself, too.
#[test]
fn smaller_than_others_of_the_same_level() {
    let program = program();
    let (mut ours, mut zlib_rs) = (0, 0);
    let (mut compressor, mut other) = (Compressor::new(6), Compress::new(Compression::new(6), true));
    let mut out = vec![0; 2 * SEGMENT];
    for grain in program.chunks(SEGMENT).step_by(16) {
        ours += pack(&mut compressor, grain).len();
        other.reset();
        other.compress(grain, &mut out, FlushCompress::Finish).expect("compresses");
        zlib_rs += other.total_out() as usize;
    }
    assert!(ours < zlib_rs, "{ours} bytes, zlib-rs {zlib_rs}");
}

/// A part of an input: new bytes, or bytes again.
#[derive(Debug, Clone)]
enum Part {
    Bytes(Vec<u8>),
    Text(String),
    Run(u8, usize),
    Again(prop::sample::Index, usize),
}

fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(Part::Bytes),
        vec(0..4_u8, 0..2000).prop_map(Part::Bytes),
        "[a-e ]{0,300}".prop_map(Part::Text),
        (any::<u8>(), 0..70_000_usize).prop_map(|(byte, len)| Part::Run(byte, len)),
        (any::<prop::sample::Index>(), 1..40_000_usize).prop_map(|(from, len)| Part::Again(from, len)),
    ];
    vec(part, 0..30).prop_map(|parts| {
        let mut input = Vec::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => input.extend(bytes),
                Part::Text(text) => input.extend(text.bytes()),
                Part::Run(byte, len) => input.extend(std::iter::repeat_n(byte, len)),
                Part::Again(from, len) if !input.is_empty() => {
                    let from = from.index(input.len());
                    input.extend_from_within(from..input.len().min(from + len));
                }
                Part::Again(..) => {}
            }
        }
        input
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_input_comes_back(input in inputs()) {
        check(&input);
    }
}
