//! A copy onto a block device: it has no temporary name, and keeps its size.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{Convert, OutputFormat, Report};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaves::Shown;
use crate::storage::{Overwrite, ReadAt, WritableFile, WriteAt, is_device_at};

impl Convert {
    /// Writes `disk` onto the block device at `path`; `None` when there is none.
    pub(super) fn write_device(&self, disk: &Disk, path: &Path) -> Result<Option<Report>> {
        if !is_device_at(path) {
            return Ok(None);
        }
        let name = path.shown();
        if self.overwrite == Overwrite::No {
            return Err(Error::OutputExists { path: name });
        }
        if self.format != OutputFormat::Raw {
            let what = format!("{name}: a block device takes a raw disk, and no {}", self.format);
            return Err(Error::Unsupported { what });
        }
        #[cfg(feature = "digest")]
        if self.resumable {
            let what = format!(
                "{name}: a copy onto a block device cannot be gone on with; update writes what differs"
            );
            return Err(Error::Unsupported { what });
        }
        let device = WritableFile::open(path)?;
        let (needed, given) = (disk.size(), device.size()?);
        if given < needed {
            return Err(Error::OutputTooSmall { needed, given });
        }
        // What the copy leaves out, since it is zeros, must not be what was there.
        device.zero(0..needed)?;
        let begin = Begin { device: device.storage().clone(), size: needed };
        self.write_into(Arc::new(begin), &name).map(Some)
    }
}

/// The begin of a device, as large as the disk that is written there.
struct Begin {
    device: Arc<dyn WriteAt>,
    size: u64,
}

impl ReadAt for Begin {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.size.saturating_sub(offset).min(buf.len() as u64);
        self.device.read_at(&mut buf[..len as usize], offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

impl WriteAt for Begin {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.device.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        if size == self.size { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.device.sync()
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.device.punch_hole(range)
    }
}
