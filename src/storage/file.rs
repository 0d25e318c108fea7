//! Storage in a file of the operating system.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::forward::forward_facts;
use super::lock::{self, Keep};
use super::{FileIdentity, Fingerprint, ReadAt, WriteAt};
use crate::error::{Error, Result};
use crate::leaves::{LockMode, LockState};

/// Bytes of a write at most, unless another size is chosen. Linux caches a write in pieces as large as itself, and a
/// virtual machine's host takes free memory back in pieces of megabytes: to have those again costs twenty times as much as
/// to copy into them. Other systems were not measured.
const WRITE: usize = if cfg!(target_os = "linux") { 64 << 10 } else { usize::MAX };

/// A file, or a block device, of the operating system.
#[derive(Debug)]
pub struct FileStorage {
    file: Arc<File>,
    is_locked: AtomicBool,
    /// What its lock consists of beside.
    keep: Keep,
    /// Bytes of a write at most.
    write_size: usize,
    /// Whether it lies where files can share bytes.
    #[cfg(target_os = "linux")]
    shares: OnceLock<bool>,
}

impl FileStorage {
    /// Opens the file or block device at `path` for reading only.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] for anything else (a folder, a FIFO, a socket, a character
    /// device), without waiting for a FIFO's other end.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_file(super::safe_open::open_any(path.as_ref())?)
    }

    /// Opens the plain file or block device at `path` for reading and writing.
    ///
    /// Fails as [`open`](Self::open) does.
    pub fn open_writable(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_for(path.as_ref(), LockMode::Write)
    }

    /// The same for a file that is then [locked](Self::lock) for `mode`.
    pub(super) fn open_for(path: &Path, mode: LockMode) -> io::Result<Self> {
        Self::from_file(super::safe_open::open_any_writable(path, mode)?)
    }

    /// Locks the file, without waiting; the lock ends with this value. On Linux QEMU heeds it, as it heeds QEMU's. On
    /// Windows it is by opening a file for writing that others are kept out, and nothing is added here.
    pub fn lock(&self, mode: LockMode) -> io::Result<LockState> {
        self.lock_at(None, mode)
    }

    /// The same for the file at `path`.
    pub(super) fn lock_at(&self, path: Option<&Path>, mode: LockMode) -> io::Result<LockState> {
        let state = lock::lock(&self.file, path, mode, &self.keep)?;
        if !matches!(state, LockState::InUse(_)) {
            self.is_locked.store(true, Ordering::Relaxed);
        }
        Ok(state)
    }

    /// The same for a file that messages call `name`, which must be free; says whether the file system could.
    pub(crate) fn take(&self, mode: LockMode, name: &str) -> Result<bool> {
        match self.lock(mode).map_err(|e| Error::io("lock", name, e))? {
            LockState::Free => Ok(true),
            LockState::Unsupported => Ok(false),
            LockState::InUse(holder) => Err(Error::Locked { file: name.to_owned(), holder }),
        }
    }

    /// Whether the file was removed, or replaced, since it was opened.
    pub(super) fn is_removed(&self) -> io::Result<bool> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Ok(self.file.metadata()?.nlink() == 0)
        }
        #[cfg(not(unix))]
        Ok(false)
    }

    /// Whether `path` still names this file, which was opened by that name.
    pub(super) fn is_named(&self, path: &Path) -> io::Result<bool> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            // Asked by name, not by another handle: of those there may be none left.
            match path.symlink_metadata() {
                Ok(there) => {
                    Ok(self.identity() == Some(FileIdentity { device: there.dev(), file: there.ino() }))
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(e) => Err(e),
            }
        }
        #[cfg(not(unix))]
        {
            let _ = path;
            Ok(true)
        }
    }

    /// Creates a new file for reading and writing; fails when there is one already.
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::create_for(path.as_ref(), LockMode::Write, false)
    }

    /// The same for a file that is then [locked](Self::lock) for `mode`; a private one can be reached by nobody but its owner.
    pub(super) fn create_for(path: &Path, mode: LockMode, private: bool) -> io::Result<Self> {
        Self::from_file(super::safe_open::create_new(path, mode, private)?)
    }

    /// Takes an open file.
    pub fn from_file(file: File) -> io::Result<Self> {
        // What has a size is read and written.
        file.size()?;
        Ok(Self::sharing(Arc::new(file)))
    }

    /// Takes an open file that others have, too.
    pub(super) fn sharing(file: Arc<File>) -> Self {
        Self {
            file,
            is_locked: AtomicBool::new(false),
            keep: Keep::default(),
            write_size: WRITE,
            #[cfg(target_os = "linux")]
            shares: OnceLock::new(),
        }
    }

    /// Hands at most `bytes` to the system at a time, at least 1. By default 64 KiB on Linux, where that was measured to be
    /// best for page caches of virtual machines: a network file system, or a device opened for direct access, may want more.
    pub fn write_size(mut self, bytes: usize) -> Self {
        self.write_size = bytes.max(1);
        self
    }

    /// The open file, for whoever needs it as long as this value, or longer.
    pub(super) fn shared(&self) -> Arc<File> {
        self.file.clone()
    }

    /// The open file.
    pub fn as_file(&self) -> &File {
        &self.file
    }
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        if *self.is_locked.get_mut() {
            lock::unlock(&self.file);
        }
    }
}

