//! An output that appears under its name only when it is whole.

use std::ffi::OsString;
#[cfg(unix)]
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::lock;
use super::partial::{open_partial, partial_of};
use super::{FileStorage, attributes};
use crate::error::{Error, Result};
use crate::leaves::{LockMode, LockState, Shown};

/// What becomes of a file in an output's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Overwrite {
    /// It stays, and there is no output.
    #[default]
    No,
    /// It is replaced, unless somebody uses it.
    Unused,
    /// It is replaced, also when VMware or Citrix Provisioning says beside it to use it. Those locks stay behind when a program
    /// dies; the system's own, which do not, are never ignored.
    Claimed,
}

impl From<bool> for Overwrite {
    /// Whether a file that nobody uses is replaced.
    fn from(overwrite: bool) -> Self {
        if overwrite { Self::Unused } else { Self::No }
    }
}

/// A new file that has a temporary name in its final folder until it is published.
///
/// Dropped before that, it is removed, and nothing is left under the final name.
#[derive(Debug)]
pub struct OutputFile {
    storage: Arc<FileStorage>,
    temporary: PathBuf,
    path: PathBuf,
    /// Where the whole output appears that this is a part of. A part that replaces nothing is for those whom the file there
    /// was for.
    whole: PathBuf,
    overwrite: Overwrite,
    /// Whether it stays when it is dropped.
    is_kept: bool,
}

impl OutputFile {
    /// Begins an output that is to appear at `path`. With `overwrite` it replaces a plain file there, and takes over its
    /// mode, owner, group, access control list and labels, as far as the system lets it.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] when there is a file and it may not be replaced, or when what is there is no
    /// plain file; [`Error::Locked`] when it is in use.
    pub fn create(path: impl Into<PathBuf>, overwrite: impl Into<Overwrite>) -> Result<Self> {
        let path = path.into();
        Self::create_part(path.clone(), path, overwrite.into())
    }

    /// The same for a part of the output at `whole`.
    pub(crate) fn create_part(path: PathBuf, whole: PathBuf, overwrite: Overwrite) -> Result<Self> {
        check_free(&path, overwrite)?;
        Self::begin(path, whole, overwrite)
    }

    /// Begins an output that is to replace the file at `path`, which the caller has locked.
    pub(crate) fn replacing(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        Self::begin(path.clone(), path, Overwrite::Unused)
    }

