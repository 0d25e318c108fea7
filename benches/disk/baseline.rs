//! What copying the same bytes costs, measured in the same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;

const ROUNDS: usize = 15;

/// Copies `size` bytes of memory in order, `step` at a time into one buffer.
pub fn memcpy_whole(size: u64, step: usize) -> ItemsCount {
    let offsets: Vec<u64> = (0..size).step_by(step).collect();
    memcpy_pieces(size, step, &offsets)
}

/// Copies pieces of `size` bytes of memory into one buffer.
pub fn memcpy_pieces(size: u64, piece: usize, offsets: &[u64]) -> ItemsCount {
    let source = vec![1_u8; size as usize];
    let mut buffer = vec![0; piece];
    // Short work is repeated until the clock can tell.
    let repeat = (1_usize << 20).div_ceil(piece * offsets.len());
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..repeat {
                for &offset in offsets {
                    buffer.copy_from_slice(black_box(&source[offset as usize..][..piece]));
                    black_box(&mut buffer);
                }
            }
            begun.elapsed()
        })
        .collect();
    rounds.sort();
    per_cent(rounds[ROUNDS / 2].as_secs_f64() / repeat as f64)
}

/// The number of items for which 1 Gitem/s means 1 % of the speed that took `seconds`.
fn per_cent(seconds: f64) -> ItemsCount {
    ItemsCount::new((seconds * 100e9) as u64)
}

/// Places of pieces, the same in every run.
pub fn offsets(size: u64, piece: usize, count: usize) -> Vec<u64> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % (size / piece as u64) * piece as u64
    };
    (0..count).map(|_| next()).collect()
}
