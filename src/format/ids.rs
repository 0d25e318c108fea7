//! The identifiers and the time that a new image bears.

use std::time::SystemTime;

use uuid::{Builder, Uuid};

/// Where they come from.
pub(crate) enum Ids {
    /// They are new each time.
    Fresh,
    /// They follow from a seed, so that the same image is made of the same bytes.
    Seeded(SplitMix64),
}

impl Ids {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        seed.map_or(Self::Fresh, |seed| Self::Seeded(SplitMix64(seed)))
    }

    /// The next identifier.
    pub(crate) fn next(&mut self) -> Uuid {
        match self {
            Self::Fresh => Uuid::new_v4(),
            Self::Seeded(numbers) => {
                let high = u128::from(numbers.next()) << 64;
                Builder::from_random_bytes((high | u128::from(numbers.next())).to_be_bytes()).into_uuid()
            }
        }
    }

    /// Seconds since 1970: now, or with a seed none, which formats with a later epoch take for their first second.
    pub(crate) fn time(&self) -> u64 {
        match self {
            Self::Fresh => {
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
            }
            Self::Seeded(_) => 0,
        }
    }
}

/// The generator of Steele, Lea and Flood ("Fast splittable pseudorandom number generators", OOPSLA 2014).
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the seed 0, as in other implementations of the generator.
    #[test]
    fn numbers_are_those_of_splitmix64() {
        let mut numbers = SplitMix64(0);
        assert_eq!([numbers.next(), numbers.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn a_seed_gives_the_same_identifiers_each_time() {
        let all = |seed| {
            let mut ids = Ids::new(seed);
            [ids.next(), ids.next()]
        };
        assert_eq!(all(Some(7)), all(Some(7)));
        let [a, b] = all(Some(7));
        assert!(a != b && all(Some(8)) != [a, b] && all(None) != all(None));
        assert_eq!(a.get_version_num(), 4);
    }
}
