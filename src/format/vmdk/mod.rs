//! VMware Virtual Machine Disk.

pub(crate) mod create;
pub(crate) mod layout;

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

pub(crate) fn probe(_file: &ImageFile) -> Result<bool> {
    Ok(false)
}

pub(crate) fn open(_file: ImageFile, _context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    unimplemented!()
}
