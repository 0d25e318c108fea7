//! In which order the keys of an index stand.

use std::cmp::Ordering;

use crate::windows::ntfs::file_name::name_units;
use crate::windows::ntfs::upcase::Upcase;

/// How keys are compared.
#[derive(Clone, Copy)]
pub(in crate::windows::ntfs) enum Collation<'a> {
    /// By file names in upper case, as the volume's table has it, unit by unit; those that are the same then, as they stand.
    FileName(&'a Upcase),
    /// Number by number, of 32 bits each.
    Numbers,
}

impl<'a> Collation<'a> {
    /// `COLLATION_FILE_NAME`, of directories.
    pub const FILE_NAME: u32 = 1;
    /// `COLLATION_NTOFS_ULONG` (`$SII`, `$Q`), `COLLATION_NTOFS_SECURITY_HASH` (`$SDH`: the hash, then the id) and
    /// `COLLATION_NTOFS_ULONGS` (`$ObjId:$O`, `$Reparse:$R`) come to the same.
    const NUMBERS: [u32; 3] = [0x10, 0x12, 0x13];

    /// The order that an index's root names; `None` for one that is not known here, such as that by SID.
    pub fn of(rule: u32, upcase: &'a Upcase) -> Option<Self> {
        match rule {
            Self::FILE_NAME => Some(Self::FileName(upcase)),
            rule if Self::NUMBERS.contains(&rule) => Some(Self::Numbers),
            _ => None,
        }
    }

    pub fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Self::FileName(upcase) => {
                let (a, b) = (name_units(a), name_units(b));
                upcase.compare(a.clone(), b.clone()).then_with(|| a.cmp(b))
            }
            Self::Numbers => numbers(a).cmp(numbers(b)).then(a.len().cmp(&b.len())),
        }
    }
}

fn numbers(key: &[u8]) -> impl Iterator<Item = u32> {
    key.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number))
}
