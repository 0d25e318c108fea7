//! A disk as the storage of another image, or of another layer.

use std::io;

use super::Disk;
use crate::storage::ReadAt;

/// An image that lies on a disk is opened as one that lies in a file.
impl ReadAt for Disk {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.size().saturating_sub(offset).min(buf.len() as u64) as usize;
        Disk::read_at(self, &mut buf[..len], offset).map_err(io::Error::other)?;
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(Disk::size(self))
    }
}
