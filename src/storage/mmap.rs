//! Storage over a memory-mapped file. The one file of the crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

use super::ReadAt;

/// A file mapped into memory, read-only.
///
/// Reading is a copy from the mapping. On this crate's work it gains at most 15 % over [`super::FileStorage`],
/// and a file that is cut while it is mapped ends the process with `SIGBUS`.
#[derive(Debug)]
pub struct MmapStorage {
    map: Mmap,
}

impl MmapStorage {
    /// Maps the file at `path`.
    ///
    /// # Safety
    ///
    /// For as long as the storage lives, no process may write to the file or cut it.
    pub unsafe fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the caller promises that nobody changes the file.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }
}

impl ReadAt for MmapStorage {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(rest) = usize::try_from(offset).ok().and_then(|at| self.map.get(at..)) else { return Ok(0) };
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.map.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_file_holds() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("disk.raw");
        std::fs::write(&path, [[1; 512], [2; 512]].concat()).expect("writes");
        // SAFETY: nobody else knows the file.
        let map = unsafe { MmapStorage::open(&path) }.expect("maps");
        let mut bytes = [0; 100];
        assert_eq!(map.read_at(&mut bytes, 500).expect("reads"), 100);
        assert_eq!((bytes[11], bytes[12]), (1, 2));
        assert_eq!(map.read_at(&mut bytes, 1000).expect("reads"), 24);
        assert_eq!(map.read_at(&mut bytes, u64::MAX).expect("reads"), 0);
        assert_eq!(map.size().expect("has one"), 1024);
    }
}
