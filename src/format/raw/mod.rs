//! Raw: the bytes of the disk and nothing else.

use crate::disk::{FileIndex, Layer, LayerInfo, Mapping};
use crate::error::Result;
use crate::format::Format;
use crate::storage::ImageFile;

struct Raw {
    info: LayerInfo,
    files: [ImageFile; 1],
}

/// Opens a raw disk: any file is one.
pub(crate) fn open(file: ImageFile) -> Result<Box<dyn Layer>> {
    let mut info = LayerInfo::new(Format::Raw, "raw", file.size());
    if !file.size().is_multiple_of(512) {
        info.warn("file", format!("{} bytes are not a whole number of 512-byte sectors", file.size()));
    }
    Ok(Box::new(Raw { info, files: [file] }))
}

impl Layer for Raw {
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
