//! A disk as the storage of another image, or of another layer; and for whatever else reads and writes storages.

use std::io;
use std::ops::Range;

use super::view::Shown;
use super::{Disk, Window, WritableDisk};
use crate::storage::{ReadAt, WriteAt};

/// The part of `len` bytes at `offset` that a storage of `size` bytes has.
fn within(size: u64, len: usize, offset: u64) -> usize {
    size.saturating_sub(offset).min(len as u64) as usize
}

macro_rules! reads {
    ($($disk:ty),+) => {$(
        impl ReadAt for $disk {
            fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
                let len = within(Self::size(self), buf.len(), offset);
                Self::read_at(self, &mut buf[..len], offset)?;
                Ok(len)
            }

            fn size(&self) -> io::Result<u64> {
                Ok(Self::size(self))
            }
        }
    )+};
}
reads!(Disk, Shown, WritableDisk, Window<'_>);

/// A disk keeps its size: what would pass its end is refused.
macro_rules! writes {
    ($($disk:ty),+) => {$(
        impl WriteAt for $disk {
            fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
                Ok(Self::write_at(self, data, offset)?)
            }

            fn set_size(&self, size: u64) -> io::Result<()> {
                if size == Self::size(self) { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
            }

            fn sync(&self) -> io::Result<()> {
                Ok(Self::flush(self)?)
            }

            fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
                Ok(Self::write_zeroes(self, range.start, range.end.saturating_sub(range.start))?)
            }
        }
    )+};
}
writes!(WritableDisk, Window<'_>);
