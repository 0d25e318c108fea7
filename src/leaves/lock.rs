//! Locks of files: what for, and who holds them.

use super::Shown;
use std::fmt;
use std::path::PathBuf;

/// What a file is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockMode {
    /// Its holder alone writes to it.
    Write,
    /// Several write to it who know of each other, and nobody else.
    WriteTogether,
    /// Its holder reads it, and nobody writes to it meanwhile.
    Steady,
}

/// What the locks of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum LockState {
    /// Nobody uses it so that it matters.
    Free,
    /// The file system has no locks, or not all: nobody may know.
    Unsupported,
    /// Somebody does.
    InUse(LockHolder),
}

/// Who uses a file, as far as its locks tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockHolder {
    /// Somebody who has locked the whole file: by `flock` or `fcntl`, or on Windows by having it open and not sharing it.
    Program {
        /// The process, where the system tells.
        process: Option<u32>,
    },
    /// Somebody who writes to it: a virtual machine of QEMU, a copy of diskport, or another part of this program.
    Writer,
    /// Somebody who relies on its staying as it is: QEMU that reads it, or a disk that is open for writing and has it as a
    /// parent.
    Reader,
    /// What VMware leaves beside a disk while a machine uses it: `NAME.lck`.
    VmwareLock(PathBuf),
    /// What Citrix Provisioning leaves beside a vDisk while it is used: `NAME.lok`.
    ProvisioningLock(PathBuf),
}

impl LockHolder {
    /// Whether it is a file beside the image that says so, which stays behind when a program dies; the system's own locks
    /// end with their holders.
    pub fn is_beside(&self) -> bool {
        matches!(self, Self::VmwareLock(_) | Self::ProvisioningLock(_))
    }
}

impl fmt::Display for LockHolder {
    /// What can be said of the file: "is open for writing elsewhere".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { process: None } => f.write_str("is locked by another program"),
            Self::Program { process: Some(process) } => write!(f, "is locked by the process {process}"),
            Self::Writer => f.write_str("is open for writing elsewhere"),
            Self::Reader => f.write_str(
                "must stay as it is: it is read by a virtual machine, or the parent of a disk in use",
            ),
            Self::VmwareLock(path) => write!(f, "is in use by VMware, says {}", path.shown()),
            Self::ProvisioningLock(path) => {
                write!(f, "is in use by Citrix Provisioning, says {}", path.shown())
            }
        }
    }
}
