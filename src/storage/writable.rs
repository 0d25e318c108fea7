//! A file that is written, with the name the user knows it by.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lock;
use super::{FileRole, FileStorage, ImageFile, WriteAt};
use crate::error::{Error, Result};
use crate::leaves::{Ids, LockMode, Shown, ZEROS};

/// A file that is written: its storage, and its name for messages. A clone is the same file.
#[derive(Clone)]
pub struct WritableFile {
    storage: Arc<dyn WriteAt>,
    name: String,
    path: Option<PathBuf>,
    /// Whether it was to be locked, and its file system has no locks.
    is_unlockable: bool,
    /// A sync failed: what is durable is unknown, and the system may say otherwise when it is asked again.
    broken: Arc<AtomicBool>,
    /// Where the identities are from that formats give to what they write.
    ids: Arc<Mutex<Ids>>,
}

impl WritableFile {
    /// The file behind `storage`, called `name` in messages.
    pub fn new(storage: Arc<dyn WriteAt>, name: impl Into<String>) -> Self {
        Self {
            storage,
            name: name.into(),
            path: None,
            is_unlockable: false,
            broken: Arc::default(),
            ids: random(),
        }
    }

    /// The same, lying at `path` in the file system.
    pub fn at_path(storage: Arc<dyn WriteAt>, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.shown();
        Self { path: Some(path), ..Self::new(storage, name) }
    }

    /// Opens the plain file or block device at `path` for writing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = || path.shown();
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::ResourceBusy => Error::Busy { device: name() },
            _ => lock::open_failed(path, e),
        };
        Self::lock(FileStorage::open_writable(path).map_err(failed)?, path)
    }

    /// The file at `path`, which `storage` has open for writing, locked.
    pub(super) fn lock(storage: FileStorage, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let name = || path.shown();
        let is_unlockable = !storage.take(LockMode::Write, &name())?;
        // Whoever had the lock until now may have removed it: what is written to it would be lost.
        if storage.is_removed().map_err(|e| Error::io("measure", name(), e))? {
            return Err(Error::io("open for writing", name(), io::ErrorKind::NotFound.into()));
        }
        Ok(Self { is_unlockable, ..Self::at_path(Arc::new(storage), path) })
    }

    /// Refuses a file that another program says beside it to use.
    pub(crate) fn check_not_claimed(&self) -> Result<()> {
        match self.path().and_then(lock::holder_beside) {
            Some(holder) => Err(Error::Locked { file: self.name.clone(), holder }),
            None => Ok(()),
        }
    }

    /// The same, with identities and times from `ids`.
    pub(crate) fn with_ids(self, ids: Ids) -> Self {
        Self { ids: Arc::new(Mutex::new(ids)), ..self }
    }

    /// The same file, read and written through another storage.
    pub(crate) fn with_storage(self, storage: Arc<dyn WriteAt>) -> Self {
        Self { storage, ..self }
    }

    /// Where identities and times for it come from.
    pub(crate) fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies in the file system, if it lies there.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The storage behind it.
    pub fn storage(&self) -> &Arc<dyn WriteAt> {
        &self.storage
    }

    /// The same file for reading, with the size that it has now.
    pub(crate) fn image(&self, role: FileRole) -> Result<ImageFile> {
        let storage = self.storage.clone();
        let file = match &self.path {
            Some(path) => ImageFile::at_path(storage, path, role)?,
            None => ImageFile::new(storage, &self.name, role)?,
        };
        Ok(if self.is_unlockable { file.unlockable() } else { file }.unwatched())
    }

    /// Its size in bytes now.
    pub(crate) fn size(&self) -> Result<u64> {
        self.storage.size().map_err(|e| Error::io("measure", &self.name, e))
    }

    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.storage.read_exact_at(buf, offset).map_err(|e| Error::io("read", &self.name, e))
    }

    pub(crate) fn write_all_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.storage.write_all_at(data, offset).map_err(|e| Error::io("write", &self.name, e))
    }

    /// Makes `range` zeros, as a hole where the storage can.
    pub(crate) fn zero(&self, range: std::ops::Range<u64>) -> Result<()> {
        if range.is_empty() {
            // Linux refuses an empty hole.
            return Ok(());
        }
        match self.storage.punch_hole(range.clone()) {
            Ok(()) => return Ok(()),
            Err(e) if is_unsupported(&e) => {}
            Err(e) => return Err(Error::io("write zeros to", &self.name, e)),
        }
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(ZEROS.len() as u64);
            self.write_all_at(&ZEROS[..len as usize], at)?;
            at += len;
        }
        Ok(())
    }

    pub(crate) fn set_size(&self, size: u64) -> Result<()> {
        self.storage.set_size(size).map_err(|e| Error::io("set the size of", &self.name, e))
    }

    /// Returns when everything written before is durable. Once that failed, it always does.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::Poisoned { file: self.name.clone() });
        }
        self.storage.sync().map_err(|e| {
            self.broken.store(true, Ordering::Relaxed);
            Error::io("sync", &self.name, e)
        })
    }
}

fn random() -> Arc<Mutex<Ids>> {
    Arc::new(Mutex::new(Ids::random()))
}

/// Whether a storage, or the file system below it, cannot do this at all.
fn is_unsupported(e: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    #[cfg(unix)]
    if e.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()) {
        return true;
    }
    e.kind() == ErrorKind::Unsupported
}

impl std::fmt::Debug for WritableFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WritableFile").field("name", &self.name).finish_non_exhaustive()
    }
}
