//! Bytes in pages that copies share, so that a thousand states of one file cost little more than one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use diskport::storage::{ReadAt, WriteAt};

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// The content of a file or of a disk. A clone shares its pages.
#[derive(Clone, Default)]
pub struct Bytes {
    /// `None` is a page of zeros. What the last page holds beyond `size` is zeros.
    pages: Vec<Option<Arc<Page>>>,
    size: u64,
}

struct Page {
    bytes: [u8; PAGE],
    digest: OnceLock<u64>,
}

impl Clone for Page {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes, digest: OnceLock::new() }
    }
}

static ZEROS: [u8; PAGE] = [0; PAGE];

impl Bytes {
    pub fn zeros(size: u64) -> Self {
        let mut bytes = Self::default();
        bytes.set_size(size);
        bytes
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether `bytes` stand at `offset`.
    pub fn holds(&self, bytes: &[u8], offset: u64) -> bool {
        offset + bytes.len() as u64 <= self.size
            && parts(offset, bytes.len()).all(|(page, part, range)| self.at(page)[part] == bytes[range])
    }

    /// The 512 bytes at `offset`; `None` beyond the end.
    pub fn sector(&self, offset: u64) -> Option<[u8; 512]> {
        let mut sector = [0; 512];
        (self.read(&mut sector, offset) == 512).then_some(sector)
    }

    fn at(&self, page: usize) -> &[u8; PAGE] {
        self.pages[page].as_ref().map_or(&ZEROS, |page| &page.bytes)
    }

    pub fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let len = (buf.len() as u64).min(self.size.saturating_sub(offset)) as usize;
        for (page, part, range) in parts(offset, len) {
            buf[range].copy_from_slice(&self.at(page)[part]);
        }
        len
    }

    /// Writes `data`; the size grows when needed, and a gap is zeros.
    pub fn write(&mut self, data: &[u8], offset: u64) {
        self.set_size(self.size.max(offset + data.len() as u64));
        for (page, part, range) in parts(offset, data.len()) {
            let (page, data) = (&mut self.pages[page], &data[range]);
            if page.is_some() || data.iter().any(|&byte| byte != 0) {
                let page = Arc::make_mut(page.get_or_insert_with(Page::zeros));
                page.bytes[part].copy_from_slice(data);
                page.digest = OnceLock::new();
            }
        }
    }

    /// Makes the bytes of `range` zeros, as far as there are any.
    pub fn zero(&mut self, range: Range<u64>) {
        let end = range.end.min(self.size);
        for (page, part, _) in parts(range.start, end.saturating_sub(range.start) as usize) {
            let page = &mut self.pages[page];
            if part.len() == PAGE {
                *page = None;
            } else if let Some(page) = page {
                let page = Arc::make_mut(page);
                page.bytes[part].fill(0);
                page.digest = OnceLock::new();
            }
        }
    }

    pub fn set_size(&mut self, size: u64) {
        if size < self.size {
            self.zero(size..self.size);
        }
        self.pages.resize(size.div_ceil(PAGE as u64) as usize, None);
        self.size = size;
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        self.read(&mut bytes, 0);
        bytes
    }

    /// A number that tells this content from others.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.size.hash(&mut hasher);
        for (index, page) in self.pages.iter().enumerate() {
            if let Some(digest) = page.as_ref().map(|page| page.digest()).filter(|&digest| digest != 0) {
                (index, digest).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

impl Page {
    fn zeros() -> Arc<Self> {
        Arc::new(Self { bytes: ZEROS, digest: OnceLock::new() })
    }

    /// 0 for zeros, which `None` stands for too.
    fn digest(&self) -> u64 {
        *self.digest.get_or_init(|| {
            if self.bytes == ZEROS {
                return 0;
            }
            let mut hasher = DefaultHasher::new();
            hasher.write(&self.bytes);
            hasher.finish().max(1)
        })
    }
}

impl From<&[u8]> for Bytes {
    fn from(content: &[u8]) -> Self {
        let mut bytes = Self::zeros(content.len() as u64);
        bytes.write(content, 0);
        bytes
    }
}

/// The pages that `len` bytes from `offset` on touch: the page, the part of it, the part of the bytes.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
    let offset = offset as usize;
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = (offset + at) % PAGE;
        let n = (PAGE - start).min(len - at);
        let part = ((offset + at) / PAGE, start..start + n, at..at + n);
        at += n;
        (n > 0).then_some(part)
    })
}

/// A storage over [`Bytes`]. A clone is the same storage.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Bytes>>);

impl Memory {
    pub fn new(bytes: Bytes) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    /// What it holds now.
    pub fn bytes(&self) -> Bytes {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAt for Memory {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.lock().read(buf, offset))
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.lock().size())
    }
}

impl WriteAt for Memory {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.lock().write(data, offset);
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.lock().set_size(size);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.lock().zero(range);
        Ok(())
    }
}
