//! Watching that a source stays as it is while it is copied.

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::storage::{Fingerprint, ImageFile};

/// The files of a disk, with what their storage told of each when the copy began.
#[derive(Debug, Clone)]
pub(super) struct Source {
    files: Vec<(ImageFile, Option<Fingerprint>)>,
}

impl Source {
    pub(super) fn of(disk: &Disk) -> Self {
        let files = disk.chain().iter().flat_map(|layer| layer.files());
        Self { files: files.map(|file| (file.clone(), file.storage().fingerprint())).collect() }
    }

    /// Refuses when any of them has changed since.
    pub(super) fn check(&self) -> Result<()> {
        match self.files.iter().find(|(file, before)| file.storage().fingerprint() != *before) {
            Some((file, _)) => Err(Error::SourceChanged { path: file.name().to_owned() }),
            None => Ok(()),
        }
    }
}
