//! A storage that counts the bytes that are read of it.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::storage::{FileStorage, ReadAt};
use diskport::{Disk, Format, Open};

use crate::common::tools::Trouble;

struct Counting(FileStorage, Arc<AtomicU64>);

impl ReadAt for Counting {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buf, offset)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.0.next_data(offset)
    }
}

/// A raw disk, and how many bytes were read of it.
pub fn disk(path: &Path) -> Result<(Disk, impl Fn() -> u64 + use<>), Trouble> {
    let count = Arc::new(AtomicU64::new(0));
    let disk = Open::new().format(Format::Raw).open(Counting(FileStorage::open(path)?, count.clone()))?;
    let before = count.load(Ordering::Relaxed);
    Ok((disk, move || count.load(Ordering::Relaxed) - before))
}
