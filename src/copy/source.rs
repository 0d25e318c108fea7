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

/// A digest of all that changes with the content of a disk, as far as it can be known without reading it. Another
/// machine may know files by other `numbers`.
#[cfg(feature = "digest")]
pub(super) fn fingerprint(disk: &Disk, numbers: bool) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    for layer in disk.chain() {
        let info = layer.info();
        hasher.update(format!("{:?}", (info.format, info.size, &info.id, &info.data_id)).as_bytes());
        for file in layer.files() {
            let known =
                file.storage().fingerprint().map(|known| (known.modified, numbers.then_some(known.file)));
            hasher.update(format!("{:?}", (file.size(), known)).as_bytes());
            if file.role() == crate::storage::FileRole::Memory {
                // What the caller has laid over the disk: a few sectors.
                let mut bytes = vec![0; file.size() as usize];
                file.read_exact_at(&mut bytes, 0)?;
                hasher.update(&bytes);
            }
        }
    }
    Ok(*hasher.finalize().as_bytes())
}
