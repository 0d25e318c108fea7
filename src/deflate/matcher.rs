//! Finds earlier occurrences of the bytes at a position: hash chains over the whole input.
//!
//! Four bytes lead to a chain of earlier places, newest first; three bytes lead to the newest place alone, as a match
//! that short only pays when it is near. Positions fit 16 bits and the arrays are as large as any of them can
//! reach, so that the compiler sees no index out of range.

use byteorder::{ByteOrder, LE};

use super::symbols::{MAX_DISTANCE, MAX_MATCH, MIN_MATCH};

/// The most bytes that one search covers.
pub(super) const SEGMENT: usize = 1 << 16;
/// Where the input begins in the window: position 0 ends a chain.
pub(super) const START: usize = 1;
/// Bytes behind the input that may be read, though nothing follows from them.
const MARGIN: usize = 1024;
/// Bytes that a position must have in front of it to be hashed and searched for.
const HASHED: usize = 4;

const HASH3_BITS: u32 = 15;
const HASH4_BITS: u32 = 16;

/// An earlier occurrence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
}

/// Where a search may stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Places that are looked at.
    pub(super) depth: u32,
    /// A match of this length is good enough.
    pub(super) nice: usize,
}

/// The input and the places of its bytes.
pub(super) struct Matcher {
    window: [u8; SEGMENT + MARGIN],
    end: usize,
    /// Hashes of the position that is inserted next: known early, they keep nothing waiting.
    hashes: (usize, usize),
    heads3: [u16; 1 << HASH3_BITS],
    heads4: [u16; 1 << HASH4_BITS],
    earlier: [u16; 1 << 16],
}

impl Matcher {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            window: [0; SEGMENT + MARGIN],
            end: START,
            hashes: (0, 0),
            heads3: [0; 1 << HASH3_BITS],
            heads4: [0; 1 << HASH4_BITS],
            earlier: [0; 1 << 16],
        })
    }

    /// Begins with other input, of [`SEGMENT`] bytes at most.
    pub(super) fn load(&mut self, input: &[u8]) {
        self.end = START + input.len();
        self.window[START..self.end].copy_from_slice(input);
        self.heads3.fill(0);
        self.heads4.fill(0);
        self.hashes = self.hashes_at(START);
    }

    /// The position behind the input.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// The byte at a position.
    #[inline(always)]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.window[at]
    }

    /// Bytes from a position on.
    pub(super) fn bytes(&self, from: usize, to: usize) -> &[u8] {
        &self.window[from..to]
    }

    /// The hashes of the three and of the four bytes at a position.
    #[inline(always)]
    fn hashes_at(&self, at: usize) -> (usize, usize) {
        let four = self.four(at);
        let hash = |bytes: u32, bits: u32| (bytes.wrapping_mul(0x9E37_79B1) >> (32 - bits)) as usize;
        (hash(four << 8, HASH3_BITS), hash(four, HASH4_BITS))
    }

    /// Remembers a position, the one behind that which was last, and returns the newest places with the same three and four bytes.
    #[inline(always)]
    fn insert(&mut self, at: u16) -> (u16, u16) {
        let (hash3, hash4) = self.hashes;
        self.hashes = self.hashes_at(usize::from(at) + 1);
        let newest = (self.heads3[hash3], self.heads4[hash4]);
        self.heads3[hash3] = at;
        self.heads4[hash4] = at;
        self.earlier[usize::from(at)] = newest.1;
        newest
    }

    /// Remembers the positions of `range`, which are inside of a match.
    #[inline(always)]
    pub(super) fn skip(&mut self, from: usize, to: usize) {
        for at in from..to.min(self.end.saturating_sub(HASHED)) {
            self.insert(at as u16);
        }
    }

    /// Remembers the position `at` and searches for a match longer than `floor`, which is 2 at least and below the
    /// length of a match that is good enough. A length of `floor` says that there is none.
    #[inline(always)]
    pub(super) fn longest(&mut self, at: usize, floor: usize, effort: Effort) -> Match {
        let mut best = Match { length: floor, distance: 0 };
        let max = MAX_MATCH.min(self.end - at);
        if max <= HASHED {
            return best;
        }
        let nice = effort.nice.min(max);
        let here = at as u16;
        let at = usize::from(here);
        let (newest3, mut place) = self.insert(here);
        // Places are beyond this one: in reach, and not the end of the chain.
        let limit = here.saturating_sub(MAX_DISTANCE as u16 + 1);
        let four = self.four(at);
        if floor < MIN_MATCH && newest3 > limit && self.four(newest3.into()) << 8 == four << 8 {
            best = Match { length: MIN_MATCH, distance: at - usize::from(newest3) };
        }
        if floor >= nice {
            return best;
        }
        let mut depth = effort.depth;
        // The four bytes that end one behind the best match so far: a longer one must have them too.
        let mut tail = best.length.max(HASHED - 1) + 1 - HASHED;
        let mut tail_bytes = self.four(at + (tail & 0xFF));
        while place > limit && depth > 0 {
            let candidate = usize::from(place);
            let next = self.earlier[candidate];
            if self.four(candidate + (tail & 0xFF)) == tail_bytes && self.four(candidate) == four {
                let length = self.common(at, candidate).min(max);
                if length > best.length {
                    best = Match { length, distance: at - candidate };
                    if length >= nice {
                        break;
                    }
                    tail = length + 1 - HASHED;
                    tail_bytes = self.four(at + (tail & 0xFF));
                }
            }
            place = next;
            depth -= 1;
        }
        best
    }

    /// The newest place with the same four bytes, whatever is there; for this position and none else.
    #[inline(always)]
    pub(super) fn newest(&mut self, at: usize) -> Option<Match> {
        let max = MAX_MATCH.min(self.end - at);
        if max <= HASHED {
            return None;
        }
        let here = at as u16;
        let at = usize::from(here);
        let (_, hash) = self.hashes_at(at);
        let place = std::mem::replace(&mut self.heads4[hash], here);
        let candidate = usize::from(place);
        let found =
            place > here.saturating_sub(MAX_DISTANCE as u16 + 1) && self.four(candidate) == self.four(at);
        found.then(|| Match { length: self.common(at, candidate).min(max), distance: at - candidate })
    }

    /// How many bytes are the same from two positions on, a little more than the longest match at most.
    #[inline(always)]
    fn common(&self, a: usize, b: usize) -> usize {
        let a = self.window[a..a + 264].chunks_exact(8);
        let b = self.window[b..b + 264].chunks_exact(8);
        let mut same = 0;
        for (a, b) in a.zip(b) {
            let differ = LE::read_u64(a) ^ LE::read_u64(b);
            if differ != 0 {
                return same + differ.trailing_zeros() as usize / 8;
            }
            same += 8;
        }
        same
    }

    #[inline(always)]
    fn four(&self, at: usize) -> u32 {
        LE::read_u32(&self.window[at..at + 4])
    }
}
