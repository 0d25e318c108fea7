//! The names of all files: a digest of each, 16 bytes, so that a million can be kept while the directories are read.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::finding::units;
use crate::windows::ntfs::record::Reference;

/// The index of names that a directory has.
pub(super) const INDEX: &str = "$I30";
/// Bytes of a `$FILE_NAME` before the name.
const FIXED: usize = 66;
pub(super) const WIN32: u8 = 1;
pub(super) const DOS: u8 = 2;

/// The value of a `$FILE_NAME`, which is the key of a directory's entry too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileName {
    pub parent: Reference,
    pub allocated: u64,
    pub size: u64,
    pub attributes: u32,
    /// The tag of a reparse point, or what extended attributes take.
    pub tag: u32,
    pub space: u8,
    pub name: Vec<u16>,
}

impl FileName {
    /// The value, which is as long as it says.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let &[len, space] = bytes.get(FIXED - 2..)?.first_chunk()?;
        let name = bytes.get(FIXED..).filter(|name| name.len() == 2 * usize::from(len))?;
        Some(Self {
            parent: Reference(u64_at(0)?),
            allocated: u64_at(0x28)?,
            size: u64_at(0x30)?,
            attributes: u32_at(0x38)?,
            tag: u32_at(0x3c)?,
            space,
            name: units(name),
        })
    }

    pub fn text(&self) -> String {
        String::from_utf16_lossy(&self.name)
    }

    /// What the name is in its directory.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.parent.0, self.space, &self.name).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether it has characters that separate names, or none at all.
    pub fn is_odd(&self) -> bool {
        self.name.is_empty() || self.name.iter().any(|&unit| [0, 0x2f, 0x3a, 0x5c].contains(&unit))
    }
}

#[derive(Debug, Clone, Copy)]
struct Name {
    owner: u32,
    digest: u64,
    /// Whether an entry of a directory has it.
    met: bool,
}

/// What became of looking for a name.
pub(super) enum Met {
    Once,
    Again,
    Never,
}

/// Gathered in any order, then [sorted](Names::sort), then looked up.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<Name>);

impl Names {
    pub fn add(&mut self, owner: u32, name: &FileName) {
        self.0.push(Name { owner, digest: name.digest(), met: false });
    }

    pub fn sort(&mut self) {
        self.0.sort_unstable_by_key(|name| (name.owner, name.digest));
    }

    /// Says that a directory has an entry for the name.
    pub fn meet(&mut self, owner: u32, digest: u64) -> Met {
        let first = self.0.partition_point(|name| (name.owner, name.digest) < (owner, digest));
        let same = self.0[first..].iter_mut().take_while(|name| (name.owner, name.digest) == (owner, digest));
        let mut met = Met::Never;
        for name in same {
            if !std::mem::replace(&mut name.met, true) {
                return Met::Once;
            }
            met = Met::Again;
        }
        met
    }

    /// How many names a file has.
    pub fn count(&self, owner: u32) -> usize {
        let first = self.0.partition_point(|name| name.owner < owner);
        self.0[first..].iter().take_while(|name| name.owner == owner).count()
    }

    /// The files of which a name has no entry, with the digests of those names.
    pub fn unmet(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.0.iter().filter(|name| !name.met).map(|name| (name.owner, name.digest))
    }
}
