//! Compression of whole buffers: DEFLATE (RFC 1951) in the zlib format (RFC 1950).
//!
//! Made for the grains of disk images: 64 KiB that are compressed again and again, each on its own. The whole input is at
//! hand, so there is no sliding window and no state between calls, and a block's codes are made for the block.
//!
//! ```
//! let mut packed = Vec::new();
//! diskport::deflate::Compressor::new(6).zlib(&[7; 65536], &mut packed);
//! assert!(packed.len() < 128);
//! ```

mod bits;
mod block;
mod header;
mod huffman;
mod inflate;
mod matcher;
mod parse;
mod split;
mod symbols;
#[cfg(test)]
mod tests;

use bits::Tail;
use block::{BlockWriter, MAX_STORED, store};
pub(crate) use inflate::inflate;
use matcher::{Effort, Matcher, SEGMENT, START};
use parse::{Block, Strategy};
use symbols::MAX_MATCH;

/// Compresses buffers, one after the other. A new one costs more than a grain: keep it.
pub struct Compressor {
    level: u8,
    /// `None` stores.
    strategy: Option<Strategy>,
    matcher: Box<Matcher>,
    block: Block,
    writer: BlockWriter,
}

impl Compressor {
    /// A compressor of a level from 0, which only stores, to 9, which tries hardest; higher ones are taken as 9.
    pub fn new(level: u32) -> Self {
        let effort = |depth, nice| Effort { depth, nice };
        let strategy = match level {
            0 => None,
            1 => Some(Strategy::Fast),
            2 => Some(Strategy::Greedy(effort(6, 10))),
            3 => Some(Strategy::Greedy(effort(12, 14))),
            4 => Some(Strategy::Greedy(effort(16, 30))),
            5 => Some(Strategy::Lazy(effort(16, 30))),
            6 => Some(Strategy::Lazy(effort(24, 48))),
            7 => Some(Strategy::Lazy(effort(100, 130))),
            8 => Some(Strategy::Lazy2(effort(300, MAX_MATCH))),
            _ => Some(Strategy::Lazy2(effort(600, MAX_MATCH))),
        };
        let level = level.min(9) as u8;
        Self { level, strategy, matcher: Matcher::new(), block: Block::new(), writer: BlockWriter::new() }
    }

    /// Appends `input` to `out` as one zlib stream. It is at most 6 bytes longer than `input`, and 5 more for each 65 535
    /// bytes of it or part of them. Matches do not reach over multiples of 64 KiB.
    pub fn zlib(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&header(self.level));
        self.deflate(input, out);
        out.extend_from_slice(&adler32(input).to_be_bytes());
    }

    fn deflate(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        if let Some(strategy) = self.strategy.filter(|_| !input.is_empty()) {
            let mut tail = Tail::default();
            let mut rest = input;
            while !rest.is_empty() {
                let (segment, later) = rest.split_at(rest.len().min(SEGMENT));
                tail = self.segment(segment, strategy, later.is_empty(), tail, out);
                rest = later;
            }
            if tail.count > 0 {
                out.push(tail.bits as u8);
            }
            if out.len() - start <= stored_len(input.len()) {
                return;
            }
        }
        out.truncate(start);
        store(out, Tail::default(), input, true);
    }

    fn segment(
        &mut self,
        input: &[u8],
        strategy: Strategy,
        last: bool,
        mut tail: Tail,
        out: &mut Vec<u8>,
    ) -> Tail {
        let Self { matcher, block, writer, .. } = self;
        matcher.load(input);
        let mut at = START;
        while at < matcher.end() {
            let end = block.parse(matcher, at, strategy);
            let last = last && end == matcher.end();
            tail = writer.write(out, tail, matcher.bytes(at, end), block, last);
            at = end;
        }
        tail
    }
}

/// The length of stored blocks of so many bytes.
fn stored_len(bytes: usize) -> usize {
    bytes + 5 * bytes.div_ceil(MAX_STORED).max(1)
}

/// The two bytes in front: deflate with a window of 32 KiB, and how hard the compressor tried (RFC 1950, 2.2).
fn header(level: u8) -> [u8; 2] {
    let effort: u16 = match level {
        0 | 1 => 0,
        2..6 => 1,
        6 => 2,
        _ => 3,
    };
    let header = 0x7800 | effort << 6;
    (header + 31 - header % 31).to_be_bytes()
}

pub(crate) fn adler32(input: &[u8]) -> u32 {
    let mut adler = simd_adler32::Adler32::new();
    adler.write(input);
    adler.finish()
}
