//! `flock`: one lock on a whole file, which belongs to the open file and ends with it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use crate::leaves::{LockHolder, LockMode, LockState};

/// The lock needs nothing beside the open file.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Keep {}

/// How often a lock is asked for, and how long it is waited in between: whoever only looks has it for a moment.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(2);

pub(super) fn lock(file: &File, _: Option<&Path>, mode: LockMode, _: &Keep) -> io::Result<LockState> {
    let attempt = || match mode {
        LockMode::Write => file.try_lock(),
        LockMode::WriteTogether | LockMode::Steady => file.try_lock_shared(),
    };
    for _ in 1..ATTEMPTS {
        match state(attempt())? {
            LockState::InUse(_) => std::thread::sleep(PAUSE),
            state => return Ok(state),
        }
    }
    state(attempt())
}

/// Takes back a lock that is of no use without another one.
pub(super) fn unlock(file: &File) {
    // It ends with the file at the latest.
    let _ = file.unlock();
}

/// Whether somebody has the file for himself. There is no way to ask but to lock it, for a moment.
pub(super) fn ask(file: &File, _: &Path) -> LockState {
    let state = state(file.try_lock_shared()).unwrap_or(LockState::Unsupported);
    if state == LockState::Free {
        unlock(file);
    }
    state
}

fn state(locked: Result<(), TryLockError>) -> io::Result<LockState> {
    match locked {
        Ok(()) => Ok(LockState::Free),
        Err(TryLockError::WouldBlock) => Ok(LockState::InUse(LockHolder::Program { process: None })),
        Err(TryLockError::Error(e)) if is_unsupported(&e) => Ok(LockState::Unsupported),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Whether the error says that the file system has no locks.
pub(super) fn is_unsupported(e: &io::Error) -> bool {
    let none = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK];
    none.iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}

/// On Unix nobody is kept from opening a file.
pub(super) fn is_refusal(_: &io::Error) -> bool {
    false
}
