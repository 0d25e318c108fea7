//! The alphabets: literals and lengths, and distances (RFC 1951, 3.2.5).

/// Literals, the end of a block, lengths.
pub(super) const LITLENS: usize = 286;
/// The symbol that ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The symbol of the shortest length.
pub(super) const FIRST_LENGTH: usize = 257;
/// Symbols for lengths.
pub(super) const LENGTHS: usize = 29;
/// Symbols for distances.
pub(super) const DISTANCES: usize = 30;

/// The shortest match.
pub(super) const MIN_MATCH: usize = 3;
/// The longest match.
pub(super) const MAX_MATCH: usize = 258;
/// How far back a match may be.
pub(super) const MAX_DISTANCE: usize = 1 << 15;

/// Extra bits behind a length's symbol.
pub(super) const LENGTH_EXTRA: [u8; LENGTHS] = {
    let mut extra = [0; LENGTHS];
    let mut symbol = 8;
    while symbol < LENGTHS - 1 {
        extra[symbol] = (symbol / 4 - 1) as u8;
        symbol += 1;
    }
    extra
};

/// The shortest length of each symbol.
pub(super) const LENGTH_BASE: [u16; LENGTHS] = {
    let mut base = [0; LENGTHS];
    let mut symbol = 0;
    while symbol < LENGTHS {
        base[symbol] = match symbol {
            0..8 => symbol + MIN_MATCH,
            8..28 => ((4 + symbol % 4) << LENGTH_EXTRA[symbol]) + MIN_MATCH,
            _ => MAX_MATCH,
        } as u16;
        symbol += 1;
    }
    base
};

/// The symbol of each length, less [`FIRST_LENGTH`]; of length 3 first.
const LENGTH_SYMBOLS: [u8; 256] = {
    let mut symbols = [0; 256];
    let (mut index, mut symbol) = (0, 0);
    while index < 256 {
        if symbol + 1 < LENGTHS && index + MIN_MATCH == LENGTH_BASE[symbol + 1] as usize {
            symbol += 1;
        }
        symbols[index] = symbol as u8;
        index += 1;
    }
    symbols
};

/// Extra bits behind a distance's symbol.
pub(super) const DISTANCE_EXTRA: [u8; DISTANCES] = {
    let mut extra = [0; DISTANCES];
    let mut symbol = 4;
    while symbol < DISTANCES {
        extra[symbol] = (symbol / 2 - 1) as u8;
        symbol += 1;
    }
    extra
};

/// The shortest distance of each symbol.
pub(super) const DISTANCE_BASE: [u16; DISTANCES] = {
    let mut base = [0; DISTANCES];
    let mut symbol = 0;
    while symbol < DISTANCES {
        base[symbol] = match symbol {
            0..4 => symbol + 1,
            _ => ((2 + symbol % 2) << DISTANCE_EXTRA[symbol]) + 1,
        } as u16;
        symbol += 1;
    }
    base
};

/// The symbol of a length, less [`FIRST_LENGTH`].
#[inline(always)]
pub(super) fn length_symbol(length: usize) -> usize {
    usize::from(LENGTH_SYMBOLS[usize::from((length - MIN_MATCH) as u8)])
}

/// The symbol of a distance.
#[inline(always)]
pub(super) fn distance_symbol(distance: usize) -> usize {
    let last = distance - 1;
    if last < 2 {
        return last;
    }
    let top = last.ilog2();
    2 * top as usize + (last >> (top - 1) & 1)
}

/// How often each symbol occurs.
#[derive(Clone)]
pub(super) struct Frequencies {
    pub(super) litlens: [u32; LITLENS],
    pub(super) distances: [u32; DISTANCES],
}

impl Frequencies {
    pub(super) const NONE: Self = Self { litlens: [0; LITLENS], distances: [0; DISTANCES] };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_distance_is_in_the_range_of_its_symbol() {
        for length in MIN_MATCH..=MAX_MATCH {
            let symbol = length_symbol(length);
            let beyond = length - usize::from(LENGTH_BASE[symbol]);
            assert!(beyond < 1 << LENGTH_EXTRA[symbol], "length {length}");
        }
        for distance in 1..=MAX_DISTANCE {
            let symbol = distance_symbol(distance);
            let beyond = distance - usize::from(DISTANCE_BASE[symbol]);
            assert!(beyond < 1 << DISTANCE_EXTRA[symbol], "distance {distance}");
        }
    }
}
