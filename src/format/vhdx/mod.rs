//! Microsoft Virtual Hard Disk, version 2.

use crate::disk::Layer;
use crate::error::Result;
use crate::storage::ImageFile;

pub(crate) fn probe(_file: &ImageFile) -> Result<bool> {
    Ok(false)
}

pub(crate) fn open(_file: ImageFile) -> Result<Box<dyn Layer>> {
    unimplemented!()
}