    fn begin(path: PathBuf, whole: PathBuf, overwrite: Overwrite) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let private = replaced(&path, &whole).is_some();
        loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let hidden = format!(".diskport-{}-{count}.partial", std::process::id());
            let temporary = path.with_file_name(hidden);
            match FileStorage::create_for(&temporary, LockMode::Write, private) {
                Ok(storage) => {
                    let storage = Arc::new(storage);
                    return Ok(Self { storage, temporary, path, whole, overwrite, is_kept: false });
                }
                // Left over by a process of the same number that was killed.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("create", path.shown(), e)),
            }
        }
    }

    /// Begins an output that is to appear at `path`, or takes up one that was [kept](Self::keep): its temporary name
    /// follows from its final one. It is locked until it is dropped.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create); [`Error::Locked`] when it is being written already.
    pub fn resume(path: impl Into<PathBuf>, overwrite: impl Into<Overwrite>) -> Result<Self> {
        let path = path.into();
        Self::resume_part(path.clone(), path, overwrite.into())
    }

    /// The same for a part of the output at `whole`.
    pub(crate) fn resume_part(path: PathBuf, whole: PathBuf, overwrite: Overwrite) -> Result<Self> {
        Self::resume_at(partial_of(&path), path, whole, overwrite)
    }

    /// The same with another temporary name.
    pub(crate) fn resume_at(
        temporary: PathBuf,
        path: PathBuf,
        whole: PathBuf,
        overwrite: Overwrite,
    ) -> Result<Self> {
        check_free(&path, overwrite)?;
        let private = replaced(&path, &whole).is_some();
        let (storage, _) = open_partial(&temporary, private, LockMode::Write, || {})?;
        Ok(Self { storage: Arc::new(storage), temporary, path, whole, overwrite, is_kept: false })
    }

    /// Whether what is written stays under its temporary name when this is dropped, for [`resume`](Self::resume).
    pub fn keep(&mut self, keep: bool) {
        self.is_kept = keep;
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
    pub fn publish(self, sync: bool) -> Result<()> {
        Self::publish_all(vec![self], sync)
    }

    /// Gives files of one output their names, in order, so that the last one is there only with all the others.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish). What had its name already is removed again, unless it replaced a file: a cut
    /// between two replacements leaves old files beside new ones.
    pub fn publish_all(mut files: Vec<Self>, sync: bool) -> Result<()> {
        use super::WriteAt;
        for file in files.iter().filter(|file| file.overwrite != Overwrite::No) {
            if let Some(replaced) = replaced(&file.path, &file.whole) {
                attributes::take_over(replaced, file.storage.as_file());
            }
        }
        if sync {
            for file in &files {
                file.storage.sync().map_err(|e| file.failed("sync", e))?;
            }
        }
        for index in 0..files.len() {
            // The names of the others are durable before the last one can be.
            let is_last = index > 0 && index + 1 == files.len();
            let file = &mut files[index];
            let others = if sync && is_last { file.sync_folder() } else { Ok(()) };
            match others.and_then(|()| rename(&file.temporary, &file.path, file.overwrite)) {
                Ok(()) => file.is_kept = true,
                Err(e) => {
                    let error = match e.kind() {
                        io::ErrorKind::AlreadyExists => Error::OutputExists { path: file.path.shown() },
                        _ => file.failed("rename", e),
                    };
                    for file in files[..index].iter().filter(|file| file.overwrite == Overwrite::No) {
                        // Nothing better can be done about a file that does not go away.
                        let _ = std::fs::remove_file(&file.path);
                    }
                    return Err(error);
                }
            }
        }
        if let (true, Some(file)) = (sync, files.last()) {
            file.sync_folder().map_err(|e| file.failed("sync the folder of", e))?;
        }
        Ok(())
    }

    /// Makes the names in the folder durable.
    fn sync_folder(&self) -> io::Result<()> {
        sync_folder_of(&self.path, self.storage.as_file())
    }

    fn failed(&self, operation: &'static str, e: io::Error) -> Error {
        Error::io(operation, self.path.shown(), e)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nothing better can be done about a temporary file that does not go away.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// The file whose place is taken by what appears at `path`, as a part of the output at `whole`.
fn replaced<'a>(path: &'a Path, whole: &'a Path) -> Option<&'a Path> {
    [path, whole].into_iter().find(|path| path.symlink_metadata().is_ok_and(|there| there.is_file()))
}

/// The hidden name of a file that belongs to the one at `path`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ending);
    path.with_file_name(name)
}

/// That an output may appear at `path`, where nobody uses what it replaces.
pub(crate) fn check_free(path: &Path, overwrite: Overwrite) -> Result<()> {
    let name = || path.shown();
    match path.symlink_metadata() {
        Ok(there) if !there.is_file() => Err(Error::OutputNotPlain { path: name() }),
        Ok(_) if overwrite == Overwrite::No => Err(Error::OutputExists { path: name() }),
        Ok(_) => match lock::ask_replaceable(path, overwrite == Overwrite::Claimed) {
            LockState::InUse(holder) => Err(Error::Locked { file: name(), holder }),
            LockState::Free | LockState::Unsupported => Ok(()),
        },
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("create", name(), e)),
        _ => Ok(()),
    }
}

/// Makes the names in the folder of `path`, which lies on the file system of `there`, durable; Windows has no such call and needs
/// none.
pub(super) fn sync_folder_of(path: &Path, there: &std::fs::File) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match File::open(folder.unwrap_or(Path::new("."))) {
            // One that may be written to and not read: with it the whole file system is made durable.
            #[cfg(target_os = "linux")]
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => rustix::fs::syncfs(there)?,
            folder => folder?.sync_all()?,
        }
    }
    let _ = (path, there);
    Ok(())
}

pub(super) fn rename(from: &Path, to: &Path, overwrite: Overwrite) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if overwrite == Overwrite::No {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system that does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            result => return Ok(result?),
        }
    }
    if overwrite == Overwrite::No && to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
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
        assert!(matches!(OutputFile::create(dir.path(), true), Err(Error::OutputNotPlain { .. })));
    }

    #[test]
    fn files_of_one_output_appear_together_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let paths = ["x-flat.vmdk", "x.vmdk"].map(|name| dir.path().join(name));
        let files = || paths.iter().map(|path| OutputFile::create(path, false).expect("is free")).collect();
        let late = files();
        std::fs::write(&paths[1], b"mine").expect("writes");
        assert!(matches!(OutputFile::publish_all(late, false), Err(Error::OutputExists { .. })));
        assert_eq!(names(dir.path()), ["x.vmdk"], "the extent went away again");
        std::fs::remove_file(&paths[1]).expect("goes away");
        OutputFile::publish_all(files(), true).expect("publishes");
        assert_eq!(names(dir.path()).len(), 2);
    }
}
