//! Writes a block in the form that is shortest: stored, with the fixed code, or with codes of its own
//! (RFC 1951, 3.2.3 to 3.2.7).

use super::bits::{BitWriter, ROOM, SLACK, Tail, pack};
use super::header::Header;
use super::huffman::Code;
use super::parse::{Block, Sequence};
use super::symbols::{
    DISTANCE_BASE, DISTANCE_EXTRA, DISTANCES, END_OF_BLOCK, FIRST_LENGTH, Frequencies, LENGTH_BASE,
    LENGTH_EXTRA, LENGTHS, LITLENS, MAX_MATCH, distance_symbol,
};

/// The longest codeword of literals and lengths; DEFLATE has 15. Four fit between two flushes.
const LITLEN_LIMIT: usize = 14;
/// The longest codeword of distances.
const DISTANCE_LIMIT: usize = 15;
const _: () = assert!(4 * LITLEN_LIMIT <= ROOM as usize);
const _: () = assert!(LITLEN_LIMIT + 5 + DISTANCE_LIMIT + 13 <= ROOM as usize);

/// The most bytes of a stored block.
pub(super) const MAX_STORED: usize = 0xFFFF;

/// The code of literals and lengths and that of distances.
pub(super) struct Codes {
    pub(super) litlens: Code<LITLENS>,
    pub(super) distances: Code<DISTANCES>,
}

impl Codes {
    fn of(frequencies: &Frequencies) -> Self {
        Self {
            litlens: Code::new(&frequencies.litlens, LITLEN_LIMIT),
            distances: Code::new(&frequencies.distances, DISTANCE_LIMIT),
        }
    }

    /// The codes that need no header (RFC 1951, 3.2.6).
    fn fixed() -> Self {
        let lengths: [u8; 288] = std::array::from_fn(|symbol| match symbol {
            0..144 => 8,
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        });
        let Code { lengths, codewords } = Code::from_lengths(lengths);
        let litlens = Code {
            lengths: std::array::from_fn(|symbol| lengths[symbol]),
            codewords: std::array::from_fn(|symbol| codewords[symbol]),
        };
        let codewords = std::array::from_fn(|symbol| (symbol as u16).reverse_bits() >> 11);
        Self { litlens, distances: Code { lengths: [5; DISTANCES], codewords } }
    }

    /// Bits that the symbols take, without their extra bits.
    fn cost(&self, frequencies: &Frequencies) -> u32 {
        self.litlens.cost(&frequencies.litlens) + self.distances.cost(&frequencies.distances)
    }
}

/// Bits behind the symbols, the same in every code.
fn extra_bits(frequencies: &Frequencies) -> u32 {
    let bits = |counts: &[u32], extra: &[u8]| -> u32 {
        counts.iter().zip(extra).map(|(&count, &extra)| count * u32::from(extra)).sum()
    };
    bits(&frequencies.litlens[FIRST_LENGTH..], &LENGTH_EXTRA) + bits(&frequencies.distances, &DISTANCE_EXTRA)
}

/// Writes blocks.
pub(super) struct BlockWriter {
    fixed: Codes,
    /// Codewords, packed: of literals, of lengths with their extra bits, of distances.
    literals: [u32; 256],
    lengths: [u32; MAX_MATCH + 1],
    distances: [u32; 32],
}

impl BlockWriter {
    pub(super) fn new() -> Self {
        Self { fixed: Codes::fixed(), literals: [0; 256], lengths: [0; MAX_MATCH + 1], distances: [0; 32] }
    }

