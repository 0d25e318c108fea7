//! A folder that appears under its name only when it is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::output::{Overwrite, rename, sync_folder_of};
use crate::error::{Error, Result};

/// A new folder that has a temporary name beside its final place until it is published.
///
/// Dropped before that, it is removed with all that was put into it.
#[derive(Debug)]
pub(crate) struct OutputFolder {
    temporary: PathBuf,
    path: PathBuf,
    is_kept: bool,
}

impl OutputFolder {
    /// Begins a folder that is to appear at `path`, where nothing is.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`], [`Error::Io`].
    pub(crate) fn create(path: &Path) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        if path.symlink_metadata().is_ok() {
            return Err(Error::OutputExists { path: path.display().to_string() });
        }
        loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let hidden = format!(".diskport-{}-{count}.partial-folder", std::process::id());
            let temporary = path.with_file_name(hidden);
            match fs::create_dir(&temporary) {
                Ok(()) => return Ok(Self { temporary, path: path.to_owned(), is_kept: false }),
                // Left over by a process of the same number that was killed.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("create", path.display().to_string(), e)),
            }
        }
    }

    /// Where it lies until it is published.
    pub(crate) fn folder(&self) -> &Path {
        &self.temporary
    }

    /// Makes it durable and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] when something took the name meanwhile, [`Error::Io`]; the folder is then gone.
    pub(crate) fn publish(mut self) -> Result<()> {
        let path = self.path.display().to_string();
        let failed = |operation, e| Error::io(operation, path.clone(), e);
        sync(&self.temporary).map_err(|e| failed("sync", e))?;
        let folder = File::open(&self.temporary).map_err(|e| failed("open", e))?;
        rename(&self.temporary, &self.path, Overwrite::No).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::OutputExists { path: path.clone() },
            _ => failed("rename", e),
        })?;
        self.is_kept = true;
        sync_folder_of(&self.path, &folder).map_err(|e| failed("sync the folder of", e))?;
        Ok(())
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nothing better can be done about a temporary folder that does not go away.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Makes a folder and all in it durable: on Linux with its file system, since that is one call however many files there are.
fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        Ok(rustix::fs::syncfs(File::open(folder)?)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                sync(&entry.path())?;
            } else {
                // Windows makes durable what is open for writing alone.
                File::options().write(true).open(entry.path())?.sync_all()?;
            }
        }
        Ok(())
    }
}
