//! An output that appears under its name only when it is whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::FileStorage;
use crate::error::{Error, Result};

/// A new file that has a temporary name in its final folder until it is published.
///
/// Dropped before that, it is removed, and nothing is left under the final name.
#[derive(Debug)]
pub struct OutputFile {
    storage: Arc<FileStorage>,
    temporary: PathBuf,
    path: PathBuf,
    overwrite: bool,
    published: bool,
}

impl OutputFile {
    /// Begins an output that is to appear at `path`. With `overwrite` it replaces a plain file there.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] when there is a file and it may not be replaced, or when what is there is no
    /// plain file.
    pub fn create(path: impl Into<PathBuf>, overwrite: bool) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let path = path.into();
        let exists = || Error::OutputExists { path: path.display().to_string() };
        match path.symlink_metadata() {
            Ok(there) if !overwrite || !there.is_file() => return Err(exists()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("create", path.display().to_string(), e)),
        }
        let Some(name) = path.file_name() else { return Err(exists()) };
        loop {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            hidden.push(format!(".{}-{count}.partial", std::process::id()));
            let temporary = path.with_file_name(hidden);
            match FileStorage::create_new(&temporary) {
                Ok(storage) => {
                    let storage = Arc::new(storage);
                    return Ok(Self { storage, temporary, path, overwrite, published: false });
                }
                // Left over by a process of the same number that was killed.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("create", path.display().to_string(), e)),
            }
        }
    }

    /// The storage to write to.
    pub fn storage(&self) -> &Arc<FileStorage> {
        &self.storage
    }

    /// The final path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name. With `sync`, the content is made durable before, and the name after.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] when another file took the name meanwhile, [`Error::Io`]; the output is then gone.
    pub fn publish(mut self, sync: bool) -> Result<()> {
        use super::WriteAt;
        let failed = |operation, e| Error::io(operation, self.path.display().to_string(), e);
        if sync {
            self.storage.sync().map_err(|e| failed("sync", e))?;
        }
        match rename(&self.temporary, &self.path, self.overwrite) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::OutputExists { path: self.path.display().to_string() });
            }
            Err(e) => return Err(failed("rename", e)),
        }
        self.published = true;
        if sync {
            sync_folder(&self.path).map_err(|e| Error::io("sync", self.path.display().to_string(), e))?;
        }
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing better can be done about a temporary file that does not go away.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn rename(from: &Path, to: &Path, overwrite: bool) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if !overwrite {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system that does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            result => return Ok(result?),
        }
    }
    if !overwrite && to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

/// Makes the names in the folder of `path` durable; Windows has no such call and needs none.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::WriteAt;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("a folder");
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("out.raw");
        let output = OutputFile::create(&path, false).expect("is free");
        output.storage().write_all_at(b"half", 0).expect("writes");
        assert!(!path.exists());
        drop(output);
        assert!(names(dir.path()).is_empty(), "nothing is left of an output that was given up");

        let output = OutputFile::create(&path, false).expect("is free");
        output.storage().write_all_at(b"whole", 0).expect("writes");
        output.publish(true).expect("publishes");
        assert_eq!(names(dir.path()), ["out.raw"]);
        assert_eq!(std::fs::read(&path).expect("reads"), b"whole");
    }

    #[test]
    fn does_not_replace_unless_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("out.raw");
        let late = OutputFile::create(&path, false).expect("is free");
        std::fs::write(&path, b"mine").expect("writes");
        assert!(matches!(OutputFile::create(&path, false), Err(Error::OutputExists { .. })));
        assert!(matches!(late.publish(false), Err(Error::OutputExists { .. })));
        assert_eq!(std::fs::read(&path).expect("reads"), b"mine");
        OutputFile::create(&path, true).expect("may replace").publish(false).expect("replaces");
        assert_eq!(std::fs::read(&path).expect("reads"), b"");
        assert!(matches!(OutputFile::create(dir.path(), true), Err(Error::OutputExists { .. })));
    }
}
