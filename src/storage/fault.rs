//! Storage that fails on purpose, for tests.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{FileIdentity, ReadAt, WriteAt};

/// What happens at the chosen call of a [`FaultyStorage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails with this kind of error.
    Error(io::ErrorKind),
    /// A read gives half of what was asked for (at least one byte); a write fails having written half.
    Short,
}

/// A storage whose N-th call, counted from 1 over reads, writes, size changes and syncs, goes wrong.
///
/// ```
/// use diskport::storage::{Fault, FaultyStorage, MemoryStorage, ReadAt};
/// use std::io;
///
/// let storage = FaultyStorage::new(MemoryStorage::new([1; 16]), 2, Fault::Error(io::ErrorKind::Other));
/// let mut byte = [0];
/// assert!(storage.read_at(&mut byte, 0).is_ok());
/// assert!(storage.read_at(&mut byte, 0).is_err());
/// assert!(storage.read_at(&mut byte, 0).is_ok());
/// ```
#[derive(Debug)]
pub struct FaultyStorage<S> {
    inner: S,
    at: u64,
    fault: Fault,
    calls: AtomicU64,
}

impl<S> FaultyStorage<S> {
    /// Wraps `inner`; the call number `at` goes wrong (0: none).
    pub fn new(inner: S, at: u64, fault: Fault) -> Self {
        Self { inner, at, fault, calls: AtomicU64::new(0) }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The storage inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn next(&self) -> Option<Fault> {
        (self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.at).then_some(self.fault)
    }

    fn refuse(&self) -> io::Result<()> {
        match self.next() {
            None => Ok(()),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Short) => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

impl<S: ReadAt> ReadAt for FaultyStorage<S> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.next() {
            None => self.inner.read_at(buf, offset),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Short) => {
                let half = buf.len().div_ceil(2);
                self.inner.read_at(&mut buf[..half], offset)
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset)
    }

    fn allocated(&self) -> Option<u64> {
        self.inner.allocated()
    }

    fn identity(&self) -> Option<FileIdentity> {
        self.inner.identity()
    }
}

impl<S: WriteAt> WriteAt for FaultyStorage<S> {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        match self.next() {
            None => self.inner.write_all_at(data, offset),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Short) => {
                self.inner.write_all_at(&data[..data.len() / 2], offset)?;
                Err(io::ErrorKind::WriteZero.into())
            }
        }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.refuse()?;
        self.inner.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.refuse()?;
        self.inner.sync()
    }
}
