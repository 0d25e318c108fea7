//! Bits, least significant first, into bytes (RFC 1951, 3.1.1).

/// Writes bits into a slice that is long enough: a block's length is known before it is written.
pub(super) struct BitWriter<'a> {
    out: &'a mut [u8],
    at: usize,
    tail: Tail,
}

/// The bits behind the last whole byte.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tail {
    pub(super) bits: u64,
    pub(super) count: u32,
}

/// Bytes that a flush may touch behind the last one that it fills.
pub(super) const SLACK: usize = 8;
/// Bits that fit between two flushes.
pub(super) const ROOM: u32 = 64 - 8;

impl<'a> BitWriter<'a> {
    /// `out` has [`SLACK`] bytes more than will be written.
    pub(super) fn new(out: &'a mut [u8], tail: Tail) -> Self {
        Self { out, at: 0, tail }
    }

    /// Adds `count` bits; the higher ones are 0. No more than [`ROOM`] between two flushes.
    #[inline(always)]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.tail.bits |= u64::from(bits) << self.tail.count;
        self.tail.count += count;
    }

    /// Adds a codeword with its length, packed by [`pack`].
    #[inline(always)]
    pub(super) fn put_packed(&mut self, codeword: u32) {
        self.put(codeword & 0xFF_FFFF, codeword >> 24);
    }

    /// Moves whole bytes out.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        self.out[self.at..self.at + 8].copy_from_slice(&self.tail.bits.to_le_bytes());
        let whole = self.tail.count & !7;
        self.at += whole as usize / 8;
        self.tail.bits >>= whole;
        self.tail.count &= 7;
    }

    /// Ends with the number of bytes written, and the bits that fill none.
    pub(super) fn finish(mut self) -> (usize, Tail) {
        self.flush();
        (self.at, self.tail)
    }
}

/// A codeword of up to 24 bits and its length in one word: one load for both.
#[inline(always)]
pub(super) fn pack(codeword: u32, length: u32) -> u32 {
    codeword | length << 24
}
