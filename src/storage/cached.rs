//! A storage that is far away, with a part of it kept near.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::forward::forward_facts;
use super::{FileIdentity, Fingerprint, ReadAt};

/// Bytes of a page: in a VHDX each structure that opening needs begins one.
const PAGE: u64 = 1 << 20;
/// Pages that are kept at most.
const PAGES: usize = 16;

/// A storage each of whose reads costs a request, as an object store's do: small reads are made of pages of 1 MiB, of which
/// the sixteen that were used last are kept; a read of a page or more goes to the storage as it is. What is behind it must
/// not change.
///
/// ```
/// use std::sync::Arc;
/// use diskport::Open;
/// use diskport::storage::{CachedStorage, FileStorage};
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let object = FileStorage::open(image).expect("the file opens");
/// let disk = Open::new().open(CachedStorage::new(object))?;
/// # Ok::<(), diskport::Error>(())
/// ```
pub struct CachedStorage<S> {
    inner: S,
    size: OnceLock<u64>,
    /// Bytes of a page, and how many are kept.
    page: u64,
    most: usize,
    /// Pages with their numbers, the one that was used last at the end.
    pages: Mutex<VecDeque<(u64, Arc<Vec<u8>>)>>,
}

impl<S: ReadAt> CachedStorage<S> {
    /// Keeps what is read of `inner`.
    pub fn new(inner: S) -> Self {
        Self::with_pages(inner, PAGE, PAGES)
    }

    /// The same with pages of `page` bytes, at least one, of which `most` are kept.
    pub fn with_pages(inner: S, page: u64, most: usize) -> Self {
        Self { inner, size: OnceLock::new(), page: page.max(1), most: most.max(1), pages: Mutex::default() }
    }

    /// The storage behind it.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The page of this number, which lies within the storage.
    fn page(&self, number: u64) -> io::Result<Arc<Vec<u8>>> {
        let kept = |pages: &mut VecDeque<(u64, Arc<Vec<u8>>)>| {
            let at = pages.iter().position(|(kept, _)| *kept == number)?;
            let page = pages.remove(at)?;
            let bytes = page.1.clone();
            pages.push_back(page);
            Some(bytes)
        };
        if let Some(bytes) = kept(&mut self.pages.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(bytes);
        }
        let start = number * self.page;
        let mut bytes = vec![0; (self.size()? - start).min(self.page) as usize];
        self.inner.read_exact_at(&mut bytes, start)?;
        let bytes = Arc::new(bytes);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been as quick.
        if kept(&mut pages).is_none() {
            pages.push_back((number, bytes.clone()));
        }
        if pages.len() > self.most {
            pages.pop_front();
        }
        Ok(bytes)
    }
}

impl<S: ReadAt> ReadAt for CachedStorage<S> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if buf.len() as u64 >= self.page {
            return self.inner.read_at(buf, offset);
        }
        let end = self.size()?.min(offset.saturating_add(buf.len() as u64));
        let mut at = offset;
        while at < end {
            let page = self.page(at / self.page)?;
            let skip = (at % self.page) as usize;
            let len = (page.len() - skip).min((end - at) as usize);
            let done = (at - offset) as usize;
            buf[done..done + len].copy_from_slice(&page[skip..skip + len]);
            at += len as u64;
        }
        Ok((at - offset) as usize)
    }

    /// Asked for once.
    fn size(&self) -> io::Result<u64> {
        match self.size.get() {
            Some(size) => Ok(*size),
            None => {
                let size = self.inner.size()?;
                Ok(*self.size.get_or_init(|| size))
            }
        }
    }

    forward_facts!(self => self.inner);
}

impl<S> fmt::Debug for CachedStorage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStorage").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Counts its reads.
    struct Far(Vec<u8>, AtomicU64);

    impl ReadAt for Far {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.as_slice().read_at(buf, offset)
        }

        fn size(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
    }

    #[test]
    fn small_reads_are_made_of_pages() {
        let bytes: Vec<u8> = (0..5 * PAGE as usize / 2).map(|at| (at / 1000) as u8).collect();
        let storage = CachedStorage::new(Far(bytes.clone(), AtomicU64::new(0)));
        let read = |offset: u64, len: usize| {
            let mut buf = vec![0xee; len];
            let read = storage.read_at(&mut buf, offset).expect("reads");
            let expected = bytes.get(offset as usize..).unwrap_or_default();
            assert!(buf[..read] == expected[..read.min(expected.len())], "{offset}, {len}");
            read
        };
        for offset in [0, 10, PAGE - 5, PAGE, 2 * PAGE - 1, 2 * PAGE + 7] {
            assert_eq!(read(offset, 100), 100);
        }
        assert_eq!(storage.inner().1.load(Ordering::Relaxed), 3, "one read a page");
        assert_eq!(read(bytes.len() as u64 - 9, 100), 9);
        assert_eq!((read(bytes.len() as u64, 1), read(u64::MAX, 1), read(7, 0)), (0, 0, 0));
        assert_eq!(storage.inner().1.load(Ordering::Relaxed), 3);
        assert_eq!(read(5, 2 * PAGE as usize), 2 * PAGE as usize);
        assert_eq!(storage.inner().1.load(Ordering::Relaxed), 4, "a long one as it is");
    }

    #[test]
    fn the_pages_used_last_are_kept() {
        let storage = CachedStorage::new(Far(vec![7; (PAGES + 2) * PAGE as usize], AtomicU64::new(0)));
        let mut byte = [0];
        let mut touch = |page: u64| storage.read_at(&mut byte, page * PAGE).map(drop).expect("reads");
        (0..PAGES as u64).for_each(&mut touch);
        touch(0);
        touch(PAGES as u64);
        touch(0);
        assert_eq!(storage.inner().1.load(Ordering::Relaxed), PAGES as u64 + 1);
        touch(1);
        assert_eq!(storage.inner().1.load(Ordering::Relaxed), PAGES as u64 + 2, "the oldest went");
    }
}
