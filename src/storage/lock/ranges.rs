//! QEMU's locks on single bytes (`block/file-posix.c`).
//!
//! Whoever uses an image does so in up to four ways: reading, writing, writing what was there already, resizing. For each that
//! he does, he locks a byte from 100 on; for each that he suffers from no other, one from 200 on. All these locks are shared
//! ones, so any number of programs hold the same byte; what somebody does goes with what the others suffer when none of them
//! holds the opposite byte. First all own bytes are locked, then the opposite ones are looked at: two who come at once
//! may both be refused, but never both be let in.
//!
//! The locks belong to the open file, not to the process, so they hold between two parts of one program, too. They keep nobody
//! from reading or writing those bytes.

use std::fs::File;
use std::io;
use std::ops::Range;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::leaves::{LockHolder, LockMode, LockState};

/// The byte for the first way to use an image, of those who do.
const DONE: i64 = 100;
/// The same of those who do not suffer it.
const BARRED: i64 = 200;

/// Reading what is consistent.
const READ: Range<i64> = 0..1;
/// Writing, writing what was there already, and resizing.
const CHANGE: Range<i64> = 1..4;
/// All ways.
const ALL: Range<i64> = 0..4;

/// What one does, and what one suffers from no other.
fn ways(mode: LockMode) -> (Range<i64>, Range<i64>) {
    match mode {
        LockMode::Write => (ALL, CHANGE),
        LockMode::WriteTogether => (ALL, 0..0),
        LockMode::Steady => (READ, CHANGE),
    }
}

pub(super) fn lock(file: &File, mode: LockMode) -> io::Result<LockState> {
    let (done, barred) = ways(mode);
    let locked =
        set(file, libc::F_RDLCK, DONE, &done).and_then(|()| set(file, libc::F_RDLCK, BARRED, &barred));
    let state = match locked {
        Ok(()) => ask(file, mode),
        // Somebody has locked more than such bytes, and alone.
        Err(Errno::EAGAIN | Errno::EACCES) => match ask(file, mode) {
            in_use @ LockState::InUse(_) => in_use,
            _ => LockState::InUse(LockHolder::Program { process: None }),
        },
        Err(e) if is_unsupported(e) => LockState::Unsupported,
        Err(e) => return Err(e.into()),
    };
    if matches!(state, LockState::InUse(_)) {
        unlock(file);
    }
    Ok(state)
}

pub(super) fn unlock(file: &File) {
    for at in [DONE, BARRED] {
        // They end with the file at the latest.
        let _ = set(file, libc::F_UNLCK, at, &ALL);
    }
}

/// Whether somebody uses the file in a way that does not go with `mode`.
pub(super) fn ask(file: &File, mode: LockMode) -> LockState {
    let (done, barred) = ways(mode);
    let opposite = [(DONE, barred, LockHolder::Writer), (BARRED, done, LockHolder::Reader)];
    for (at, ways, holder) in opposite {
        match other(file, at, &ways) {
            Ok(None) => {}
            Ok(Some(lock)) if i32::from(lock.l_type) == libc::F_RDLCK && lock.l_pid <= 0 => {
                return LockState::InUse(holder);
            }
            Ok(Some(lock)) => {
                // Locks of whole files by other programs cover these bytes, too.
                let process = u32::try_from(lock.l_pid).ok().filter(|&process| process > 0);
                return LockState::InUse(LockHolder::Program { process });
            }
            Err(_) => return LockState::Unsupported,
        }
    }
    LockState::Free
}

/// The lock of another on any of the bytes.
fn other(file: &File, at: i64, ways: &Range<i64>) -> nix::Result<Option<libc::flock>> {
    if ways.is_empty() {
        return Ok(None);
    }
    let mut lock = bytes(libc::F_WRLCK, at, ways);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock))
}

/// Locks or unlocks the bytes.
fn set(file: &File, kind: i32, at: i64, ways: &Range<i64>) -> nix::Result<()> {
    if ways.is_empty() {
        return Ok(());
    }
    fcntl(file, FcntlArg::F_OFD_SETLK(&bytes(kind, at, ways))).map(|_| ())
}

fn bytes(kind: i32, at: i64, ways: &Range<i64>) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: (at + ways.start) as libc::off_t,
        l_len: (ways.end - ways.start) as libc::off_t,
        // For locks of open files it must be 0.
        l_pid: 0,
    }
}

/// Whether the file system, or a kernel before 3.15, has no such locks.
fn is_unsupported(e: Errno) -> bool {
    e == Errno::EINVAL || super::flock::is_unsupported(&e.into())
}
