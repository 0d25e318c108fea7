//! Fixed disks: the bytes of the disk, then the footer.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::ends::Ends;
use super::footer::{self, Found, PIECES};
use super::fresh;
use super::layout::{Footer, SECTOR};
use crate::check::Repairs;
use crate::disk::flat::FlatLayer;
use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Identity, Layer, LayerInfo, Mapping};
use crate::error::{Error, Problem, Result};
use crate::format::Format;
use crate::storage::{FileRole, ImageFile, WritableFile};

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

/// What lies between the disk, of `size` bytes as it is read, and its footer at `at`.
pub(super) fn slack(footer: &Footer, size: u64, at: u64) -> Range<u64> {
    let end = footer.current_size.get().max(size).checked_next_multiple_of(SECTOR);
    end.map_or(at, |end| end.min(at))..at
}

/// Cuts the slack where `repairs` allow it, and takes away the mark that a change of the size has left.
pub(super) fn cut_slack(file: &WritableFile, ends: &mut Ends, size: u64, repairs: Repairs) -> Result<()> {
    let slack = slack(&ends.footer, size, ends.at);
    let marked = ends.footer.mark().is_some();
    if repairs == Repairs::All || marked || footer::is_zeros(&file.image(FileRole::Image)?, &slack)? {
        ends.cut(slack.start)?;
    }
    if marked {
        ends.replace(ends.footer.unmarked())?;
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
        SECTOR
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

    /// The footer is all that says where the disk ends. While it is changed, it bears a mark: what lies beyond the disk
    /// is no one's, also where a cut leaves the footer inside the file.
    fn resize(&self, size: u64) -> Result<()> {
        let (size, old) = (fresh::check_size(size)?, self.info().size);
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let footer = ends.footer.unmarked();
        let at = ends.at;
        if size > old {
            ends.replace(footer.marked(at))?;
            // What lay behind the disk: the footer, and what others may have left.
            let stale = old..size.min(at + SECTOR);
            ends.make_room(size)?;
            self.file.zero(stale)?;
            self.file.sync()?;
        }
        let footer = fresh::resized(&footer, size);
        if ends.at > size {
            ends.replace(footer.marked(size))?;
            ends.cut(size)?;
        }
        ends.replace(footer)
    }

    fn pack(&self) -> Result<()> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        cut_slack(&self.file, &mut ends, self.info().size, Repairs::Lossless)
    }

    fn set_parent(&self, _: &ParentLink<'_>) -> Result<()> {
        Err(Error::NoParent { file: self.file.name().to_owned() })
    }

    fn set_data_id(&self, _: Identity) {}
}
