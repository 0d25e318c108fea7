//! Writing VMDKs, from front to back.

mod descriptor;
mod extents;
pub(crate) mod sparse;
mod stream;

use std::fmt;
use std::str::FromStr;

pub(crate) use descriptor::{Descriptor, NAMELESS, Parent, UNQUOTABLE};
pub(crate) use extents::Extents;
pub(super) use sparse::GRAIN;
pub(crate) use stream::Stream;

use super::layout::SECTOR;
use crate::error::Error;
use crate::leaves::Format;

/// The kinds of VMDK that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subformat {
    /// One file with grains, for VMware Workstation, VirtualBox and QEMU.
    MonolithicSparse,
    /// A descriptor and a flat extent, for VMware Workstation.
    MonolithicFlat,
    /// A descriptor and files with grains, each of 2047 MiB of the disk, for file systems with small files.
    TwoGbMaxExtentSparse,
    /// A descriptor and flat extents of 2047 MiB.
    TwoGbMaxExtentFlat,
    /// One file of compressed grains, written and read in one pass: what vSphere imports.
    StreamOptimized,
    /// A descriptor and a flat extent as they lie on an ESXi datastore.
    Vmfs,
}

impl Subformat {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::MonolithicSparse,
        Self::MonolithicFlat,
        Self::TwoGbMaxExtentSparse,
        Self::TwoGbMaxExtentFlat,
        Self::StreamOptimized,
        Self::Vmfs,
    ];

    /// The name, as in a descriptor's `createType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::MonolithicFlat => "monolithicFlat",
            Self::TwoGbMaxExtentSparse => "twoGbMaxExtentSparse",
            Self::TwoGbMaxExtentFlat => "twoGbMaxExtentFlat",
            Self::StreamOptimized => "streamOptimized",
            Self::Vmfs => "vmfs",
        }
    }

    /// What the names of the files beside the descriptor end with, of a disk of so many sectors; none where the
    /// data lie in the image's own file.
    ///
    /// # Errors
    ///
    /// [`Error::SizeLimit`] for more files than their names have digits for.
    pub(crate) fn extents(self, sectors: u64) -> Result<Vec<String>, Error> {
        let letter = match self {
            Self::MonolithicSparse | Self::StreamOptimized => return Ok(Vec::new()),
            Self::MonolithicFlat | Self::Vmfs => return Ok(vec!["flat".to_owned()]),
            Self::TwoGbMaxExtentSparse => 's',
            Self::TwoGbMaxExtentFlat => 'f',
        };
        let count = sectors.div_ceil(SPLIT_SECTORS);
        if count > MAX_EXTENTS {
            let limit = format!("a {self} disk has {MAX_EXTENTS} extents of 2047 MiB at most");
            return Err(Error::SizeLimit { format: Format::Vmdk, size: sectors * SECTOR, limit });
        }
        Ok((1..=count).map(|number| format!("{letter}{number:03}")).collect())
    }

    /// Sectors of an extent at most.
    fn extent_sectors(self) -> u64 {
        match self {
            Self::TwoGbMaxExtentSparse | Self::TwoGbMaxExtentFlat => SPLIT_SECTORS,
            _ => u64::MAX,
        }
    }
}

/// Sectors of an extent of a split disk: 2047 MiB, as VMware and VirtualBox have it.
const SPLIT_SECTORS: u64 = 2047 << 11;
/// Extents of a split disk: their names have three digits.
const MAX_EXTENTS: u64 = 999;

impl fmt::Display for Subformat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Subformat {
    type Err = Error;

    /// Takes the names of [`Subformat::name`], in any case.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Unsupported {
                what: format!("{name:?} is not a VMDK that can be written: expected one of {names}"),
            }
        })
    }
}
