//! Microsoft Virtual Hard Disk, version 1.

use super::OpenContext;
use crate::disk::Layer;
use crate::error::Result;
use crate::storage::ImageFile;

/// Which field gives the size of a VHD whose footer disagrees with itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SizeField {
    /// The current size: it never loses sectors.
    #[default]
    Current,
    /// The product of cylinders, heads and sectors, as Virtual PC took it.
    Chs,
}

pub(crate) fn probe(_file: &ImageFile) -> Result<bool> {
    Ok(false)
}

pub(crate) fn open(_file: ImageFile, _context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    unimplemented!()
}
