//! The file of an output that several runs, or several processes, write before it has its name.
//!
//! Whoever writes it holds its lock, and the lock counts only while the file still has its temporary name: the one
//! who had it before may have published or removed it.

use std::io;
use std::path::{Path, PathBuf};

use super::lock;
use super::{FileStorage, beside};
use crate::error::{Error, Result};
use crate::leaves::{LockHolder, LockMode, Shown};

/// How often the file may be found published, or removed, by the one who had it before.
const TRIES: u32 = 100;

/// The temporary name of an output at `path` that a later run can go on with.
pub(crate) fn partial_of(path: &Path) -> PathBuf {
    beside(path, ".diskport-partial")
}

/// Opens the file at `temporary`, or creates it, `private` or not, and locks it; says whether it is new. `before_new` is called where there
/// was none yet.
///
/// # Errors
///
/// [`Error::OutputNotPlain`], [`Error::Locked`], [`Error::Io`].
pub(crate) fn open_partial(
    temporary: &Path,
    private: bool,
    mode: LockMode,
    before_new: impl Fn(),
) -> Result<(FileStorage, bool)> {
    let name = || temporary.shown();
    for _ in 0..TRIES {
        if !temporary.exists() {
            before_new();
        }
        let (storage, is_new) = match FileStorage::create_for(temporary, mode, private) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                match temporary.symlink_metadata() {
                    Ok(there) if !there.is_file() => return Err(Error::OutputNotPlain { path: name() }),
                    _ => {}
                }
                match FileStorage::open_for(temporary, mode) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    opened => (opened, false),
                }
            }
            created => (created, true),
        };
        let storage = storage.map_err(|e| lock::open_failed(temporary, e))?;
        storage.take(mode, &name())?;
        if storage.is_named(temporary).map_err(|e| Error::io("measure", name(), e))? {
            return Ok((storage, is_new));
        }
    }
    Err(Error::Locked { file: name(), holder: LockHolder::Writer })
}
