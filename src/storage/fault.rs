//! Storage that fails on purpose, for tests.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::forward::forward_facts;
use super::{FileIdentity, Fingerprint, ReadAt, WriteAt};

/// What happens at the chosen calls of a [`FaultyStorage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails with this kind of error.
    Error(io::ErrorKind),
    /// A read gives half of what was asked for (at least one byte); a write fails having written about half, up to the end of
    /// a sector of 512 bytes.
    Short,
    /// A call that would make the storage larger fails with [`io::ErrorKind::StorageFull`]; others are not hindered.
    Full,
}

/// Which calls go wrong, counted from 1 over the reads, writes, size changes and syncs of all storages that share it.
#[derive(Debug)]
pub struct Faults {
    first: u64,
    last: u64,
    fault: Fault,
    calls: AtomicU64,
}

impl Faults {
    /// The call number `at` goes wrong, and no other.
    pub fn once(at: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self { first: at, last: at, fault, calls: AtomicU64::new(0) })
    }

    /// The call number `first` goes wrong, and every one after it.
    pub fn lasting(first: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self { first, last: u64::MAX, fault, calls: AtomicU64::new(0) })
    }

    /// No call goes wrong.
    pub fn none() -> Arc<Self> {
        Self::once(0, Fault::Short)
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn next(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        (self.first <= call && call <= self.last).then_some(self.fault)
    }
}

/// A storage of which some calls go wrong. A clone of it shares the count of calls.
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
#[derive(Debug, Clone)]
pub struct FaultyStorage<S> {
    inner: S,
    faults: Arc<Faults>,
}

impl<S> FaultyStorage<S> {
    /// Wraps `inner`; the call number `at` goes wrong (0: none).
    pub fn new(inner: S, at: u64, fault: Fault) -> Self {
        Self::with(inner, Faults::once(at, fault))
    }

    /// Wraps `inner`, whose calls are counted with those of the other storages that share `faults`.
    pub fn with(inner: S, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.faults.calls()
    }

    /// The storage inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: ReadAt> FaultyStorage<S> {
    /// Lets a call pass that is no read and ends at `end`, or says how it fails.
    fn pass(&self, end: u64) -> io::Result<()> {
        match self.faults.next() {
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Short) => Err(io::ErrorKind::WriteZero.into()),
            Some(Fault::Full) if end > self.inner.size()? => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Full) | None => Ok(()),
        }
    }
}

impl<S: ReadAt> ReadAt for FaultyStorage<S> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.faults.next() {
            Some(Fault::Full) | None => self.inner.read_at(buf, offset),
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

    forward_facts!(self => self.inner);
}

impl<S: WriteAt> WriteAt for FaultyStorage<S> {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let passed = self.pass(offset.saturating_add(data.len() as u64));
        if passed.is_ok() {
            return self.inner.write_all_at(data, offset);
        }
        if self.faults.fault == Fault::Short {
            let half = (offset.saturating_add(data.len() as u64 / 2) / 512 * 512).saturating_sub(offset);
            self.inner.write_all_at(&data[..half as usize], offset)?;
        }
        passed
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.pass(size)?;
        self.inner.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.pass(0)?;
        self.inner.sync()
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.pass(0)?;
        self.inner.punch_hole(range)
    }
}
