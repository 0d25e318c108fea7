//! Locks: who uses a file, and what others may do meanwhile.
//!
//! Programs tell each other in several ways that they use an image, and all of them count here:
//!
//! - a lock of the system on the whole file: `flock` on Unix, the sharing mode of an open file on Windows;
//! - on Linux also QEMU's locks on single bytes ([`ranges`]), which it takes and heeds as we do;
//! - a file or folder beside the image: VMware's and Citrix Provisioning's ([`beside`]).
//!
//! Whoever writes takes all locks that the system has, and is refused by any of another's. Whoever only reads takes none and
//! asks, but for the parents of a disk that is written to, which are kept from being changed. No lock covers a byte that is
//! read or written through another handle: Windows would refuse that even to the holder. Where the file system knows no
//! locks, work goes on, and says so.

mod beside;
#[cfg(unix)]
mod flock;
#[cfg(target_os = "linux")]
mod ranges;
#[cfg(windows)]
mod sharing;

use std::fs::File;
use std::io;
use std::path::Path;

pub(super) use beside::holder_beside;
#[cfg(unix)]
use flock as system;
#[cfg(windows)]
use sharing as system;

use super::safe_open;
use crate::error::Error;
use crate::leaves::{LockHolder, LockMode, LockState, Shown};

/// What a lock consists of beside the open file that it is on; it ends with both.
pub(super) type Keep = system::Keep;

/// Locks `file`, which lies at `path` if it has a name, without waiting. The lock ends with the open file. Of one that is in use
/// none is left; where not all kinds are supported, those that are.
pub(super) fn lock(file: &File, path: Option<&Path>, mode: LockMode, keep: &Keep) -> io::Result<LockState> {
    let whole = system::lock(file, path, mode, keep)?;
    #[cfg(target_os = "linux")]
    match &whole {
        LockState::Free | LockState::Unsupported => match ranges::lock(file, mode)? {
            LockState::Free => {}
            unsupported @ LockState::Unsupported => return Ok(unsupported),
            in_use => {
                system::unlock(file);
                return Ok(in_use);
            }
        },
        // The bytes tell more of whoever has the file.
        LockState::InUse(_) => return Ok(described(whole, ranges::ask(file, mode))),
    }
    Ok(whole)
}

/// Ends the lock on `file`, which closing it might not do at once: a program that is being started still has the file, until
/// it runs.
pub(super) fn unlock(file: &File) {
    #[cfg(target_os = "linux")]
    ranges::unlock(file);
    system::unlock(file);
}

/// Whether somebody writes to `file`, which nobody here has locked. No lock is left.
pub(super) fn ask(file: &File, path: &Path) -> LockState {
    let whole = system::ask(file, path);
    #[cfg(target_os = "linux")]
    let whole = described(whole, ranges::ask(file, LockMode::Steady));
    whole
}

/// Whether somebody uses the file at `path` at all, so that it must not be replaced. What is said beside it can be ignored.
pub(super) fn ask_replaceable(path: &Path, ignore_beside: bool) -> LockState {
    if let Some(holder) = holder_beside(path).filter(|_| !ignore_beside) {
        return LockState::InUse(holder);
    }
    // What may not be read is nobody's whom we could ask.
    let Ok(file) = safe_open::open_any(path) else { return LockState::Unsupported };
    let whole = system::ask(&file, path);
    #[cfg(target_os = "linux")]
    let whole = described(whole, ranges::ask(&file, LockMode::Write));
    whole
}

/// What a lock on the whole file and the bytes say together.
#[cfg(target_os = "linux")]
fn described(whole: LockState, bytes: LockState) -> LockState {
    match (whole, bytes) {
        (_, in_use @ LockState::InUse(_)) | (in_use @ LockState::InUse(_), _) => in_use,
        (LockState::Free, LockState::Free) => LockState::Free,
        _ => LockState::Unsupported,
    }
}

/// The error for a file at `path` that cannot be opened for writing: on Windows, another may have it open.
pub(crate) fn open_failed(path: &Path, e: io::Error) -> Error {
    let file = path.shown();
    if system::is_refusal(&e) {
        return Error::Locked { file, holder: LockHolder::Program { process: None } };
    }
    Error::io("open for writing", file, e)
}
