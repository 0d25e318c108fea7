//! Fixed disks: the bytes of the disk, then the footer.

use super::footer::{Found, PIECES};
use crate::disk::flat::FlatLayer;
use crate::disk::{Layer, LayerInfo};
use crate::error::{Problem, Result};
use crate::format::Format;
use crate::storage::ImageFile;

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
    Ok(Box::new(FlatLayer::new(info, file)))
}
