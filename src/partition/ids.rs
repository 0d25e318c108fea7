//! Where new identities come from.

use uuid::Uuid;

/// Makes identities: random ones, or with a seed the same ones each time.
///
/// ```
/// use diskport::partition::Ids;
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
        match self.state {
            None => Uuid::new_v4(),
            Some(_) => {
                let high = u128::from(self.next());
                let bytes = (high << 64 | u128::from(self.next())).to_le_bytes();
                uuid::Builder::from_random_bytes(bytes).into_uuid()
            }
        }
    }

    /// A number of 32 bits: the serial number of a volume, the signature of a disk.
    pub fn serial(&mut self) -> u32 {
        match self.state {
            None => Uuid::new_v4().as_fields().0,
            Some(_) => self.next() as u32,
        }
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn next(&mut self) -> u64 {
        let state = self.state.unwrap_or_default().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state = Some(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
