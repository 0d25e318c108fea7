//! Opening a VHDX file as one layer.

use super::bat::Bat;
use super::contents::{Contents, Replayed};
use super::header::{self, Current};
use super::metadata::Metadata;
use crate::disk::{Identity, Layer, LayerInfo, Mapping, Sealed, WarningKind};
use crate::error::{Error, Result};
use crate::format::tools::context::OpenContext;
use crate::leaves::Format;
use crate::storage::ImageFile;

/// A VHDX file.
struct Vhdx {
    info: LayerInfo,
    /// The file, with its log laid over it.
    files: [ImageFile; 1],
    bat: Bat,
}

/// Whether `file` bears the signature of a VHDX file.
pub(crate) fn probe(file: &ImageFile) -> Result<bool> {
    let mut signature = [0; header::SIGNATURE.len()];
    if file.size() < signature.len() as u64 {
        return Ok(false);
    }
    file.read_exact_at(&mut signature, 0)?;
    Ok(&signature == header::SIGNATURE)
}

/// Opens a VHDX file.
pub(crate) fn open(file: ImageFile, context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    let salvage = context.choices.salvage;
    let creator = header::creator(&file)?;
    let mut lost_log = None;
    let replayed = match Replayed::read(&file) {
        Err(Error::Defect(defect)) if salvage => {
            lost_log =
                Some(format!("the log is not replayed, so that any part may be out of date: {defect}"));
            Replayed::without_log(&file)?
        }
        replayed => replayed?,
    };
    let mut warnings = Vec::new();
    let Replayed { current, file, log, replay } = replayed;
    if let Some(bad) = current.damaged {
        let message = format!("the copy at {bad} is damaged; the one at {} was used", current.offset);
        warnings.push((WarningKind::DamagedCopy, "header", message));
    }
    if let Err(e) = &log {
        warnings.push((WarningKind::Irregular, "log", format!("empty, so not looked at: {e}")));
    }
    if let Some(replay) = &replay {
        let entries = replay.entries;
        let message = format!("not closed cleanly: {entries} entries were replayed in memory");
        warnings.push((WarningKind::Unclean, "log", message));
        if replay.newer_ignored {
            let message =
                "newer entries that do not make up a whole sequence were left out, as the format says";
            warnings.push((WarningKind::Unused, "log", message.to_owned()));
        }
    }
    let Contents { regions, metadata, mut bat } = Contents::read(&file, log.ok())?;
    bat.reads_cut_blocks = salvage;
    if let Some(bad) = regions.damaged {
        let message = format!("the copy at {bad} is damaged; the other one was used");
        warnings.push((WarningKind::DamagedCopy, "region table", message));
    }
    for what in &metadata.odd_locator {
        warnings.push((WarningKind::Unused, "parent locator", what.clone()));
    }
    let mut info = info(&current, metadata, creator);
    info.dirty_log = replay.is_some() || lost_log.is_some();
    info.unplaced_loss = lost_log;
    for (kind, structure, message) in warnings {
        info.warn(&file, kind, structure, message);
    }
    Ok(Box::new(Vhdx { info, files: [file], bat }))
}

/// What the file says of itself.
pub(super) fn info(current: &Current, metadata: Metadata, creator: Option<String>) -> LayerInfo {
    let subformat = match (&metadata.parent, metadata.leave_blocks_allocated) {
        (Some(_), _) => "differencing",
        (None, true) => "fixed",
        (None, false) => "dynamic",
    };
    let mut info = LayerInfo::new(Format::Vhdx, subformat, metadata.size);
    info.logical_sector_size = metadata.logical_sector_size;
    info.physical_sector_size = metadata.physical_sector_size;
    info.block_size = Some(metadata.block_size);
    info.id = Some(Identity::Uuid(metadata.virtual_disk_id));
    info.data_id = Some(Identity::Uuid(current.data_write_guid()));
    info.creator = creator;
    info.parent = metadata.parent;
    info
}

impl Sealed for Vhdx {}

impl Layer for Vhdx {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        self.bat.map(&self.files[0], offset, limit)
    }
}
