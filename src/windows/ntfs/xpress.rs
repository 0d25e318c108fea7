//! LZ77 with Huffman codes, as WOF stores files (MS-XCA 2.2).

use super::flaw::{Flaw, flaw};

const SYMBOLS: usize = 512;
/// The code lengths of all symbols, four bits each.
const TABLE: usize = SYMBOLS / 2;
const LONGEST_CODE: u32 = 15;
/// Symbols from here on are matches: the length in the low four bits, those of the distance in the next.
const MATCH: u16 = 256;
/// Another table follows after this many bytes.
const BLOCK: usize = 64 << 10;

/// What one block of at most 64 KiB gives, when that is `len` bytes.
pub(super) fn decompress(bytes: &[u8], len: usize) -> Result<Vec<u8>, Flaw> {
    let (lengths, bytes) =
        bytes.split_at_checked(TABLE).ok_or_else(|| flaw("a table of 256 bytes", "a part of one"))?;
    if len > BLOCK {
        return Err(flaw("a block of at most 64 KiB", len.to_string()));
    }
    let codes = Codes::new(lengths)?;
    let mut bits = Bits::new(bytes);
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        let symbol = codes.next(&mut bits)?;
        if symbol < MATCH {
            out.push(symbol as u8);
            continue;
        }
        let distance_bits = u32::from((symbol - MATCH) >> 4);
        let mut length = usize::from(symbol & 15);
        if length == 15 {
            length += usize::from(bits.byte()?);
            if length == 15 + 255 {
                length = usize::from(bits.u16()?);
                if length < 15 {
                    return Err(flaw("a length of at least 15", length.to_string()));
                }
            }
        }
        length += 3;
        let distance = (1 << distance_bits) + bits.take(distance_bits) as usize;
        if distance > out.len() || length > len - out.len() {
            let found = format!("{length} bytes from {distance} back, after {} of {len}", out.len());
            return Err(flaw("a match within the block", found));
        }
        for _ in 0..length {
            out.push(out[out.len() - distance]);
        }
    }
    match bits.overrun {
        false => Ok(out),
        true => Err(flaw(format!("a stream of {len} bytes"), "an end before")),
    }
}

/// The symbol of each 15 bits that a stream may come with, and the length of its code.
struct Codes(Vec<(u16, u8)>);

impl Codes {
    /// Codes are handed out by length, then by symbol.
    fn new(lengths: &[u8]) -> Result<Self, Flaw> {
        let length = |symbol: usize| lengths[symbol / 2] >> (4 * (symbol % 2)) & 15;
        let mut table = Vec::with_capacity(1 << LONGEST_CODE);
        for bits in 1..=LONGEST_CODE as u8 {
            for symbol in (0..SYMBOLS).filter(|&symbol| length(symbol) == bits) {
                let entries = 1 << (LONGEST_CODE - u32::from(bits));
                table.resize(table.len() + entries, (symbol as u16, bits));
            }
            if table.len() > 1 << LONGEST_CODE {
                return Err(flaw("a table of codes", "more codes than there are bits for"));
            }
        }
        Ok(Self(table))
    }

    fn next(&self, bits: &mut Bits) -> Result<u16, Flaw> {
        let found = self.0.get(bits.peek(LONGEST_CODE) as usize);
        let &(symbol, len) = found.ok_or_else(|| flaw("a code of the table", "another one"))?;
        bits.skip(len.into());
        Ok(symbol)
    }
}

/// Bits from the top of little-endian 16-bit words; at least 16 are at hand. Bytes of lengths come from between the
/// words, behind those that were taken up.
struct Bits<'a> {
    bytes: &'a [u8],
    word: u32,
    /// Bits at hand beyond the 16.
    spare: u32,
    /// Whether bytes were wanted beyond the end: the last code may do without two, for it looks ahead.
    missing: usize,
    overrun: bool,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut bits = Self { bytes, word: 0, spare: 0, missing: 0, overrun: false };
        bits.word = bits.next_word() << 16;
        bits.word |= bits.next_word();
        bits.spare = 16;
        bits
    }

    fn next_word(&mut self) -> u32 {
        match self.bytes.split_first_chunk() {
            Some((word, rest)) => {
                self.bytes = rest;
                u16::from_le_bytes(*word).into()
            }
            None => {
                self.missing += 1;
                0
            }
        }
    }

    /// The next `n` bits, at most 16.
    fn peek(&self, n: u32) -> u32 {
        self.word.checked_shr(32 - n).unwrap_or(0)
    }

    fn skip(&mut self, n: u32) {
        self.word <<= n;
        if let Some(spare) = self.spare.checked_sub(n) {
            self.spare = spare;
        } else {
            let needed = n - self.spare;
            self.word |= self.next_word() << needed;
            self.spare = 16 - needed;
        }
        self.overrun |= 16 * self.missing as u32 > 16 + self.spare;
    }

    fn take(&mut self, n: u32) -> u32 {
        let bits = self.peek(n);
        self.skip(n);
        bits
    }

    fn byte(&mut self) -> Result<u8, Flaw> {
        let (&byte, rest) =
            self.bytes.split_first().ok_or_else(|| flaw("the byte of a length", "an end before"))?;
        self.bytes = rest;
        Ok(byte)
    }

    fn u16(&mut self) -> Result<u16, Flaw> {
        Ok(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table that gives these symbols codes of these lengths.
    fn table(lengths: &[(std::ops::RangeInclusive<usize>, u8)]) -> Vec<u8> {
        let mut table = vec![0; TABLE];
        for (symbols, bits) in lengths {
            for symbol in symbols.clone() {
                table[symbol / 2] |= bits << (4 * (symbol % 2));
            }
        }
        table
    }

    /// The first example of MS-XCA 3.2: literals only.
    #[test]
    fn the_alphabet() {
        let mut packed = table(&[(97..=118, 5), (119..=122, 4), (256..=256, 4)]);
        packed.extend([0xd8, 0x52, 0x3e, 0xd7, 0x94, 0x11, 0x5b, 0xe9, 0x19, 0x5f]);
        packed.extend([0xf9, 0xd6, 0x7c, 0xdf, 0x8d, 0x04, 0, 0, 0, 0]);
        assert_eq!(decompress(&packed, 26).unwrap(), b"abcdefghijklmnopqrstuvwxyz");
        assert!(decompress(&packed[..packed.len() - 8], 26).is_err(), "cut");
        assert!(decompress(&packed[..100], 26).is_err(), "cut in the table");
    }

    /// The second: three literals, and a match of 297 bytes from 3 back.
    #[test]
    fn a_long_match() {
        let mut packed = table(&[(97..=98, 3), (99..=99, 2), (256..=256, 2), (287..=287, 2)]);
        packed.extend([0xa8, 0xdc, 0, 0, 0xff, 0x26, 0x01]);
        assert_eq!(decompress(&packed, 300).unwrap(), b"abc".repeat(100));
        assert!(decompress(&packed, 299).is_err(), "a match beyond the end");
        assert!(decompress(&packed, 301).is_err(), "an end before");
    }

    #[test]
    fn tables_that_are_none() {
        assert!(decompress(&[&table(&[(0..=511, 8)]), [0; 8].as_slice()].concat(), 1).is_err());
        assert!(decompress(&[0; 300], 1).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 256..600), len in 0usize..70_000) {
            if let Ok(out) = decompress(&bytes, len) {
                prop_assert_eq!(out.len(), len);
            }
        }
    }
}
