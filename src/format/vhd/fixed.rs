//! Fixed disks: the bytes of the disk, then the footer.

use super::footer::{Found, PIECES};
use crate::disk::{FileIndex, Layer, LayerInfo, Mapping};
use crate::error::{Problem, Result};
use crate::format::Format;
use crate::storage::ImageFile;

struct Fixed {
    info: LayerInfo,
    files: [ImageFile; 1],
}

pub(super) fn open(file: ImageFile, found: &Found, mut info: LayerInfo) -> Result<Box<dyn Layer>> {
    let stored = found.data_end;
    if stored < info.size {
        let expected = format!("{} bytes of data before the footer", info.size);
        let bytes = format!("{stored} bytes");
        return Err(file
            .defect_box(Format::Vhd, Problem::Truncated, "data", 0, expected, bytes)
            .advise(PIECES)
            .into());
    }
    let current = found.footer.current_size.get();
    if stored > current.max(info.size) {
        let extra = stored - current.max(info.size);
        info.warn(
            "data",
            format!("{extra} bytes between the disk's end and the footer are no part of the disk"),
        );
    }
    Ok(Box::new(Fixed { info, files: [file] }))
}

impl Layer for Fixed {
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
