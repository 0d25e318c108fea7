//! Many positions in a file, in little memory.

use std::collections::BTreeMap;

/// Positions that a leaf keeps at most.
const LEAF: usize = 512;

/// A set of positions: each takes from four to eight bytes wherever it lies and whenever it comes, where a plain tree
/// takes some twenty.
///
/// No leaf is empty. All that a leaf holds has the upper half of its key, is not below that key, and is below the next one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions {
    /// The lower halves, in order.
    leaves: BTreeMap<u64, Vec<u32>>,
}

impl Positions {
    /// The leaf that holds `at`, or would; its key.
    fn leaf(&mut self, at: u64) -> Option<(u64, &mut Vec<u32>)> {
        let (&key, leaf) = self.leaves.range_mut(upper(at)..=at).next_back()?;
        Some((key, leaf))
    }

    /// Adds `at`.
    pub(crate) fn insert(&mut self, at: u64) {
        let Some((_, leaf)) = self.leaf(at) else {
            // With this key, a leaf takes also what lies before its first position.
            self.leaves.insert(upper(at), vec![at as u32]);
            return;
        };
        if let Err(place) = leaf.binary_search(&(at as u32)) {
            leaf.insert(place, at as u32);
        }
        if leaf.len() > LEAF {
            let second = leaf.split_off(LEAF / 2);
            leaf.shrink_to_fit();
            self.leaves.insert(upper(at) | u64::from(second[0]), second);
        }
    }

    /// Takes `at` out; whether it was there.
    pub(crate) fn remove(&mut self, at: u64) -> bool {
        let Some((key, leaf)) = self.leaf(at) else { return false };
        let Ok(place) = leaf.binary_search(&(at as u32)) else { return false };
        leaf.remove(place);
        if leaf.is_empty() {
            self.leaves.remove(&key);
        }
        true
    }

    /// The last position before `at`.
    pub(crate) fn last_before(&self, at: u64) -> Option<u64> {
        self.leaves.range(..at).rev().find_map(|(&key, leaf)| {
            let before = leaf.partition_point(|&low| whole(key, low) < at);
            leaf[..before].last().map(|&low| whole(key, low))
        })
    }

    /// The first position at `at` or behind it.
    pub(crate) fn first_from(&self, at: u64) -> Option<u64> {
        let first = self.leaves.range(..=at).next_back().map_or(at, |(&key, _)| key);
        self.leaves.range(first..).find_map(|(&key, leaf)| {
            let before = leaf.partition_point(|&low| whole(key, low) < at);
            leaf.get(before).map(|&low| whole(key, low))
        })
    }

    /// The last of all.
    pub(crate) fn last(&self) -> Option<u64> {
        let (&key, leaf) = self.leaves.last_key_value()?;
        leaf.last().map(|&low| whole(key, low))
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.leaves.iter().flat_map(|(&key, leaf)| leaf.iter().map(move |&low| whole(key, low)))
    }
}

fn upper(at: u64) -> u64 {
    at & !u64::from(u32::MAX)
}

fn whole(key: u64, low: u32) -> u64 {
    upper(key) | u64::from(low)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Against a plain set: upwards, downwards and across, over halves that are full and such that hold little.
    #[test]
    fn holds_what_a_plain_set_holds() {
        for step in [1, 7, 4999, 9999] {
            let (mut positions, mut model) = (Positions::default(), BTreeSet::new());
            let place = |n: u64| (n * step % 10_000) * 1_000_003;
            for n in 0..10_000 {
                positions.insert(place(n));
                model.insert(place(n));
                if n % 3 == 2 {
                    assert!(positions.remove(place(n / 2)) == model.remove(&place(n / 2)));
                }
            }
            assert!(positions.iter().eq(model.iter().copied()));
            assert_eq!(positions.last(), model.last().copied());
            for at in (0..11_000).flat_map(|n| [n * 1_000_003, n * 1_000_003 + 1]) {
                assert_eq!(positions.last_before(at), model.range(..at).next_back().copied());
                assert_eq!(positions.first_from(at), model.range(at..).next().copied());
            }
            model.iter().for_each(|&at| assert!(positions.remove(at)));
            assert!(positions.leaves.is_empty());
        }
    }
}
