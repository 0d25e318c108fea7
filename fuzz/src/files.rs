//! Files that are mostly zeros, and a resolver that hands them out.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diskport::Result;
use diskport::storage::{ImageFile, ReadAt, Reference, Resolver};

use crate::SECTOR;

/// A file of which only some sectors are not zeros, perhaps over another file.
#[derive(Clone, Default)]
pub struct Sparse {
    len: u64,
    base: &'static [u8],
    sectors: BTreeMap<u32, [u8; SECTOR]>,
}

impl Sparse {
    /// The bytes of `base` where no sector is put.
    pub fn over(base: &'static [u8]) -> Self {
        Self { len: base.len() as u64, base, sectors: BTreeMap::new() }
    }

    /// A file that holds this text.
    pub fn text(text: &str) -> Self {
        let mut file = Self { len: text.len() as u64, ..Self::default() };
        file.set(0, text.as_bytes());
        file
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn set_len(&mut self, len: u64) {
        self.len = len;
    }

    pub fn put(&mut self, sector: u32, bytes: [u8; SECTOR]) {
        self.sectors.insert(sector, bytes);
    }

    pub fn sectors(&self) -> impl Iterator<Item = (u32, &[u8; SECTOR])> {
        self.sectors.iter().map(|(&sector, bytes)| (sector, bytes))
    }

    fn sector(&self, sector: u64) -> [u8; SECTOR] {
        if let Some(bytes) = u32::try_from(sector).ok().and_then(|sector| self.sectors.get(&sector)) {
            return *bytes;
        }
        let mut bytes = [0; SECTOR];
        let base =
            usize::try_from(sector).ok().and_then(|sector| self.base.get(sector.checked_mul(SECTOR)?..));
        if let Some(base) = base {
            let n = base.len().min(SECTOR);
            bytes[..n].copy_from_slice(&base[..n]);
        }
        bytes
    }

    /// The bytes of a range, whatever the file's length is.
    pub fn get(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.copy_to(&mut bytes, offset);
        bytes
    }

    /// Writes within the first 2 TiB.
    pub fn set(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (sector, skip) = (at / SECTOR as u64, at as usize % SECTOR);
            let n = (SECTOR - skip).min(bytes.len() - done);
            let mut content = self.sector(sector);
            content[skip..skip + n].copy_from_slice(&bytes[done..done + n]);
            self.put(sector as u32, content);
            done += n;
        }
    }

    fn copy_to(&self, buf: &mut [u8], offset: u64) {
        let end = offset.saturating_add(buf.len() as u64);
        let base = usize::try_from(offset).ok().and_then(|at| self.base.get(at..)).unwrap_or_default();
        let n = base.len().min(buf.len());
        buf[..n].copy_from_slice(&base[..n]);
        buf[n..].fill(0);
        let sectors = offset / SECTOR as u64..end.div_ceil(SECTOR as u64);
        let Ok(first) = u32::try_from(sectors.start) else { return };
        let last = u32::try_from(sectors.end).unwrap_or(u32::MAX);
        for (&sector, bytes) in self.sectors.range(first..last) {
            let at = u64::from(sector) * SECTOR as u64;
            let Range { start, end } = at.max(offset)..(at + SECTOR as u64).min(end);
            let bytes = &bytes[(start - at) as usize..(end - at) as usize];
            buf[(start - offset) as usize..(end - offset) as usize].copy_from_slice(bytes);
        }
    }
}

impl ReadAt for Sparse {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        self.copy_to(&mut buf[..n], offset);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

/// Hands out files in the order in which images ask for others, whatever their names are.
pub struct HandOut {
    files: Vec<Arc<Sparse>>,
    next: AtomicUsize,
}

impl HandOut {
    pub fn new(files: impl IntoIterator<Item = Sparse>) -> Self {
        Self { files: files.into_iter().map(Arc::new).collect(), next: AtomicUsize::new(0) }
    }
}

impl Resolver for HandOut {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(file) = self.files.get(index).filter(|file| !file.is_empty()) else { return Ok(None) };
        ImageFile::new(file.clone(), reference.name, reference.role()).map(Some)
    }
}