    /// Appends a block, the last one or not, whose bytes are `input`. Returns the bits that fill no byte.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        tail: Tail,
        input: &[u8],
        block: &mut Block,
        last: bool,
    ) -> Tail {
        block.frequencies.litlens[END_OF_BLOCK] = 1;
        let frequencies = &block.frequencies;
        let codes = Codes::of(frequencies);
        let header = Header::of(&codes);
        let own = header.cost() + codes.cost(frequencies);
        let fixed = self.fixed.cost(frequencies);
        let symbols = own.min(fixed) + extra_bits(frequencies);
        if symbols + 3 >= stored_cost(input.len(), tail.count) {
            return store(out, tail, input, last);
        }
        let start = out.len();
        out.resize(start + (symbols + 3 + tail.count) as usize / 8 + 1 + SLACK, 0);
        let mut bits = BitWriter::new(&mut out[start..], tail);
        bits.put(u32::from(last), 1);
        if own < fixed {
            bits.put(0b10, 2);
            header.write(&mut bits);
            self.load(&codes);
            self.symbols(&mut bits, input, block, &codes);
        } else {
            bits.put(0b01, 2);
            bits.flush();
            let fixed = Codes::fixed();
            self.load(&fixed);
            self.symbols(&mut bits, input, block, &fixed);
        }
        let (written, tail) = bits.finish();
        out.truncate(start + written);
        tail
    }

    /// Prepares the tables for a block with these codes.
    fn load(&mut self, codes: &Codes) {
        let Codes { litlens, distances } = codes;
        let packed = |symbol: usize| pack(litlens.codewords[symbol].into(), litlens.lengths[symbol].into());
        self.literals = std::array::from_fn(packed);
        for symbol in 0..LENGTHS {
            let codeword = packed(FIRST_LENGTH + symbol);
            let (base, extra) = (usize::from(LENGTH_BASE[symbol]), u32::from(LENGTH_EXTRA[symbol]));
            let bits = codeword >> 24;
            for beyond in 0..1 << extra {
                if let Some(slot) = self.lengths.get_mut(base + beyond) {
                    *slot = pack(codeword & 0xFFFF | (beyond as u32) << bits, bits + extra);
                }
            }
        }
        for symbol in 0..DISTANCES {
            self.distances[symbol] =
                pack(distances.codewords[symbol].into(), distances.lengths[symbol].into());
        }
    }

    fn symbols(&self, bits: &mut BitWriter, input: &[u8], block: &Block, codes: &Codes) {
        let mut rest = input;
        for &Sequence { literals, length, distance } in &block.sequences {
            let (run, after) = rest.split_at(literals as usize);
            self.run(bits, run);
            rest = &after[usize::from(length)..];
            bits.put_packed(self.lengths[usize::from(length)]);
            let symbol = distance_symbol(distance.into()) & 31;
            bits.put_packed(self.distances[symbol]);
            bits.put(
                u32::from(distance - DISTANCE_BASE[symbol % DISTANCES]),
                DISTANCE_EXTRA[symbol % DISTANCES].into(),
            );
            bits.flush();
        }
        self.run(bits, rest);
        bits.put(codes.litlens.codewords[END_OF_BLOCK].into(), codes.litlens.lengths[END_OF_BLOCK].into());
        bits.flush();
    }

    #[inline(always)]
    fn run(&self, bits: &mut BitWriter, literals: &[u8]) {
        let mut fours = literals.chunks_exact(4);
        for four in &mut fours {
            for &byte in four {
                bits.put_packed(self.literals[usize::from(byte)]);
            }
            bits.flush();
        }
        for &byte in fours.remainder() {
            bits.put_packed(self.literals[usize::from(byte)]);
        }
        bits.flush();
    }
}

/// Bits of stored blocks behind `pending` bits that fill no byte.
fn stored_cost(bytes: usize, pending: u32) -> u32 {
    let blocks = bytes.div_ceil(MAX_STORED).max(1) as u32;
    let padding = (pending + 3).wrapping_neg() & 7;
    3 + padding + 32 + (blocks - 1) * 40 + bytes as u32 * 8
}

/// Appends stored blocks.
pub(super) fn store(out: &mut Vec<u8>, tail: Tail, input: &[u8], last: bool) -> Tail {
    let mut tail = tail;
    let mut rest = input;
    loop {
        let (now, later) = rest.split_at(rest.len().min(MAX_STORED));
        let ends = last && later.is_empty();
        let bits = tail.bits | u64::from(ends) << tail.count;
        let bytes = (tail.count as usize + 3).div_ceil(8);
        out.extend_from_slice(&bits.to_le_bytes()[..bytes]);
        out.extend_from_slice(&(now.len() as u16).to_le_bytes());
        out.extend_from_slice(&(!(now.len() as u16)).to_le_bytes());
        out.extend_from_slice(now);
        tail = Tail::default();
        rest = later;
        if rest.is_empty() {
            return tail;
        }
    }
}
