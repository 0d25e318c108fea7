//! The bytes of a disk as they are, from the file's first on: a raw disk, a fixed VHD, a flat extent.

use crate::disk::{FileIndex, Layer, LayerInfo, Mapping, Sealed};
use crate::error::Result;
use crate::storage::ImageFile;

/// An image whose bytes lie in one file as they are.
pub(crate) struct FlatLayer {
    info: LayerInfo,
    files: [ImageFile; 1],
}

impl FlatLayer {
    /// The caller has checked that the file is as long as the disk.
    pub(crate) fn new(info: LayerInfo, file: ImageFile) -> Self {
        Self { info, files: [file] }
    }
}

impl Sealed for FlatLayer {}

impl Layer for FlatLayer {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        Ok(Mapping::stored(limit.min(self.info.size - offset), FileIndex(0), offset))
    }
}
