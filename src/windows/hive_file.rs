//! A registry hive as it lies on a volume, with its logs beside it.

use std::sync::Arc;

use super::ntfs::{File, Volume};
use super::registry::{Hive, HiveState};
use crate::disk::Patch;
use crate::error::{Error, Result};
use crate::leaves::Rule;
use crate::storage::{MemoryStorage, ReadAt};

/// Bytes of a hive, and of each of its logs. The SYSTEM of an installed Windows has about 20 MB.
const MAX_HIVE: u64 = 256 << 20;

/// A hive in a file of a volume.
#[derive(Debug)]
pub struct HiveFile<'v> {
    file: File<'v>,
    /// Bytes of the file.
    size: u64,
    /// The hive, with what its logs add.
    pub hive: Hive,
}

impl<'v> HiveFile<'v> {
    /// The hive at `path`; `None` when there is no such file.
    ///
    /// # Errors
    ///
    /// As [`Hive::open_with_logs`] and [`File::read`].
    pub fn open(volume: &'v Volume, path: &str) -> Result<Option<Self>> {
        Self::open_by(volume, path, |file| Ok(Arc::new(MemoryStorage::new(file.read(MAX_HIVE)?))))
    }

    /// The hive at `path`, of which no more is read than is asked for: from the disk, each time.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_in_place(volume: &'v Volume, path: &str) -> Result<Option<Self>> {
        Self::open_by(volume, path, |file| file.reader(MAX_HIVE))
    }

    fn open_by(
        volume: &'v Volume,
        path: &str,
        read: impl Fn(&File<'v>) -> Result<Arc<dyn ReadAt>>,
    ) -> Result<Option<Self>> {
        let Some(file) = volume.find(path)? else { return Ok(None) };
        let bytes = read(&file)?;
        let size = bytes.size().map_err(|e| Error::io("read", path, e))?;
        // Logs may be as large as the hive, and mean nothing to one that was closed.
        let hive = Hive::open_with_logs(bytes.clone(), &[]);
        if let Ok(hive) = hive
            && *hive.state() == HiveState::Clean
        {
            return Ok(Some(Self { file, size, hive }));
        }
        let mut logs = Vec::new();
        for ending in ["LOG1", "LOG2"] {
            if let Some(log) = volume.find(&format!("{path}.{ending}"))? {
                logs.push(read(&log)?);
            }
        }
        let hive = Hive::open_with_logs(bytes, &logs).map_err(|e| e.within(path))?;
        Ok(Some(Self { file, size, hive }))
    }

    /// What has changed in the hive, as changes of the disk.
    ///
    /// # Errors
    ///
    /// As [`Hive::edits`] and [`File::overwrite`]; [`Error::NotConvertible`] when the hive became longer than its file.
    pub fn patches(&self) -> Result<Vec<Patch>> {
        let (has, needs) = (self.size, self.hive.file_size());
        if needs > has {
            let reason = format!("the registry hive needs {needs} bytes, and its file has {has}");
            return Err(Error::NotConvertible { rule: Rule::DirtyHive, reason });
        }
        let mut patches = Vec::new();
        for edit in self.hive.edits()? {
            patches.extend(self.file.overwrite(edit.offset, &edit.bytes)?);
        }
        Ok(patches)
    }
}
