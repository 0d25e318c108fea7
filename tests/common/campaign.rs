//! How much of a campaign is tried. Whole, it takes hours; a run of all tests takes a tenth of it, drawn anew each day.
//!
//! `DISKPORT_CAMPAIGN` is `full` for all of it, a number to draw as the run did that printed it, or the name of the one case
//! that is tried.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

/// What is tried of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Campaign {
    /// All of it.
    Full,
    /// A tenth, drawn with this seed.
    Tenth(u64),
    /// The one case of this name.
    Only(String),
}

impl Campaign {
    /// What the environment asks for, with the number of the day for a seed where it does not.
    pub fn from_environment() -> Self {
        match std::env::var("DISKPORT_CAMPAIGN") {
            Err(_) => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Self::Tenth(since.as_secs() / 86400)
            }
            Ok(full) if full == "full" => Self::Full,
            Ok(value) => value.parse().map_or(Self::Only(value), Self::Tenth),
        }
    }

    /// How to repeat what this run tries.
    pub fn announce(&self) {
        if let Self::Tenth(seed) = self {
            eprintln!("a tenth of each campaign, drawn by DISKPORT_CAMPAIGN={seed}");
        }
    }

    /// What is tried of `cases`, in their order: at least one.
    pub fn draw<T>(&self, cases: Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
        match self {
            Self::Full => cases,
            Self::Only(only) => cases.into_iter().filter(|case| name(case) == *only).collect(),
            Self::Tenth(seed) => {
                let lot = |index: usize| {
                    let mut hasher = DefaultHasher::new();
                    (seed, index).hash(&mut hasher);
                    hasher.finish()
                };
                let mut order: Vec<_> = (0..cases.len()).collect();
                order.sort_by_cached_key(|&index| lot(index));
                let mut drawn = vec![false; cases.len()];
                order.iter().take(self.part(cases.len())).for_each(|&index| drawn[index] = true);
                cases.into_iter().zip(drawn).filter(|(_, drawn)| *drawn).map(|(case, _)| case).collect()
            }
        }
    }

    /// How many of so many are tried.
    pub fn part(&self, whole: usize) -> usize {
        match self {
            Self::Full => whole,
            Self::Tenth(_) => whole.div_ceil(10),
            Self::Only(_) => whole.min(1),
        }
    }

    /// The seed of what is random in it.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Tenth(seed) => *seed,
            Self::Full | Self::Only(_) => 0,
        }
    }
}
