//! A place in a storage, for programs that read and write as they go.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{ReadAt, WriteAt};

/// A storage with a place from which it is read, or written, on: [`Read`], [`Seek`] and, where it can be written to,
/// [`Write`]. A [`Disk`](crate::Disk), a [`WritableDisk`](crate::WritableDisk) and a [`Window`](crate::disk::Window) are
/// storages, too.
///
/// ```
/// use std::io::{Read, Seek, SeekFrom};
/// use diskport::storage::Cursor;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let mut disk = Cursor::new(diskport::open(image)?);
/// let mut sector = [0; 512];
/// disk.seek(SeekFrom::Start(512)).expect("lies within the disk");
/// disk.read_exact(&mut sector).expect("reads");
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cursor<S> {
    storage: S,
    at: u64,
}

impl<S> Cursor<S> {
    /// At the beginning of `storage`.
    pub fn new(storage: S) -> Self {
        Self { storage, at: 0 }
    }

    /// The storage.
    pub fn get_ref(&self) -> &S {
        &self.storage
    }

    /// The storage, without the place.
    pub fn into_inner(self) -> S {
        self.storage
    }

    /// Where the next byte is read or written.
    pub fn position(&self) -> u64 {
        self.at
    }
}

impl<S: ReadAt> Read for Cursor<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.storage.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<S: ReadAt> Seek for Cursor<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(way) => self.at.checked_add_signed(way),
            SeekFrom::End(way) => self.storage.size()?.checked_add_signed(way),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl<S: WriteAt> Write for Cursor<S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.storage.write_all_at(data, self.at)?;
        self.at += data.len() as u64;
        Ok(data.len())
    }

    /// Makes what was written durable.
    fn flush(&mut self) -> io::Result<()> {
        self.storage.sync()
    }
}
