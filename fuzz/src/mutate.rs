//! Mutations that keep records whole.

use crate::input::{HEADER, RECORD};

/// Field values that are worth a try.
const VALUES: [u64; 12] =
    [0, 1, 2, 7, 511, 512, 4096, 1 << 20, u32::MAX as u64, 1 << 32, i64::MAX as u64, u64::MAX];

/// Changes an encoded [`Input`](crate::Input); `inner` is the mutator of libFuzzer, for bytes of fixed meaning.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    inner: impl Fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut random = Random(u64::from(seed) << 1 | 1);
    let records = size.saturating_sub(HEADER) / RECORD;
    if records == 0 || random.below(20) == 0 {
        // No input of ours yet, or a change for a change.
        return inner(data, size, max_size);
    }
    let record = |index: usize| HEADER + index * RECORD;
    let chosen = record(random.below(records));
    match random.below(12) {
        0 => {
            let at = random.below(HEADER);
            data[at] = data[at].wrapping_add(1 << random.below(8));
        }
        1 => {
            // The sector lies elsewhere, or in another file.
            let at = chosen + random.below(5);
            data[at] ^= 1 << random.below(8);
        }
        2 if size + RECORD <= max_size => {
            data.copy_within(chosen..chosen + RECORD, record(records));
            let sector = random.below(1 << 16) as u32;
            data[record(records) + 1..][..4].copy_from_slice(&sector.to_le_bytes());
            return record(records + 1);
        }
        3 if records > 1 => {
            data.copy_within(record(records - 1)..record(records), chosen);
            return record(records - 1);
        }
        4..=7 => {
            // A whole field of a usual width, in either order of bytes.
            let width = [1, 2, 4, 8][random.below(4)];
            let at = chosen + 5 + random.below(512 / width) * width;
            let field = &mut data[at..at + width];
            let value = match random.below(3) {
                0 => VALUES[random.below(VALUES.len())],
                1 => 1 << random.below(64),
                _ => little(field).wrapping_add(random.below(9) as u64).wrapping_sub(4),
            };
            field.copy_from_slice(&value.to_le_bytes()[..width]);
            if random.below(2) == 0 {
                field.reverse();
            }
        }
        _ => {
            // One sector by libFuzzer's own means; what it cuts off becomes zeros.
            let sector = &mut data[chosen + 5..chosen + RECORD];
            let len = sector.len();
            let kept = inner(sector, len, len).min(len);
            sector[kept..].fill(0);
        }
    }
    size
}

fn little(field: &[u8]) -> u64 {
    field.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}
