//! Raw: the bytes of the disk and nothing else.

mod stream;

pub use stream::RawStream;

use std::ops::Range;

use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Identity, Layer, LayerInfo, Mapping, Sealed, WarningKind};
use crate::error::{Error, Result};
use crate::format::tools::flat::FlatLayer;
use crate::job::Job;
use crate::leaves::Format;
use crate::storage::{FileRole, ImageFile, WritableFile};

/// Opens a raw disk: any file is one.
pub(crate) fn open(file: ImageFile) -> Result<Box<dyn Layer>> {
    layer(file).map(|layer| Box::new(layer) as _)
}

fn layer(file: ImageFile) -> Result<FlatLayer> {
    let mut info = LayerInfo::new(Format::Raw, "raw", file.size());
    if !file.size().is_multiple_of(512) {
        let message = format!("{} bytes are not a whole number of 512-byte sectors", file.size());
        info.warn(&file, WarningKind::Irregular, "file", message);
    }
    Ok(FlatLayer::new(info, file))
}

/// Opens a raw disk for writing.
pub(crate) fn open_writable(file: WritableFile) -> Result<Box<dyn WriteLayer>> {
    let layer = layer(file.image(FileRole::Image)?)?;
    Ok(Box::new(Raw { layer, file }))
}

/// A raw disk that is open for writing. Its writes need no order: there is nothing but content.
struct Raw {
    layer: FlatLayer,
    file: WritableFile,
}

impl Sealed for Raw {}

impl Layer for Raw {
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

impl WriteLayer for Raw {
    fn granularity(&self) -> u64 {
        1
    }

    fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        self.file.zero(offset..offset + len)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.write_zeroes(offset, len)
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

    fn check_size(&self, _: u64) -> Result<()> {
        Ok(())
    }

    fn resize(&self, size: u64, _: &Job) -> Result<()> {
        self.file.set_size(size)
    }

    fn pack(&self, _: &Job) -> Result<()> {
        Ok(())
    }

    fn set_parent(&self, _: &ParentLink<'_>) -> Result<()> {
        Err(Error::NoParent { file: self.file.name().to_owned() })
    }

    fn set_data_id(&self, _: Identity) {}
}
