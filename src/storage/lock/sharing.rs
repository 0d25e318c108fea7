//! Sharing modes: on Windows a file is opened together with what others may do meanwhile.
//!
//! Virtual machines, backup programs and this crate all keep writers out so. Locks on ranges are of no use there: they are
//! mandatory, and bind even the other handles of their holder.

use std::fs::File;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::super::safe_open::share_mode;
use crate::leaves::{LockHolder, LockMode, LockState};

const ERROR_SHARING_VIOLATION: i32 = 32;

/// The handle that keeps writers out of a file which is open for reading.
pub(in super::super) type Keep = Arc<OnceLock<File>>;

pub(super) fn lock(_: &File, path: Option<&Path>, mode: LockMode, keep: &Keep) -> io::Result<LockState> {
    match (mode, path) {
        // It was opened so.
        (LockMode::Write | LockMode::WriteTogether, _) => Ok(LockState::Free),
        (LockMode::Steady, None) => Ok(LockState::Unsupported),
        (LockMode::Steady, Some(path)) => match without_writers(path) {
            Ok(file) => {
                keep.get_or_init(|| file);
                Ok(LockState::Free)
            }
            Err(e) if is_refusal(&e) => Ok(in_use()),
            Err(e) => Err(e),
        },
    }
}

/// It ends with the handle.
pub(super) fn unlock(_: &File) {}

/// Whether somebody has the file open for writing.
pub(super) fn ask(_: &File, path: &Path) -> LockState {
    match without_writers(path) {
        Err(e) if is_refusal(&e) => in_use(),
        Ok(_) => LockState::Free,
        Err(_) => LockState::Unsupported,
    }
}

/// Whether the error says that another has the file open and does not share it.
pub(super) fn is_refusal(e: &io::Error) -> bool {
    e.raw_os_error() == Some(ERROR_SHARING_VIOLATION)
}

fn without_writers(path: &Path) -> io::Result<File> {
    File::options().read(true).share_mode(share_mode(LockMode::Steady)).open(path)
}

fn in_use() -> LockState {
    LockState::InUse(LockHolder::Program { process: None })
}
