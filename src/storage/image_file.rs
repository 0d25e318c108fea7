//! A file that belongs to an image, with the name the user knows it by.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::lock;
use super::piece::Piece;
use super::{FileIdentity, FileStorage, Fingerprint, ReadAt};
use crate::error::{Error, Result};
use crate::leaves::{LockHolder, LockMode, LockState, Shown};

/// A file that belongs to an image: its storage, its name, and what it is for.
#[derive(Clone)]
pub struct ImageFile {
    name: String,
    path: Option<PathBuf>,
    role: FileRole,
    size: u64,
    fingerprint: Option<Fingerprint>,
    storage: Arc<dyn ReadAt>,
    locking: Locking,
}

/// Whose the locks of a file are.
#[derive(Clone)]
enum Locking {
    /// The caller's, who opened it.
    Callers,
    /// Ours, by the file that was opened here.
    Ours(Arc<Opened>),
    /// Nobody's: it was to be locked, and its file system has no locks.
    Nobodys,
}

/// A file that was opened here.
struct Opened {
    /// Gives the open file.
    file: Box<dyn Fn() -> io::Result<Arc<File>> + Send + Sync>,
    lock: Mutex<Lock>,
}

/// The lock of a file that is read.
#[derive(Default)]
struct Lock {
    /// How many want it.
    count: usize,
    /// The file that bears it.
    bearer: Option<FileStorage>,
}

/// Keeps writers from a file until it is dropped; the file itself may stay open for longer.
pub(crate) struct Hold(Arc<Opened>);

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut lock = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.count -= 1;
        if lock.count == 0 {
            lock.bearer = None;
        }
    }
}

/// What a file of an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileRole {
    /// The image itself: container, or descriptor of one.
    Image,
    /// An extent that a descriptor names.
    Extent,
    /// Memory of this process: no file.
    Memory,
    /// A whole disk, of which parts are wanted elsewhere.
    Disk,
    /// What a file on the disk is to hold.
    Content,
}

impl ImageFile {
    /// The file behind `storage`, called `name` in messages. Its size and its fingerprint are taken once, here.
    pub fn new(storage: Arc<dyn ReadAt>, name: impl Into<String>, role: FileRole) -> Result<Self> {
        let name = name.into();
        let size = storage.size().map_err(|e| Error::io("measure", &name, e))?;
        let fingerprint = storage.fingerprint();
        Ok(Self { name, path: None, role, size, fingerprint, storage, locking: Locking::Callers })
    }

    /// The same, lying at `path` in the file system.
    pub fn at_path(storage: Arc<dyn ReadAt>, path: impl Into<PathBuf>, role: FileRole) -> Result<Self> {
        let path = path.into();
        let file = Self::new(storage, path.shown(), role)?;
        Ok(Self { path: Some(path), ..file })
    }

    /// The file at `path`, which `storage` was opened for here.
    pub(crate) fn opened(storage: FileStorage, path: impl Into<PathBuf>, role: FileRole) -> Result<Self> {
        let storage = Arc::new(storage);
        let file = storage.clone();
        Self::opened_here(storage, Box::new(move || Ok(file.shared())), path.into(), role)
    }

    /// The same for one of many files.
    pub(super) fn piece(piece: Piece, path: PathBuf, role: FileRole) -> Result<Self> {
        let piece = Arc::new(piece);
        let file = piece.clone();
        Self::opened_here(piece, Box::new(move || file.open()), path, role)
    }

    fn opened_here(
        storage: Arc<dyn ReadAt>,
        file: Box<dyn Fn() -> io::Result<Arc<File>> + Send + Sync>,
        path: PathBuf,
        role: FileRole,
    ) -> Result<Self> {
        let opened = Opened { file, lock: Mutex::default() };
        Ok(Self { locking: Locking::Ours(Arc::new(opened)), ..Self::at_path(storage, path, role)? })
    }

    /// The same file, which was to be locked, on a file system that has no locks.
    pub(super) fn unlockable(self) -> Self {
        Self { locking: Locking::Nobodys, ..self }
    }

