//! Fixed disks: the bytes of the disk, then the footer.

use std::sync::{Mutex, PoisonError};

use super::ends::Ends;
use super::footer::{Found, PIECES};
use super::fresh;
use super::layout::SECTOR;
use crate::disk::flat::FlatLayer;
use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Identity, Layer, LayerInfo, Mapping};
use crate::error::{Error, Problem, Result};
use crate::format::Format;
use crate::storage::{ImageFile, WritableFile};

pub(super) fn open(file: ImageFile, found: &Found, mut info: LayerInfo) -> Result<FlatLayer> {
    check(&file, found, &mut info)?;
    Ok(FlatLayer::new(info, file))
}

/// That the disk is all there.
pub(super) fn check(file: &ImageFile, found: &Found, info: &mut LayerInfo) -> Result<()> {
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
    Ok(())
}

/// A fixed disk that is open for writing. Its writes need no order: only a change of the size moves the footer.
pub(super) struct FixedWriter {
    file: WritableFile,
    layer: FlatLayer,
    ends: Mutex<Ends>,
}

impl FixedWriter {
    pub(super) fn new(file: WritableFile, layer: FlatLayer, ends: Ends) -> Self {
        Self { file, layer, ends: Mutex::new(ends) }
    }
}

impl Layer for FixedWriter {
    fn info(&self) -> &LayerInfo {
        self.layer.info()
    }

    fn files(&self) -> &[ImageFile] {
        self.layer.files()
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        self.layer.map(offset, limit)
    }
}

impl WriteLayer for FixedWriter {
    fn granularity(&self) -> u64 {
        1
    }

    fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        self.file.zero(offset..offset + len)
    }

    fn discard(&self, _: u64, _: u64) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.sync()
    }

    fn close(&self) -> Result<()> {
        self.flush()
    }

    /// The footer is all that says where the disk ends: what lies between the two sizes is no part of the disk
    /// while it is brought in order.
    fn resize(&self, size: u64) -> Result<()> {
        let (size, old) = (fresh::check_size(size)?, self.info().size);
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let footer = fresh::resized(&ends.footer, size);
        if size > old {
            // What lay behind the disk: the footer, and what others may have left.
            let stale = old..size.min(ends.at + SECTOR);
            ends.make_room(size)?;
            self.file.zero(stale)?;
            self.file.sync()?;
        }
        ends.replace(footer)?;
        ends.cut(size)
    }

    fn pack(&self) -> Result<()> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.info().size.max(ends.footer.current_size.get());
        ends.cut(end.next_multiple_of(SECTOR))
    }

    fn set_parent(&self, _: &ParentLink<'_>) -> Result<()> {
        let what = format!("{}: a fixed VHD has no parent", self.file.name());
        Err(Error::Unsupported { what })
    }

    fn set_data_id(&self, _: Identity) {}
}
