//! Writing VMDKs, from front to back.

mod descriptor;
mod flat;
mod sparse;
mod stream;

use std::fmt;
use std::str::FromStr;

pub(crate) use descriptor::{Descriptor, NAMELESS, Parent, UNQUOTABLE};
pub(crate) use flat::Flat;
pub(super) use sparse::GRAIN;
pub(crate) use sparse::Sparse;
pub(crate) use stream::Stream;

use crate::error::Error;

/// The kinds of VMDK that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subformat {
    /// One file with grains, for VMware Workstation, VirtualBox and QEMU.
    MonolithicSparse,
    /// A descriptor and a flat extent, for VMware Workstation.
    MonolithicFlat,
    /// One file of compressed grains, written and read in one pass: what vSphere imports.
    StreamOptimized,
    /// A descriptor and a flat extent as they lie on an ESXi datastore.
    Vmfs,
}

impl Subformat {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::MonolithicSparse, Self::MonolithicFlat, Self::StreamOptimized, Self::Vmfs];

    /// The name, as in a descriptor's `createType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::MonolithicFlat => "monolithicFlat",
            Self::StreamOptimized => "streamOptimized",
            Self::Vmfs => "vmfs",
        }
    }

    /// Whether the data lie in a file of their own, beside the descriptor.
    pub(crate) fn is_flat(self) -> bool {
        matches!(self, Self::MonolithicFlat | Self::Vmfs)
    }
}

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
