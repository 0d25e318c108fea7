//! Fixed disks: the bytes of the disk, then the footer.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::footer::{self, Found};
use super::footer_pair::FooterPair;
use super::layout::{Footer, SECTOR};
use super::skeleton;
use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Identity, Layer, LayerInfo, Mapping, Sealed, WarningKind};
use crate::error::{Error, Problem, Result};
use crate::findings::Repairs;
use crate::format::tools::flat::FlatLayer;
use crate::job::Job;
use crate::leaves::Format;
use crate::leaves::Hint;
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
            .advise(Hint::JoinPieces)
            .into());
    }
    let current = found.footer.current_size.get();
    if stored > current.max(info.size) {
        let extra = stored - current.max(info.size);
        let message = format!("{extra} bytes between the disk's end and the footer are no part of the disk");
        info.warn(file, WarningKind::Unused, "data", message);
    }
    Ok(())
}

/// What lies between the disk, of `size` bytes as it is read, and its footer at `at`.
pub(super) fn slack(footer: &Footer, size: u64, at: u64) -> Range<u64> {
    let end = footer.current_size.get().max(size).checked_next_multiple_of(SECTOR);
    end.map_or(at, |end| end.min(at))..at
}

/// Cuts the slack where `repairs` allow it, and takes away the mark that a change of the size has left.
pub(super) fn cut_slack(
    file: &WritableFile,
    footers: &mut FooterPair,
    size: u64,
    repairs: Repairs,
) -> Result<()> {
    let slack = slack(&footers.footer, size, footers.at);
    let marked = footers.footer.mark().is_some();
    if repairs == Repairs::All || marked || footer::is_zeros(&file.image(FileRole::Image)?, &slack)? {
        footers.cut(slack.start)?;
    }
    if marked {
        footers.replace(footers.footer.unmarked())?;
    }
    Ok(())
}

/// A fixed disk that is open for writing. Its writes need no order: only a change of the size moves the footer.
pub(super) struct FixedWriter {
    file: WritableFile,
    layer: FlatLayer,
    footers: Mutex<FooterPair>,
}

impl FixedWriter {
    pub(super) fn new(file: WritableFile, layer: FlatLayer, footers: FooterPair) -> Self {
        Self { file, layer, footers: Mutex::new(footers) }
    }
}

impl Sealed for FixedWriter {}

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

    fn begin_in_place(&self, _: &Range<u64>) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.sync()
    }

    fn close(&self) -> Result<()> {
        self.flush()
    }

    fn check_size(&self, size: u64) -> Result<()> {
        skeleton::check_size(size).map(drop)
    }

    /// The footer is all that says where the disk ends. While it is changed, it bears a mark: what lies beyond the disk
    /// is no one's, also where a cut leaves the footer inside the file.
    fn resize(&self, size: u64, _: &Job) -> Result<()> {
        let (size, old) = (skeleton::check_size(size)?, self.info().size);
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        let footer = footers.footer.unmarked();
        let at = footers.at;
        if size > old {
            footers.replace(footer.marked(at))?;
            // What lay behind the disk: the footer, and what others may have left.
            let stale = old..size.min(at + SECTOR);
            footers.make_room(size)?;
            self.file.zero(stale)?;
            self.file.sync()?;
        }
        let footer = skeleton::resized(&footer, size);
        if footers.at > size {
            footers.replace(footer.marked(size))?;
            footers.cut(size)?;
        }
        footers.replace(footer)
    }

    fn pack(&self, _: &Job) -> Result<()> {
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        cut_slack(&self.file, &mut footers, self.info().size, Repairs::Lossless)
    }

    fn set_parent(&self, _: &ParentLink<'_>) -> Result<()> {
        Err(Error::NoParent { file: self.file.name().to_owned() })
    }

    fn set_data_id(&self, _: Identity) {}
}
