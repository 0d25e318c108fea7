//! What shards leave beside the output: the file that they write to together, and a digest each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Shard;
use crate::error::{Error, Result};
use crate::leaves::LockMode;
use crate::leaves::Shown;
use crate::storage::{Overwrite, WritableFile, beside, check_free, open_partial};
use crate::strict;

/// The files of one plan for one output. Those of another plan have other names.
pub(super) struct Files {
    path: PathBuf,
    /// What the hidden names begin with, behind the output's own.
    ending: String,
}

impl Files {
    pub(super) fn new(path: &Path, plan: &blake3::Hash) -> Self {
        Self { path: path.to_owned(), ending: format!(".diskport-{}", &plan.to_hex()[..16]) }
    }

    /// Where the shards write.
    pub(super) fn partial(&self) -> PathBuf {
        beside(&self.path, &format!("{}-partial", self.ending))
    }

    fn digest(&self, shard: Shard) -> PathBuf {
        let Shard { number, count } = shard;
        beside(&self.path, &format!("{}-{number}of{count}", self.ending))
    }

    /// Opens the file that shards write to, and keeps it from being finished meanwhile.
    pub(super) fn open(&self, overwrite: Overwrite) -> Result<WritableFile> {
        let path = self.partial();
        let private = self.path.exists();
        let (storage, is_new) =
            open_partial(&path, private, LockMode::WriteTogether, || self.remove_digests())?;
        if let Err(e) = check_free(&self.path, overwrite) {
            if is_new {
                // Nothing better can be done about a file that does not go away.
                let _ = fs::remove_file(&path);
            }
            return Err(e);
        }
        Ok(WritableFile::at_path(Arc::new(storage), path))
    }

    /// Notes that `shard` is there, at once; with `sync`, durably.
    pub(super) fn save(&self, shard: Shard, digest: &blake3::Hash, sync: bool) -> Result<()> {
        let path = self.digest(shard);
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut new = path.clone().into_os_string();
        new.push(format!(".{}.{count}.new", std::process::id()));
        let write = || {
            let mut file = File::create_new(&new)?;
            writeln!(file, "{}", digest.to_hex())?;
            if sync {
                file.sync_all()?;
            }
            fs::rename(&new, &path)
        };
        write().map_err(|e| {
            // Nothing better can be done about a file that does not go away.
            let _ = fs::remove_file(&new);
            Error::io("write", path.shown(), e)
        })
    }

    /// Takes back that `shard` is there.
    pub(super) fn forget(&self, shard: Shard) -> Result<()> {
        let path = self.digest(shard);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path.shown(), e)),
            _ => Ok(()),
        }
    }

    /// The digest of `shard`; `None` when it is not there.
    pub(super) fn load(&self, shard: Shard) -> Result<Option<blake3::Hash>> {
        let path = self.digest(shard);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(blake3::Hash::from_str(text.trim_end()).ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(e) => Err(Error::io("read", path.shown(), e)),
        }
    }

    /// The shards that are there, by how many the output was split into: more than once, perhaps.
    pub(super) fn splits(&self) -> Result<BTreeMap<u32, Vec<Shard>>> {
        let mut splits = BTreeMap::<u32, Vec<Shard>>::new();
        for path in self.hidden()? {
            let shard = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
                let (number, count) = name.rsplit_once('-')?.1.split_once("of")?;
                Shard::new(strict::decimal(number)?, strict::decimal(count)?).ok()
            });
            if let Some(shard) = shard
                && self.digest(shard).file_name() == path.file_name()
            {
                splits.entry(shard.count).or_default().push(shard);
            }
        }
        Ok(splits)
    }

    /// Removes what processes have left that were killed while they wrote a digest. None may be at work.
    pub(super) fn remove_unfinished(&self) {
        for path in self.hidden().unwrap_or_default() {
            if path.extension().is_some_and(|ending| ending == "new") {
                // It is of no use to anyone, and does no harm.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// All files of the plan that are there.
    fn hidden(&self) -> Result<Vec<PathBuf>> {
        let first = beside(&self.path, &format!("{}-", self.ending));
        let first = first.file_name().unwrap_or_default().as_encoded_bytes();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let failed = |e| Error::io("list", folder.shown(), e);
        let entries = fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map_err(failed));
        let is_ours = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(first);
        let ours = entries.filter(|entry| entry.as_ref().map_or(true, is_ours));
        ours.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    /// Removes the digests of all shards, of whatever split: without the file that shards write to, they mean nothing.
    pub(super) fn remove_digests(&self) {
        for shard in self.splits().unwrap_or_default().into_values().flatten() {
            // One that does not go away is removed before it could count.
            let _ = fs::remove_file(self.digest(shard));
        }
    }
}
