//! Where new identities and times come from.

use std::time::SystemTime;

use uuid::{Builder, Uuid};

/// Makes identities: random ones, or with a seed the same ones each time.
///
/// ```
/// use diskport::Ids;
///
/// assert_eq!(Ids::seeded(7).guid(), Ids::seeded(7).guid());
/// assert_ne!(Ids::random().guid(), Ids::random().guid());
/// ```
#[derive(Debug, Clone)]
pub struct Ids {
    /// The state of the generator; `None` for random identities.
    state: Option<u64>,
}

impl Ids {
    /// Identities that nobody else has.
    pub fn random() -> Self {
        Self { state: None }
    }

    /// The same identities for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: Some(seed) }
    }

    /// A version 4 GUID.
    pub fn guid(&mut self) -> Uuid {
        if self.state.is_none() {
            return Uuid::new_v4();
        }
        let high = u128::from(self.next());
        let bytes = (high << 64 | u128::from(self.next())).to_le_bytes();
        Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A number of 32 bits: the serial number of a volume, the signature of a disk.
    pub fn serial(&mut self) -> u32 {
        if self.state.is_none() { Uuid::new_v4().as_fields().0 } else { self.next() as u32 }
    }

    /// Seconds since 1970: now, or with a seed none, which formats with a later epoch take for their first second.
    pub(crate) fn time(&self) -> u64 {
        if self.state.is_some() {
            return 0;
        }
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
    fn next(&mut self) -> u64 {
        let state = self.state.unwrap_or_default().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state = Some(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
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
        let mut ids = Ids::seeded(0);
        assert_eq!([ids.next(), ids.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn a_seed_gives_the_same_identities_each_time() {
        let all = |mut ids: Ids| [ids.guid(), ids.guid()];
        assert_eq!(all(Ids::seeded(7)), all(Ids::seeded(7)));
        let [a, b] = all(Ids::seeded(7));
        assert!(a != b && all(Ids::seeded(8)) != [a, b] && all(Ids::random()) != all(Ids::random()));
        assert_eq!((a.get_version_num(), Ids::random().guid().get_version_num()), (4, 4));
    }
}
