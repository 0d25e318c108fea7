//! Raw: the bytes of the disk and nothing else.

use crate::disk::flat::FlatLayer;
use crate::disk::{Layer, LayerInfo};
use crate::error::Result;
use crate::format::Format;
use crate::storage::ImageFile;

/// Opens a raw disk: any file is one.
pub(crate) fn open(file: ImageFile) -> Result<Box<dyn Layer>> {
    let mut info = LayerInfo::new(Format::Raw, "raw", file.size());
    if !file.size().is_multiple_of(512) {
        info.warn("file", format!("{} bytes are not a whole number of 512-byte sectors", file.size()));
    }
    Ok(Box::new(FlatLayer::new(info, file)))
}
