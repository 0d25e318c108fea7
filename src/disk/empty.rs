//! A disk of zeros that no file holds.

use std::sync::Arc;

use super::Disk;
use super::layer::{Layer, LayerInfo, Mapping, Sealed};
use crate::error::Result;
use crate::leaves::Format;
use crate::storage::ImageFile;

struct Empty {
    info: LayerInfo,
}

impl Disk {
    /// A disk of `size` bytes of zeros with logical sectors of `sector_size` bytes: what a new image is copied from. Sectors have
    /// 512 or 4096 bytes; of another number, the larger of the two that it holds is taken, or 512.
    ///
    /// ```
    /// use diskport::copy::{Convert, OutputFormat};
    /// use diskport::format::Allocation;
    /// use diskport::{Disk, GIB};
    ///
    /// # let folder = std::env::temp_dir().join(format!("diskport-empty-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).expect("a folder");
    /// # let path = folder.join("new.vhdx");
    /// let blank = Disk::empty(64 * GIB, 512);
    /// Convert::new(&blank).to(OutputFormat::Vhdx(Allocation::Dynamic)).create(&path)?;
    /// assert_eq!(diskport::open(&path)?.size(), 64 * GIB);
    /// # std::fs::remove_dir_all(folder).expect("goes away");
    /// # Ok::<(), diskport::Error>(())
    /// ```
    pub fn empty(size: u64, sector_size: u32) -> Self {
        let mut info = LayerInfo::new(Format::Raw, "raw", size);
        let sector_size = if sector_size < 4096 { 512 } else { 4096 };
        info.logical_sector_size = sector_size;
        info.physical_sector_size = sector_size;
        Self::new(vec![Arc::new(Empty { info })], None, Vec::new())
    }
}

impl Sealed for Empty {}

impl Layer for Empty {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &[]
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        Ok(Mapping::absent(limit.min(self.info.size - offset)))
    }
}
