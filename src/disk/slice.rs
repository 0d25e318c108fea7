//! A range of a disk as a disk of its own: a partition, above all.

use std::ops::RangeBounds;
use std::sync::Arc;

use super::layer::{Layer, LayerInfo, Mapping, Sealed};
use super::{Disk, WritableDisk};
use crate::error::{Error, Result};
use crate::storage::ImageFile;

impl Disk {
    /// A range of this disk as a disk of its own, which is only read: its extents are those of this disk, so that it stays sparse
    /// and nothing is copied. What passes the end of this disk is cut off.
    ///
    /// ```
    /// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
    /// let disk = diskport::open(image)?;
    /// let volume = disk.slice(64 << 10..);
    /// let mut boot_sector = [0; 512];
    /// volume.read_at(&mut boot_sector, 0)?;
    /// # Ok::<(), diskport::Error>(())
    /// ```
    pub fn slice(&self, range: impl RangeBounds<u64>) -> Disk {
        let range = self.clip(range);
        let slice = |layer: &Arc<dyn Layer>| -> Arc<dyn Layer> {
            let mut info = layer.info().clone();
            // Of a parent that is smaller than its child nothing may be left.
            info.size = info.size.min(range.end).saturating_sub(range.start);
            Arc::new(Slice { layer: layer.clone(), info, start: range.start })
        };
        let layers = self.inner.layers.iter().map(slice).collect();
        Self::build(
            layers,
            range.end - range.start,
            self.inner.incomplete.clone(),
            self.inner.warnings.clone(),
        )
    }
}

/// A range of a layer.
struct Slice {
    layer: Arc<dyn Layer>,
    info: LayerInfo,
    start: u64,
}

impl Sealed for Slice {}

impl Layer for Slice {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        self.layer.files()
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        self.layer.map(self.start + offset, limit.min(self.info.size - offset))
    }

    fn is_image(&self) -> bool {
        false
    }
}

/// A range of a disk that is open for writing: a partition, above all; see [`WritableDisk::window`].
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    disk: &'a WritableDisk,
    start: u64,
    size: u64,
}

impl WritableDisk {
    /// The range from `start` on of `size` bytes, for reading and writing. Nothing beyond it can be reached through it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when it passes the end of the disk.
    pub fn window(&self, start: u64, size: u64) -> Result<Window<'_>> {
        check(start, size, self.size())?;
        Ok(Window { disk: self, start, size })
    }
}

impl Window<'_> {
    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// As [`WritableDisk::read_at`].
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check(offset, buf.len() as u64, self.size)?;
        self.disk.read_at(buf, self.start + offset)
    }

    /// Writes `data` at `offset`.
    ///
    /// # Errors
    ///
    /// As [`WritableDisk::write_at`].
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check(offset, data.len() as u64, self.size)?;
        self.disk.write_at(data, self.start + offset)
    }

    /// Makes everything written to the disk durable.
    ///
    /// # Errors
    ///
    /// As [`WritableDisk::flush`].
    pub fn flush(&self) -> Result<()> {
        self.disk.flush()
    }

    /// Makes `len` bytes from `offset` on read as zeros.
    ///
    /// # Errors
    ///
    /// As [`WritableDisk::write_zeroes`].
    pub fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        check(offset, len, self.size)?;
        self.disk.write_zeroes(self.start + offset, len)
    }
}

fn check(offset: u64, len: u64, size: u64) -> Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::OutOfRange { offset, len, size }),
    }
}
