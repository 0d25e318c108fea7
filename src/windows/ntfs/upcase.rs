//! `$UpCase`: which names are the same in both cases, and in which order names stand. The volume's own table counts, and Windows' for what that leaves out.

use std::cmp::Ordering;

use super::record::kind;
use super::volume::{Volume, system_file};
use crate::error::Result;
use crate::leaves::upper;

/// The upper-case form of each UTF-16 unit.
#[derive(Default)]
pub(super) struct Upcase(Vec<u16>);

impl Upcase {
    pub fn read(volume: &Volume) -> Result<Self> {
        let record = volume.record(system_file::UPCASE)?;
        let bytes = volume.required(&record, kind::DATA, "")?.read(volume, 1 << 17)?;
        Ok(Self(bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()))
    }

    /// The unit in upper case.
    pub fn upper(&self, unit: u16) -> u16 {
        self.0.get(usize::from(unit)).copied().unwrap_or_else(|| upper(unit))
    }

    /// How two names stand in order when case does not count: unit by unit, the shorter one first.
    pub fn compare(&self, a: impl Iterator<Item = u16>, b: impl Iterator<Item = u16>) -> Ordering {
        a.map(|unit| self.upper(unit)).cmp(b.map(|unit| self.upper(unit)))
    }
}
