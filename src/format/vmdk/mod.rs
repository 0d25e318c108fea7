//! VMware Virtual Machine Disk.
//!
//! A disk is a text descriptor and its extents. The descriptor is a file of its own (monolithicFlat, twoGbMaxExtent…,
//! vmfs, vmfsSparse, seSparse) or lies in the only extent (monolithicSparse, streamOptimized).

mod capacity;
mod cowd;
pub(crate) mod create;
mod ddb;
mod descriptor;
mod extent_line;
mod extents;
mod footer;
mod grain_map;
mod grain_table;
mod hosted;
pub(crate) mod layout;
mod open;
mod packed;
mod sesparse;
mod stream;

pub use stream::StreamReader;

pub use create::Subformat;

use super::OpenContext;
use crate::disk::Layer;
use crate::error::Result;
use crate::storage::ImageFile;

/// Which grain table is read where the two copies differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GrainTables {
    /// Neither: reading such a grain is refused.
    #[default]
    MustAgree,
    /// The primary table, as qemu and 7-Zip do.
    Primary,
    /// The redundant table.
    Redundant,
}

pub(crate) fn probe(file: &ImageFile) -> Result<bool> {
    open::probe(file)
}

pub(crate) fn open(file: ImageFile, context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    open::open(file, context)
}
