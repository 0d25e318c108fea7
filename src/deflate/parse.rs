//! Turns input into literals and matches, a block at a time.

use super::matcher::{Effort, Match, Matcher};
use super::split::Observer;
use super::symbols::{FIRST_LENGTH, Frequencies, MIN_MATCH, distance_symbol, length_symbol};

/// Literals, and the match behind them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    pub(super) literals: u32,
    pub(super) length: u16,
    pub(super) distance: u16,
}

/// Literals and matches of a block.
pub(super) struct Block {
    pub(super) sequences: Vec<Sequence>,
    /// Literals behind the last match.
    pub(super) literals: u32,
    pub(super) frequencies: Frequencies,
    observer: Observer,
}

/// How matches are chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Strategy {
    /// The newest place alone is tried.
    Fast,
    /// The longest match is taken.
    Greedy(Effort),
    /// A match is taken unless a better one begins at the next byte.
    Lazy(Effort),
    /// As `Lazy`, and the byte behind it is tried, too.
    Lazy2(Effort),
}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            sequences: Vec::new(),
            literals: 0,
            frequencies: Frequencies::NONE,
            observer: Observer::default(),
        }
    }

    #[inline(always)]
    fn literal(&mut self, byte: u8) {
        self.frequencies.litlens[usize::from(byte)] += 1;
        self.observer.literal(byte);
        self.literals += 1;
    }

    #[inline(always)]
    fn matched(&mut self, Match { length, distance }: Match) {
        self.frequencies.litlens[FIRST_LENGTH + length_symbol(length)] += 1;
        self.frequencies.distances[distance_symbol(distance)] += 1;
        self.observer.matched(length);
        let literals = std::mem::take(&mut self.literals);
        self.sequences.push(Sequence { literals, length: length as u16, distance: distance as u16 });
    }

    /// Takes a block's worth of literals and matches from position `start` on and returns where it ends.
    pub(super) fn parse(&mut self, matcher: &mut Matcher, start: usize, strategy: Strategy) -> usize {
        self.sequences.clear();
        self.literals = 0;
        self.frequencies = Frequencies::NONE;
        self.observer = Observer::default();
        match strategy {
            Strategy::Fast => self.fast(matcher, start),
            Strategy::Greedy(effort) => self.greedy(matcher, start, effort),
            Strategy::Lazy(effort) => self.lazy::<false>(matcher, start, effort),
            Strategy::Lazy2(effort) => self.lazy::<true>(matcher, start, effort),
        }
    }

    /// Takes what the newest place with the same four bytes gives, and looks less often where nothing is found.
    fn fast(&mut self, matcher: &mut Matcher, start: usize) -> usize {
        let end = matcher.end();
        let mut at = start;
        let mut missed = 0;
        while at < end {
            if let Some(found) = matcher.newest(at) {
                self.matched(found);
                at += found.length;
                matcher.newest(at - 1);
                missed = 0;
            } else {
                missed += 1;
                for _ in 0..(1 + missed / 32).min(end - at) {
                    self.literal(matcher.byte(at));
                    at += 1;
                }
            }
            if self.observer.ends(at - start, end - at) {
                break;
            }
        }
        at
    }

    /// Always takes the longest match.
    fn greedy(&mut self, matcher: &mut Matcher, start: usize, effort: Effort) -> usize {
        let end = matcher.end();
        let min = first_min_length(matcher.bytes(start, end), effort.depth);
        let mut at = start;
        while at < end {
            let found = matcher.longest(at, min - 1, effort);
            if found.length >= min && worthwhile(found) {
                self.matched(found);
                matcher.skip(at + 1, at + found.length);
                at += found.length;
            } else {
                self.literal(matcher.byte(at));
                at += 1;
            }
            if self.observer.ends(at - start, end - at) {
                break;
            }
        }
        at
    }

    /// Takes a match unless a better one begins one byte later, or, with `TWO`, a much better one two bytes later.
    fn lazy<const TWO: bool>(&mut self, matcher: &mut Matcher, start: usize, effort: Effort) -> usize {
        let end = matcher.end();
        let half = Effort { depth: effort.depth / 2, ..effort };
        let quarter = Effort { depth: effort.depth / 4, ..effort };
        let mut min = first_min_length(matcher.bytes(start, end), effort.depth);
        let mut revise = start + 10_000;
        let mut at = start;
        while at < end {
            if at >= revise {
                min = min_length(&self.frequencies, effort.depth);
                revise = at + (at - start);
            }
            let mut found = matcher.longest(at, min - 1, effort);
            at += 1;
            if found.length < min || !worthwhile(found) {
                self.literal(matcher.byte(at - 1));
            } else {
                // `at` is behind the last position that was searched; the match begins there.
                loop {
                    if found.length >= effort.nice {
                        break self.take(matcher, found, &mut at, 1);
                    }
                    let next = matcher.longest(at, found.length - 1, half);
                    at += 1;
                    if gain(found, next) > 2 {
                        self.literal(matcher.byte(at - 2));
                        found = next;
                        continue;
                    }
                    if !TWO {
                        break self.take(matcher, found, &mut at, 2);
                    }
                    let next = matcher.longest(at, found.length - 1, quarter);
                    at += 1;
                    if gain(found, next) > 6 {
                        self.literal(matcher.byte(at - 3));
                        self.literal(matcher.byte(at - 2));
                        found = next;
                        continue;
                    }
                    break self.take(matcher, found, &mut at, 3);
                }
            }
            if self.observer.ends(at - start, end - at) {
                break;
            }
        }
        at
    }

    /// Takes a match of which `searched` positions, the last in front of `at`, are known to the matcher.
    #[inline(always)]
    fn take(&mut self, matcher: &mut Matcher, found: Match, at: &mut usize, searched: usize) {
        self.matched(found);
        let to = *at - searched + found.length;
        matcher.skip(*at, to);
        *at = to;
    }
}

/// A match of three bytes that is far away costs more than literals.
#[inline(always)]
fn worthwhile(found: Match) -> bool {
    found.length > MIN_MATCH || found.distance <= 8192
}

/// How much better the next match is, in quarters of a byte, roughly: its length, less what its distance costs.
#[inline(always)]
fn gain(found: Match, next: Match) -> i32 {
    if next.length < found.length {
        return 0;
    }
    let bits = |found: Match| found.distance.ilog2() as i32;
    4 * (next.length - found.length) as i32 + bits(found) - bits(next)
}

/// The shortest match to look for, from the literals in the beginning of the input.
fn first_min_length(input: &[u8], depth: u32) -> usize {
    if input.len() < 512 {
        return MIN_MATCH;
    }
    let mut used = [false; 256];
    for &byte in input.iter().take(4096) {
        used[usize::from(byte)] = true;
    }
    by_literals(used.iter().filter(|&&used| used).count(), depth)
}

/// The shortest match to look for, from the literals that were used so far.
fn min_length(frequencies: &Frequencies, depth: u32) -> usize {
    let literals = &frequencies.litlens[..256];
    let rare = literals.iter().sum::<u32>() >> 10;
    by_literals(literals.iter().filter(|&&count| count > rare).count(), depth)
}

/// Few different literals are cheap, cheaper than a short match. A search that is not deep finds no long ones.
fn by_literals(different: usize, depth: u32) -> usize {
    let length = match different {
        0..6 => 9,
        6..8 => 8,
        8..10 => 7,
        10..16 => 6,
        16..45 => 5,
        45..80 => 4,
        _ => return MIN_MATCH,
    };
    length.min(match depth {
        0..5 => 4,
        5..10 => 5,
        10..16 => 7,
        _ => 9,
    })
}