/// A file as the system has it: the one home of the calls that read. What is no plain file and no block device has no size;
/// that of a device is found by moving its cursor.
impl ReadAt for File {
    #[cfg(unix)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        let found = self.metadata()?;
        if found.is_file() {
            return Ok(found.len());
        }
        if super::safe_open::is_block_device(&found.file_type()) {
            use std::io::Seek;
            let mut cursor = self;
            return cursor.seek(io::SeekFrom::End(0));
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a plain file nor a block device"))
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        use rustix::fs::{SeekFrom, seek};
        let start = match seek(self, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // Only a hole follows.
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(rustix::io::Errno::INVAL) => return Err(io::ErrorKind::Unsupported.into()),
            Err(e) => return Err(e.into()),
        };
        Ok(Some(start..seek(self, SeekFrom::Hole(start))?))
    }

    #[cfg(target_os = "linux")]
    fn will_need(&self, range: Range<u64>) {
        if let Some(len) = std::num::NonZeroU64::new(range.end.saturating_sub(range.start)) {
            // A hint: that it was not taken changes nothing but speed.
            let _ = rustix::fs::fadvise(self, range.start, Some(len), rustix::fs::Advice::WillNeed);
        }
    }

    #[cfg(unix)]
    fn allocated(&self) -> Option<u64> {
        use std::os::unix::fs::MetadataExt;
        self.metadata().ok().map(|m| m.blocks() * 512)
    }

    fn modified(&self) -> Option<i64> {
        let modified = self.metadata().ok()?.modified().ok()?;
        let seconds = match modified.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).ok()?,
            Err(before) => -i64::try_from(before.duration().as_secs()).ok()?,
        };
        Some(seconds)
    }

    fn file(&self) -> Option<Arc<File>> {
        self.try_clone().ok().map(Arc::new)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Fingerprint::of(&self.metadata().ok()?)
    }

    #[cfg(unix)]
    fn identity(&self) -> Option<FileIdentity> {
        use std::os::unix::fs::MetadataExt;
        self.metadata().ok().map(|m| FileIdentity { device: m.dev(), file: m.ino() })
    }
}

impl ReadAt for FileStorage {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn file(&self) -> Option<Arc<File>> {
        Some(self.shared())
    }

    forward_facts!(self => self.file);
}

impl WriteAt for FileStorage {
    #[cfg(unix)]
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let mut at = offset;
        for part in data.chunks(self.write_size) {
            self.file.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_all_at(&self, mut data: &[u8], mut offset: u64) -> io::Result<()> {
        while !data.is_empty() {
            let part = &data[..data.len().min(self.write_size)];
            match std::os::windows::fs::FileExt::seek_write(&*self.file, part, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    data = &data[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn copy_range(&self, source: &dyn ReadAt, range: Range<u64>, offset: u64) -> io::Result<()> {
        let shares = *self.shares.get_or_init(|| super::reflink::can_share(&self.file));
        let source = source.file().filter(|_| shares).ok_or(io::ErrorKind::Unsupported)?;
        super::reflink::copy(&source, range, &self.file, offset)
    }

    #[cfg(target_os = "linux")]
    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.file, flags, range.start, range.end.saturating_sub(range.start))?)
    }
}
