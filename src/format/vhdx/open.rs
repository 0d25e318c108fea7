//! Opening a VHDX file as one layer.

use super::bat::Bat;
use super::log::{self, Log};
use super::{header, metadata, region, replay};
use crate::disk::{Identity, Layer, LayerInfo, Mapping};
use crate::error::Result;
use crate::format::Format;
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

/// Opens a VHDX file: headers, log, regions, metadata, BAT, in this order, since each says where the next is.
pub(crate) fn open(file: ImageFile) -> Result<Box<dyn Layer>> {
    let creator = header::creator(&file)?;
    let current = header::current(&file)?;
    let mut warnings = Vec::new();
    if let Some(warning) = &current.warning {
        warnings.push(("header", warning.clone()));
    }
    let dirty_log = !current.log_guid.is_nil();
    let place = log::place(&file, &current);
    let (file, place) = if dirty_log {
        let log = Log::new(&file, place?, current.log_guid)?;
        let sequence = log.active()?;
        let entries = sequence.entries.len();
        warnings.push(("log", format!("not closed cleanly: {entries} entries were replayed in memory")));
        if sequence.newer_ignored {
            let message =
                "newer entries that do not make up a whole sequence were left out, as the format says";
            warnings.push(("log", message.to_owned()));
        }
        (replay::replay(&log, &sequence)?, Some(log.place))
    } else {
        if let Err(e) = &place {
            warnings.push(("log", format!("empty, so not looked at: {e}")));
        }
        (file, place.ok())
    };
    let regions = region::read(&file, place)?;
    if let Some(warning) = regions.warning {
        warnings.push(("region table", warning));
    }
    let metadata = metadata::read(&file, &regions.metadata)?;
    if let Some(warning) = metadata.warning {
        warnings.push(("metadata", warning.to_owned()));
    }
    let bat = Bat::new(&file, &regions.bat, &metadata, regions.reserved)?;

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
    info.data_id = Some(Identity::Uuid(current.data_write_guid));
    info.creator = creator;
    info.parent = metadata.parent;
    info.dirty_log = dirty_log;
    for (structure, message) in warnings {
        info.warn(structure, message);
    }
    Ok(Box::new(Vhdx { info, files: [file], bat }))
}

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
