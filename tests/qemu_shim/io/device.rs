//! The open image of a session.

use diskport::storage::AnyPath;
use diskport::{Child, Disk, Error, Open, WritableDisk};
use tempfile::TempDir;

use crate::failure;
use crate::image::Image;

/// An open image. qemu-io opens for writing unless told otherwise, and so does this.
pub enum Device {
    /// Read-only.
    Reading(Disk),
    /// Written in place; the folder of a snapshot goes when it does.
    Writing { disk: WritableDisk, _folder: Option<TempDir> },
}

impl Device {
    /// Opens `image`, or with `snapshot` a child of it that is thrown away afterwards. What is of a kind that cannot be
    /// written is opened for reading.
    pub fn open(image: &Image, read_only: bool, snapshot: bool) -> Result<Self, String> {
        if snapshot {
            return Self::child(&image.open()?).map_err(|e| failure::of(&e));
        }
        let writable = if read_only { None } else { image.open_writable()? };
        Ok(match writable {
            Some(disk) => Self::Writing { disk, _folder: None },
            None => Self::Reading(image.open()?),
        })
    }

    fn child(parent: &Disk) -> Result<Self, Error> {
        let failed = |error| Error::Io { operation: "create", file: "a snapshot".to_owned(), error };
        let folder = tempfile::tempdir().map_err(failed)?;
        let path = folder.path().join("snapshot");
        Child::of(parent).sync(false).create(&path)?;
        let disk = Open::new().resolver(AnyPath).open_writable(&path)?;
        Ok(Self::Writing { disk, _folder: Some(folder) })
    }

    pub fn size(&self) -> u64 {
        match self {
            Self::Reading(disk) => disk.size(),
            Self::Writing { disk, .. } => disk.size(),
        }
    }

    pub fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        match self {
            Self::Reading(disk) => disk.read_at(buf, offset),
            Self::Writing { disk, .. } => disk.read_at(buf, offset),
        }
    }

    /// The disk for writing.
    pub fn writable(&self) -> Result<&WritableDisk, Error> {
        match self {
            Self::Reading(_) => Err(Error::Unsupported { what: "Block node is read-only".to_owned() }),
            Self::Writing { disk, .. } => Ok(disk),
        }
    }

    /// Closes the image properly.
    pub fn close(self) -> Result<(), Error> {
        match self {
            Self::Reading(_) => Ok(()),
            Self::Writing { disk, .. } => disk.close(),
        }
    }
}
