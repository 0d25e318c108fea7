//! Positioned input and output: what every format reads from and writes to.
//!
//! A storage is a run of bytes with a size, read and written at offsets without a cursor, so that many threads
//! share one. [`FileStorage`] and [`MemoryStorage`] are built in; anything else (an SMB share, an object store)
//! implements [`ReadAt`], and [`WriteAt`] where images are written.
//!
//! What only some storages can do (tell holes from data, hint at reads to come) has a default that says so.

mod attributes;
mod bytes;
mod cached;
mod cursor;
mod fault;
mod file;
mod fingerprint;
pub(crate) mod forward;
mod image_file;
mod lock;
mod memory;
#[cfg(feature = "mmap")]
mod mmap;
mod output;
mod output_folder;
mod partial;
mod piece;
mod place;
pub(crate) mod recorded_name;
#[cfg(target_os = "linux")]
mod reflink;
pub(crate) mod relative;
pub(crate) mod resolver;
mod safe_open;
mod similar;
mod writable;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

pub use crate::leaves::{LockHolder, LockMode, LockState, ReferenceKind, Shown};

pub use cached::CachedStorage;
pub use cursor::Cursor;
pub use fault::{Fault, Faults, FaultyStorage};
pub use file::FileStorage;
pub use fingerprint::Fingerprint;
pub(crate) use image_file::Hold;
pub use image_file::{FileRole, ImageFile};
pub use memory::MemoryStorage;
#[cfg(feature = "mmap")]
pub use mmap::MmapStorage;
pub(crate) use output::beside;
#[cfg(feature = "shards")]
pub(crate) use output::check_free;
pub use output::{OutputFile, Overwrite};
pub(crate) use output_folder::OutputFolder;
#[cfg(feature = "shards")]
pub(crate) use partial::open_partial;
#[cfg(feature = "digest")]
pub(crate) use partial::partial_of;
pub use place::Place;
pub use resolver::{AnyPath, Explicit, NoExternal, Reference, Resolver, SameDirectory};
pub(crate) use safe_open::is_device_at;
pub use writable::WritableFile;

/// Bytes that can be read at any offset, by many threads at once.
///
/// # Example
///
/// A storage of one's own, here over an in-process stand-in for an object store that answers range requests:
///
/// ```
/// use std::io;
/// use diskport::storage::ReadAt;
///
/// /// Answers `GET` with `Range: bytes=…`, as an HTTP server would.
/// trait RangeServer: Send + Sync {
///     fn get(&self, object: &str, first: u64, last: u64) -> io::Result<Vec<u8>>;
///     fn content_length(&self, object: &str) -> io::Result<u64>;
/// }
///
/// struct Object<S> {
///     server: S,
///     name: String,
/// }
///
/// impl<S: RangeServer> ReadAt for Object<S> {
///     fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
///         let end = self.size()?.min(offset + buf.len() as u64);
///         if buf.is_empty() || offset >= end {
///             return Ok(0);
///         }
///         let bytes = self.server.get(&self.name, offset, end - 1)?;
///         buf[..bytes.len()].copy_from_slice(&bytes);
///         Ok(bytes.len())
///     }
///
///     fn size(&self) -> io::Result<u64> {
///         self.server.content_length(&self.name)
///     }
/// }
///
/// # struct Mock(Vec<u8>);
/// # impl RangeServer for Mock {
/// #     fn get(&self, _: &str, first: u64, last: u64) -> io::Result<Vec<u8>> {
/// #         Ok(self.0[first as usize..=last as usize].to_vec())
/// #     }
/// #     fn content_length(&self, _: &str) -> io::Result<u64> { Ok(self.0.len() as u64) }
/// # }
/// let object = Object { server: Mock(vec![7; 4096]), name: "disk.raw".into() };
/// let disk = diskport::Open::new().format(diskport::Format::Raw).open(object)?;
/// let mut sector = [0; 512];
/// disk.read_at(&mut sector, 512)?;
/// assert_eq!(sector, [7; 512]);
/// # Ok::<(), diskport::Error>(())
/// ```
pub trait ReadAt: Send + Sync {
    /// Reads into `buf` from `offset` on and returns the number of bytes read: fewer than asked for only at the
    /// end of the storage or when interrupted, 0 only at or beyond the end (or for an empty `buf`).
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The size in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buf` from `offset` on, or fails with [`io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match read_some(self, buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The first run of data at or after `offset`, in bytes, as a sparse file knows it: everything between
    /// `offset` and the run's start reads as zeros. `None` when only zeros follow.
    ///
    /// The default says [`Unsupported`](io::ErrorKind::Unsupported): then all of it must be taken for data.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let _ = offset;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Says that this range will be read soon. A hint: it never fails, and doing nothing is right.
    fn will_need(&self, range: Range<u64>) {
        let _ = range;
    }

    /// Bytes that the storage occupies, which for a sparse file are fewer than its size. `None` when unknown.
    fn allocated(&self) -> Option<u64> {
        None
    }

    /// When the content was last modified, in seconds since 1970. `None` when unknown.
    fn modified(&self) -> Option<i64> {
        None
    }

    /// The open file whose bytes are those of this storage, so that the system can copy them by itself. `None` when there
    /// is no such thing.
    fn file(&self) -> Option<Arc<File>> {
        None
    }

    /// What changes when the content does, so that a source that is written to while it is read is noticed. `None` when
    /// there is no such thing.
    fn fingerprint(&self) -> Option<Fingerprint> {
        None
    }

    /// What tells this storage from every other one of its kind, so that a chain that comes back to the same
    /// file is noticed. `None` when there is no such thing.
    fn identity(&self) -> Option<FileIdentity> {
        None
    }
}

/// As [`ReadAt::read_at`], but a storage that says more than it was asked for has failed.
pub(crate) fn read_some(storage: &(impl ReadAt + ?Sized), buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let len = storage.read_at(buf, offset)?;
    if len > buf.len() {
        let what = format!("the storage says that it read {len} bytes where {} were asked for", buf.len());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(len)
}

/// Bytes that can also be written at any offset.
pub trait WriteAt: ReadAt {
    /// Writes all of `data` at `offset`; the storage grows when needed, and a gap reads as zeros.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Sets the size in bytes: what is cut is gone, what is added reads as zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// Returns when everything written before is durable.
    fn sync(&self) -> io::Result<()>;

    /// Copies `range` of `source` to `offset` without moving the bytes through this process, where that is better than
    /// reading and writing them: files on a file system that keeps the copy's bytes only once (reflinks).
    /// The default says [`Unsupported`](io::ErrorKind::Unsupported).
    fn copy_range(&self, source: &dyn ReadAt, range: Range<u64>, offset: u64) -> io::Result<()> {
        let _ = (source, range, offset);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes `range` read as zeros and gives its space back.
    /// The default says [`Unsupported`](io::ErrorKind::Unsupported).
    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        let _ = range;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What tells a file from every other file: on Unix its device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The device, or volume, that holds the file.
    pub device: u64,
    /// The file's number there.
    pub file: u64,
}

impl FileIdentity {
    /// That of the file at `path`, where the system tells it.
    pub(crate) fn at(path: &std::path::Path) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            path.metadata().ok().map(|found| Self { device: found.dev(), file: found.ino() })
        }
        #[cfg(not(unix))]
        {
            let _ = path;
            None
        }
    }
}
