//! Where an image is.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileRole, FileStorage, ImageFile, ReadAt, WritableFile, WriteAt};
use crate::error::{Error, Result};
use crate::leaves::Shown;

/// How messages call a storage that was given without a name.
const NAMELESS: &str = "(image)";

/// Where an image is, or is to be: at a path, or in a storage of the caller's own.
///
/// What opens or makes images takes anything that is one: a path, a storage, or a storage with a name, which errors and the
/// [layers](crate::Disk::chain) of a disk show. To read it takes a storage that implements [`ReadAt`], to write [`WriteAt`].
///
/// ```
/// use diskport::{Open, Place};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let by_path = diskport::open(path)?;
/// let object: Vec<u8> = std::fs::read(path).expect("reads"); // or any other storage
/// let nameless = diskport::open(object.clone())?;
/// let named = Open::new().open(Place::named("images/7f3a", object))?;
/// assert_eq!(named.chain()[0].files()[0].name(), "images/7f3a");
/// # assert_eq!(nameless.chain()[0].files()[0].name(), "(image)");
/// # assert_eq!(by_path.chain()[0].files()[0].name(), path);
/// # Ok::<(), diskport::Error>(())
/// ```
#[non_exhaustive]
pub enum Place<S: ?Sized = dyn ReadAt> {
    /// In the file system.
    Path(PathBuf),
    /// In a storage.
    Storage {
        /// How messages call it.
        name: String,
        /// The storage.
        storage: Arc<S>,
    },
}

impl<S> Place<S> {
    /// A storage that messages call `name`.
    pub fn named(name: impl Into<String>, storage: S) -> Self {
        Self::Storage { name: name.into(), storage: Arc::new(storage) }
    }
}

impl<S: ?Sized> Place<S> {
    /// The path, of one in the file system.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Storage { .. } => None,
        }
    }
}

impl Place {
    /// The file there, which is opened for reading if it is one.
    pub(crate) fn image(&self, role: FileRole) -> Result<ImageFile> {
        match self {
            Self::Path(path) => {
                let failed = |e| Error::io("open", path.shown(), e);
                ImageFile::opened(FileStorage::open(path).map_err(failed)?, path, role)
            }
            Self::Storage { name, storage } => ImageFile::new(storage.clone(), name, role),
        }
    }
}

impl Place<dyn WriteAt> {
    /// The file there, which is opened for writing, and locked, if it is one.
    pub(crate) fn writable(&self) -> Result<WritableFile> {
        match self {
            Self::Path(path) => WritableFile::open(path),
            Self::Storage { name, storage } => Ok(WritableFile::new(storage.clone(), name)),
        }
    }
}

/// What names a path.
macro_rules! from_paths {
    ($($path:ty),*) => {$(
        impl<S: ?Sized> From<$path> for Place<S> {
            fn from(path: $path) -> Self {
                Self::Path(path.into())
            }
        }
    )*};
}

from_paths!(&str, &String, String, &OsStr, &OsString, OsString, &Path, &PathBuf, PathBuf);

/// What is, or has, a storage of the kind that is asked for.
macro_rules! from_storages {
    ($($kind:ident),*) => {$(
        impl<S: $kind + 'static> From<S> for Place<dyn $kind> {
            fn from(storage: S) -> Self {
                Place::named(NAMELESS, storage).into()
            }
        }

        impl<S: $kind + 'static> From<Place<S>> for Place<dyn $kind> {
            fn from(place: Place<S>) -> Self {
                match place {
                    Place::Path(path) => Self::Path(path),
                    Place::Storage { name, storage } => Self::Storage { name, storage },
                }
            }
        }
    )*};
}

from_storages!(ReadAt, WriteAt);

impl<S: ?Sized> Clone for Place<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Path(path) => Self::Path(path.clone()),
            Self::Storage { name, storage } => Self::Storage { name: name.clone(), storage: storage.clone() },
        }
    }
}

/// As messages call it.
impl<S: ?Sized> fmt::Display for Place<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.shown().fmt(f),
            Self::Storage { name, .. } => f.write_str(name),
        }
    }
}

impl<S: ?Sized> fmt::Debug for Place<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&format_args!("{self}")).finish()
    }
}
