//! The codes in front of a block: the lengths of their codewords, run-length encoded, in a code of its own
//! (RFC 1951, 3.2.7).

use super::bits::BitWriter;
use super::block::Codes;
use super::huffman::Code;
use super::symbols::{DISTANCES, LITLENS};

/// Symbols of the code for lengths of codewords.
const SYMBOLS: usize = 19;
/// Its longest codeword.
const LIMIT: usize = 7;
/// The order in which its lengths are sent: those first that are seldom 0.
const ORDER: [usize; SYMBOLS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Repeats the length before it 3 to 6 times.
const REPEAT: u8 = 16;
/// 3 to 10 zeros.
const ZEROS: u8 = 17;
/// 11 to 138 zeros.
const MANY_ZEROS: u8 = 18;

/// A symbol, and the bits behind it.
#[derive(Clone, Copy)]
struct Item {
    symbol: u8,
    extra: u8,
}

impl Item {
    fn extra_bits(symbol: usize) -> u32 {
        [2, 3, 7].get(symbol.wrapping_sub(REPEAT.into())).copied().unwrap_or(0)
    }
}

/// The header of a block with its own codes.
pub(super) struct Header {
    litlens: usize,
    distances: usize,
    items: Vec<Item>,
    frequencies: [u32; SYMBOLS],
    code: Code<SYMBOLS>,
    /// How many lengths of `code` are sent.
    sent: usize,
}

impl Header {
    pub(super) fn of(codes: &Codes) -> Self {
        let used = |lengths: &[u8], least: usize| {
            lengths.iter().rposition(|&length| length > 0).map_or(least, |last| least.max(last + 1))
        };
        let litlens = used(&codes.litlens.lengths, 257);
        let distances = used(&codes.distances.lengths, 1);
        let mut lengths = [0; LITLENS + DISTANCES];
        lengths[..litlens].copy_from_slice(&codes.litlens.lengths[..litlens]);
        lengths[litlens..litlens + distances].copy_from_slice(&codes.distances.lengths[..distances]);
        let items = run_lengths(&lengths[..litlens + distances]);
        let mut frequencies = [0; SYMBOLS];
        for item in &items {
            frequencies[usize::from(item.symbol)] += 1;
        }
        let code = Code::new(&frequencies, LIMIT);
        let sent =
            ORDER.iter().rposition(|&symbol| code.lengths[symbol] > 0).map_or(4, |last| 4.max(last + 1));
        Self { litlens, distances, items, frequencies, code, sent }
    }

    /// Its bits.
    pub(super) fn cost(&self) -> u32 {
        let extra: u32 = self
            .frequencies
            .iter()
            .enumerate()
            .map(|(symbol, &count)| count * Item::extra_bits(symbol))
            .sum();
        5 + 5 + 4 + 3 * self.sent as u32 + self.code.cost(&self.frequencies) + extra
    }

    pub(super) fn write(&self, bits: &mut BitWriter) {
        bits.put(self.litlens as u32 - 257, 5);
        bits.put(self.distances as u32 - 1, 5);
        bits.put(self.sent as u32 - 4, 4);
        bits.flush();
        for &symbol in &ORDER[..self.sent] {
            bits.put(self.code.lengths[symbol].into(), 3);
            bits.flush();
        }
        for item in &self.items {
            let symbol = usize::from(item.symbol);
            bits.put(self.code.codewords[symbol].into(), self.code.lengths[symbol].into());
            bits.put(item.extra.into(), Item::extra_bits(symbol));
            bits.flush();
        }
    }
}

/// Lengths of codewords as items.
fn run_lengths(lengths: &[u8]) -> Vec<Item> {
    let mut items = Vec::with_capacity(lengths.len());
    for run in lengths.chunk_by(|a, b| a == b) {
        let (value, mut left) = (run[0], run.len());
        if value == 0 {
            while left >= 11 {
                let now = left.min(138);
                items.push(Item { symbol: MANY_ZEROS, extra: (now - 11) as u8 });
                left -= now;
            }
            if left >= 3 {
                items.push(Item { symbol: ZEROS, extra: (left - 3) as u8 });
                left = 0;
            }
        } else if left >= 4 {
            items.push(Item { symbol: value, extra: 0 });
            left -= 1;
            while left >= 3 {
                let now = left.min(6);
                items.push(Item { symbol: REPEAT, extra: (now - 3) as u8 });
                left -= now;
            }
        }
        items.extend(std::iter::repeat_n(Item { symbol: value, extra: 0 }, left));
    }
    items
}
