//! Versions in dotted numbers, and the two ways in which Citrix counts releases.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::strict;

/// Numbers of a version at most.
const MOST: usize = 8;

/// A version in dotted numbers: `2311.0.1`. Missing numbers count as 0.
#[derive(Debug, Clone)]
pub struct Version {
    numbers: Vec<u32>,
}

impl Version {
    /// The version that a text begins with: `7.33.3000.1` of `7.33.3000.1 LTSR`. `None` when it begins with no number.
    pub fn beginning(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        text[..end].trim_end_matches('.').parse().ok()
    }

    /// Whether it begins with the numbers of `prefix`: `2311.0.1` with `2311`.
    pub fn begins_with(&self, prefix: &Version) -> bool {
        self.numbers.starts_with(&prefix.numbers)
    }

    /// The same version, counted by releases, as `2402.0.100.62` for the `7.41.100.62` that components of Citrix' release 2402 bear.
    /// Other versions stay as they are.
    pub fn release(&self) -> Version {
        match self.numbers[..] {
            [7, minor, ref rest @ ..] => match RELEASES.iter().find(|(known, _)| *known == minor) {
                Some(&(_, release)) => Version { numbers: [&[release, 0], rest].concat() },
                None => self.clone(),
            },
            _ => self.clone(),
        }
    }

    /// Whether two places that give a version mean the same one: those that count in the same way all numbers, others the release.
    pub(super) fn agrees_with(&self, other: &Version) -> bool {
        let by_release = |version: &Version| version.numbers.first().is_some_and(|&first| first >= 1000);
        match by_release(self) == by_release(other) {
            true => self == other,
            false => self.release().numbers.first() == other.release().numbers.first(),
        }
    }
}

/// The releases behind the second number of component versions that begin with 7: a step each.
const RELEASES: [(u32, u32); 22] = [
    (24, 1912),
    (25, 2003),
    (26, 2006),
    (27, 2009),
    (28, 2012),
    (29, 2103),
    (30, 2106),
    (31, 2109),
    (32, 2112),
    (33, 2203),
    (34, 2206),
    (35, 2209),
    (36, 2212),
    (37, 2303),
    (38, 2305),
    (39, 2308),
    (40, 2311),
    (41, 2402),
    (42, 2407),
    (43, 2411),
    (44, 2503),
    (45, 2507),
];

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers: Option<Vec<u32>> = text.split('.').take(MOST + 1).map(strict::decimal).collect();
        match numbers {
            Some(numbers) if numbers.len() <= MOST && text.split('.').all(|part| !part.is_empty()) => {
                Ok(Self { numbers })
            }
            _ => Err(Error::Unsupported {
                what: format!("{text:?} is no version: expected dotted numbers, as 2311.0.1"),
            }),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.numbers.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let len = self.numbers.len().max(other.numbers.len());
        let padded = |version: &Version| {
            let mut numbers = version.numbers.clone();
            numbers.resize(len, 0);
            numbers
        };
        padded(self).cmp(&padded(other))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn versions_are_numbers() {
        assert!(version("2311") < version("2311.0.1"));
        assert!(version("7.9") < version("7.10"));
        assert_eq!(version("10.0"), version("10"));
        assert_eq!(version("10.0.19045").to_string(), "10.0.19045");
        assert!(version("2311.0.1").begins_with(&version("2311")));
        assert!(!version("23110.1").begins_with(&version("2311")));
        for wrong in ["", ".", "1.", ".1", "1..2", "+1", "1.-2", "1.x", "4294967296", "1.2.3.4.5.6.7.8.9"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong:?}");
        }
        let beginning = |text| Version::beginning(text).map(|version| version.to_string());
        assert_eq!(beginning("7.33.3000.1 LTSR").as_deref(), Some("7.33.3000.1"));
        assert_eq!(beginning("2311.").as_deref(), Some("2311"));
        assert_eq!((beginning("v7"), beginning("")), (None, None));
    }

    #[test]
    fn releases() {
        assert_eq!(version("7.41.100.62").release(), version("2402.0.100.62"));
        assert_eq!(version("7.33.3000.1").release(), version("2203.0.3000.1"));
        assert_eq!(version("7.15.2").release(), version("7.15.2"));
        assert_eq!(version("2402.0.100").release(), version("2402.0.100"));
        assert!(version("7.41.100.62").agrees_with(&version("2402.0.100.629")));
        assert!(!version("7.41.100.62").agrees_with(&version("7.41.100.63")));
        assert!(!version("7.40.1").agrees_with(&version("2402")));
    }
}
