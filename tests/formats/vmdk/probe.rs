//! A storage that counts its calls.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::storage::{ReadAt, WriteAt};

use crate::support::Shared;

/// Bytes in memory, and how often they were read; a clone is the same bytes.
#[derive(Clone)]
pub struct Probe {
    pub bytes: Shared,
    reads: Arc<AtomicU64>,
}

impl Probe {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: Shared::new(bytes), reads: Arc::default() }
    }

    /// How often `work` reads.
    pub fn reads<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let before = self.reads.load(Ordering::Relaxed);
        let result = work();
        (result, self.reads.load(Ordering::Relaxed) - before)
    }
}

impl ReadAt for Probe {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }
}

impl WriteAt for Probe {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.bytes.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.bytes.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.bytes.sync()
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.bytes.punch_hole(range)
    }
}