    /// Keeps writers from the file while it is open, if it was opened here.
    pub(crate) fn hold(&self) -> Result<LockState> {
        let Locking::Ours(opened) = &self.locking else { return Ok(self.ask()) };
        let mut lock = opened.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = LockState::Free;
        if lock.bearer.is_none() {
            let failed = |e| Error::io("lock", &self.name, e);
            let bearer = FileStorage::sharing((opened.file)().map_err(failed)?);
            state = bearer.lock_at(self.path(), LockMode::Steady).map_err(failed)?;
            if let LockState::InUse(holder) = state {
                return Err(Error::Locked { file: self.name.clone(), holder });
            }
            lock.bearer = Some(bearer);
        }
        lock.count += 1;
        Ok(state)
    }

    /// Keeps writers from the file while what is returned lives, if the file was opened here.
    pub(crate) fn hold_for(&self) -> Result<Option<Hold>> {
        let Locking::Ours(opened) = &self.locking else { return Ok(None) };
        // Opening it warned of a file system without locks.
        let _ = self.hold()?;
        Ok(Some(Hold(opened.clone())))
    }

    /// Whether somebody writes to the file, if it was opened here and is not held.
    pub(crate) fn ask(&self) -> LockState {
        match (&self.locking, self.path()) {
            (Locking::Ours(opened), Some(path)) => {
                (opened.file)().map_or(LockState::Unsupported, |file| lock::ask(&file, path))
            }
            (Locking::Nobodys, _) => LockState::Unsupported,
            _ => LockState::Free,
        }
    }

    /// Who says beside the file that he uses it.
    pub(crate) fn holder_beside(&self) -> Option<LockHolder> {
        self.path().and_then(lock::holder_beside)
    }

    /// The same file for another purpose.
    pub(crate) fn with_role(self, role: FileRole) -> Self {
        Self { role, ..self }
    }

    /// The same file, which this process writes to: its own changes are none that it must be told of.
    pub(super) fn unwatched(self) -> Self {
        Self { fingerprint: None, ..self }
    }

    /// The same file read through another storage, which may overlay it.
    pub(crate) fn with_storage(&self, storage: Arc<dyn ReadAt>) -> Result<Self> {
        let size = storage.size().map_err(|e| Error::io("measure", &self.name, e))?;
        Ok(Self { storage, size, ..self.clone() })
    }

    /// The name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies in the file system, if it lies there.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether it is the file at `path`, by whatever name. That file is not opened.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        match self.storage.identity() {
            Some(own) => FileIdentity::at(path) == Some(own),
            None => {
                let canonical = |path: &Path| path.canonicalize().ok();
                self.path().and_then(canonical).is_some_and(|own| canonical(path) == Some(own))
            }
        }
    }

    /// Whether it is a block device.
    pub(crate) fn is_device(&self) -> bool {
        let kind = self.storage.file().and_then(|file| file.metadata().ok()).map(|found| found.file_type());
        kind.is_some_and(|kind| super::safe_open::is_block_device(&kind))
    }

    /// What the file is for.
    pub fn role(&self) -> FileRole {
        self.role
    }

    /// Its size in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    #[cfg(feature = "digest")]
    /// Its fingerprint when it was opened; `None` where there is none, or where this process writes to it.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Refuses when it is not what it was when it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        if self.fingerprint.is_some() && self.storage.fingerprint() != self.fingerprint {
            return Err(Error::SourceChanged { path: self.name.clone() });
        }
        Ok(())
    }

    /// The first run of data at or after `offset`, as [`ReadAt::next_data`] tells it; where none follows, the empty one at
    /// the end of the file.
    ///
    /// A hole ends with the file. That an image goes on behind it does not make zeros of what is missing: asked for that,
    /// it fails with [`io::ErrorKind::UnexpectedEof`].
    pub(crate) fn next_data(&self, offset: u64) -> io::Result<Range<u64>> {
        if let Some(data) = self.storage.next_data(offset)? {
            return Ok(data);
        }
        let size = self.storage.size()?;
        if size <= offset { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(size..size) }
    }

    /// The first byte from `offset` on that may be no zero: holes are passed over, where the storage knows of them.
    pub(crate) fn past_hole(&self, offset: u64) -> u64 {
        self.next_data(offset).map_or(offset, |data| data.start.max(offset))
    }

    /// The storage behind it.
    pub fn storage(&self) -> &Arc<dyn ReadAt> {
        &self.storage
    }

    /// Fills `buf` from `offset` on.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.storage.read_exact_at(buf, offset).map_err(|e| Error::io("read", &self.name, e))
    }
}

impl fmt::Debug for ImageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageFile")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
