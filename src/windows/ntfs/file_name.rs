//! `$FILE_NAME`: a name of a file, which stands in its record and is the key of its entry in the directory.
//!
//! In the entry the sizes, times and attributes are those that the file has; in the record they lag behind.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::record::Reference;

/// Name spaces: which names a name stands beside.
pub(super) mod space {
    /// A name alone, of any characters.
    pub const POSIX: u8 = 0;
    /// A long name that has a short one beside it.
    pub const WIN32: u8 = 1;
    /// That short name.
    pub const DOS: u8 = 2;
    /// A name that is long and short in one.
    pub const BOTH: u8 = 3;
}

/// What an attribute field says of a directory. No such bit stands in `$STANDARD_INFORMATION`.
pub(super) const DIRECTORY: u32 = 0x1000_0000;

/// Where the name begins in a key, behind its length and its space.
const NAME: usize = size_of::<Fixed>();

/// A name of a file, and what is said beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName {
    pub parent: Reference,
    pub info: Duplicate,
    pub space: u8,
    pub name: Vec<u16>,
}

/// What is told of a file beside each of its names: copies of what its record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Duplicate {
    pub created: u64,
    pub modified: u64,
    /// When the record was changed.
    pub changed: u64,
    pub accessed: u64,
    /// Bytes of the unnamed stream's clusters; 0 for a directory, as is the size.
    pub allocated: u64,
    pub size: u64,
    /// Those of `$STANDARD_INFORMATION`, and [`DIRECTORY`].
    pub attributes: u32,
    /// The tag of a reparse point, or the size that extended attributes take.
    pub reparse: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Fixed {
    parent: U64,
    created: U64,
    modified: U64,
    changed: U64,
    accessed: U64,
    allocated: U64,
    size: U64,
    attributes: U32,
    reparse: U32,
    len: u8,
    space: u8,
}

impl FileName {
    /// The name in a `$FILE_NAME` attribute or in a key; `None` for less than one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (fixed, units) = Fixed::ref_from_prefix(bytes).ok()?;
        let name = units.get(..2 * usize::from(fixed.len))?;
        Some(Self {
            parent: Reference(fixed.parent.get()),
            info: Duplicate {
                created: fixed.created.get(),
                modified: fixed.modified.get(),
                changed: fixed.changed.get(),
                accessed: fixed.accessed.get(),
                allocated: fixed.allocated.get(),
                size: fixed.size.get(),
                attributes: fixed.attributes.get(),
                reparse: fixed.reparse.get(),
            },
            space: fixed.space,
            name: units_of(name).collect(),
        })
    }

    /// The attribute's value. Of a name of more than 255 units, which there is none, the first 255.
    pub fn to_bytes(&self) -> Vec<u8> {
        let name = self.name.get(..usize::from(u8::MAX)).unwrap_or(&self.name);
        let Duplicate { created, modified, changed, accessed, allocated, size, attributes, reparse } =
            self.info;
        let fixed = Fixed {
            parent: self.parent.0.into(),
            created: created.into(),
            modified: modified.into(),
            changed: changed.into(),
            accessed: accessed.into(),
            allocated: allocated.into(),
            size: size.into(),
            attributes: attributes.into(),
            reparse: reparse.into(),
            len: name.len() as u8,
            space: self.space,
        };
        let name = name.iter().flat_map(|unit| unit.to_le_bytes());
        fixed.as_bytes().iter().copied().chain(name).collect()
    }
}

/// The name in a key, without looking at the rest; as much as is there.
pub(super) fn name_units(key: &[u8]) -> impl Iterator<Item = u16> + Clone {
    let len = key.get(NAME - 2).map_or(0, |&len| 2 * usize::from(len));
    let name = key.get(NAME..).unwrap_or_default();
    units_of(name.get(..len).unwrap_or(name))
}

fn units_of(bytes: &[u8]) -> impl Iterator<Item = u16> + Clone {
    bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of a file as Windows wrote it, field by field.
    #[test]
    fn a_name_is_read_and_written() {
        let mut bytes = Vec::new();
        for number in [0x0005_0000_0000_0005_u64, 1, 2, 3, 4, 4096, 4000] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([0x20, 0, 0, 0x10, 7, 0, 0, 0x80, 3, 1]);
        bytes.extend("aµ\u{ff}".encode_utf16().flat_map(u16::to_le_bytes));
        let name = FileName::parse(&bytes).unwrap();
        let info = Duplicate {
            created: 1,
            modified: 2,
            changed: 3,
            accessed: 4,
            allocated: 4096,
            size: 4000,
            attributes: DIRECTORY | 0x20,
            reparse: 0x8000_0007,
        };
        let units: Vec<u16> = "aµ\u{ff}".encode_utf16().collect();
        let parent = Reference(0x0005_0000_0000_0005);
        assert_eq!(name, FileName { parent, info, space: space::WIN32, name: units.clone() });
        assert_eq!(name.to_bytes(), bytes);
        assert_eq!(name_units(&bytes).collect::<Vec<_>>(), units);
        assert!((0..bytes.len()).all(|len| FileName::parse(&bytes[..len]).is_none()));
    }
}
