//! A storage that the test and the disk hold together.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use diskport::storage::{MemoryStorage, ReadAt, WriteAt};

/// Bytes in memory; a clone is the same bytes.
#[derive(Clone, Default)]
pub struct Shared(Arc<MemoryStorage>);

impl Shared {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(MemoryStorage::new(bytes)))
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl ReadAt for Shared {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

impl WriteAt for Shared {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.0.punch_hole(range)
    }
}
