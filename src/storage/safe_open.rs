//! Opening a name without being led elsewhere: by a symlink, by `..`, into a device or a FIFO.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::path::Path;

use crate::leaves::LockMode;

/// Opens `path` for reading; a FIFO or a device is opened without waiting. The caller checks what it got.
pub(super) fn open_any(path: &Path) -> io::Result<File> {
    open_with(path, Access::Read, LockMode::WriteTogether, false)
}

/// The same for reading and writing. A block device is claimed, so that one that is mounted, or in use by the system in
/// another way, is [busy](io::ErrorKind::ResourceBusy), and stays unmounted as long as it is open.
pub(super) fn open_any_writable(path: &Path, mode: LockMode) -> io::Result<File> {
    let claim = path.metadata().is_ok_and(|there| is_block_device(&there.file_type()));
    let file = open_with(path, Access::Write, mode, claim)?;
    if !claim && is_block_device(&file.metadata()?.file_type()) {
        // It has just taken the place of what was there, and is not claimed.
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    Ok(file)
}

/// Creates a new file for reading and writing; a private one can be reached by nobody but its owner.
pub(super) fn create_new(path: &Path, mode: LockMode, private: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    share(&mut options, mode);
    options.open(path)
}

/// What others may do with a file that is opened for `mode`. Outputs are renamed while they are open.
#[cfg(windows)]
pub(super) fn share_mode(mode: LockMode) -> u32 {
    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_WRITE: u32 = 2;
    const FILE_SHARE_DELETE: u32 = 4;
    match mode {
        LockMode::Write | LockMode::Steady => FILE_SHARE_READ | FILE_SHARE_DELETE,
        LockMode::WriteTogether => FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
    }
}

/// Says what others may do with a file that is locked for `mode`. Windows alone asks when it is opened; elsewhere locks are
/// taken afterwards.
fn share(options: &mut OpenOptions, mode: LockMode) {
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(options, share_mode(mode));
    #[cfg(not(windows))]
    let _ = (options, mode);
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Reading and writing.
    Write,
}

fn open_with(path: &Path, access: Access, mode: LockMode, claim: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(access == Access::Write);
    share(&mut options, mode);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        // open(2) of Linux: without O_CREAT it is defined for block devices alone. Other systems have mounted ones busy
        // without being asked.
        flags.set(OFlags::EXCL, claim && cfg!(target_os = "linux"));
        options.custom_flags(flags.bits() as i32);
    }
    #[cfg(not(unix))]
    let _ = claim;
    options.open(path)
}

/// Opens the plain file that `components` lead to from the folder `dir`, following no symlink and leaving `dir`
/// by no way. Every component is a plain name.
pub(super) fn open_beneath(dir: &Path, components: &[impl AsRef<str>], access: Access) -> io::Result<File> {
    let components: Vec<_> = components.iter().map(AsRef::as_ref).collect();
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let file = system::open_beneath(dir, &components, access)?;
    if !file.metadata()?.file_type().is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
    }
    Ok(file)
}

/// Whether there is a block device at `path`.
pub(crate) fn is_device_at(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| is_block_device(&there.file_type()))
}

/// Whether it is a block device.
pub(super) fn is_block_device(kind: &FileType) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileTypeExt::is_block_device(kind)
    }
    #[cfg(not(unix))]
    {
        let _ = kind;
        false
    }
}

/// Whether the error says that a symlink, or a way out of the folder, was met.
pub(super) fn is_escape(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        [Errno::LOOP, Errno::XDEV, Errno::NOTDIR]
            .map(Errno::raw_os_error)
            .map(Some)
            .contains(&error.raw_os_error())
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::InvalidInput
    }
}

#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::fs::{CWD, Mode, OFlags, openat};

    use super::Access;

    const FILE: OFlags =
        OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
    /// A folder that is only passed through need not be readable.
    #[cfg(target_os = "linux")]
    const PASS: OFlags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    const PASS: OFlags = OFlags::RDONLY;
    const FOLDER: OFlags = PASS.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    fn flags(access: Access) -> OFlags {
        FILE | match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        }
    }

    pub(super) fn open_beneath(dir: &Path, components: &[&str], access: Access) -> io::Result<File> {
        // The folder is the caller's own choice: a symlink to it is followed.
        let folder = openat(CWD, dir, FOLDER, Mode::empty())?;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{ResolveFlags, openat2};
            use rustix::io::Errno;
            let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match openat2(&folder, components.join("/"), flags(access), Mode::empty(), within) {
                Ok(fd) => return Ok(fd.into()),
                // A kernel before 5.6, or a sandbox that does not know the call.
                Err(Errno::NOSYS | Errno::PERM) => {}
                Err(e) => return Err(e.into()),
            }
        }
        walk(folder, components, access)
    }

    /// One component at a time, none of them a symlink.
    fn walk(mut folder: OwnedFd, components: &[&str], access: Access) -> io::Result<File> {
        let Some((last, folders)) = components.split_last() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        for name in folders {
            folder = openat(&folder, *name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(openat(&folder, *last, flags(access), Mode::empty())?.into())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// The fallback refuses what `openat2` refuses.
        #[test]
        fn walking_follows_no_symlink() {
            let dir = tempfile::tempdir().expect("a folder");
            let root = || openat(CWD, dir.path(), FOLDER, Mode::empty()).expect("opens");
            std::fs::create_dir(dir.path().join("sub")).expect("a folder");
            std::fs::write(dir.path().join("sub/plain"), b"x").expect("a file");
            std::os::unix::fs::symlink("sub", dir.path().join("folder-link")).expect("a link");
            std::os::unix::fs::symlink("plain", dir.path().join("sub/link")).expect("a link");
            assert!(walk(root(), &["sub", "plain"], Access::Read).is_ok());
            assert!(walk(root(), &["sub", "link"], Access::Read).is_err());
            assert!(walk(root(), &["folder-link", "plain"], Access::Read).is_err());
        }

        /// The folder, and those on the way, may be ones that one can pass through and not list.
        #[cfg(target_os = "linux")]
        #[test]
        fn walking_lists_no_folder() {
            use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
            use std::fs::Permissions;
            use std::os::unix::fs::PermissionsExt;
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().to_owned();
            let mode = |mode| {
                for folder in [path.join("sub"), path.clone()] {
                    std::fs::set_permissions(folder, Permissions::from_mode(mode)).expect("is ours");
                }
            };
            std::fs::create_dir(path.join("sub")).expect("a folder");
            std::fs::write(path.join("sub/plain"), b"x").expect("a file");
            mode(0o100);
            let passed = std::thread::scope(|scope| {
                let pass = || {
                    let none = CapabilitySet::empty();
                    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
                    // Of this thread alone: root could list any folder.
                    set_capabilities(None, none).expect("is given up");
                    assert!(std::fs::read_dir(&path).is_err(), "it cannot be listed");
                    let walked =
                        walk(openat(CWD, &path, FOLDER, Mode::empty())?, &["sub", "plain"], Access::Read);
                    walked.and(open_beneath(&path, &["sub", "plain"], Access::Read))
                };
                scope.spawn(pass).join().expect("ends")
            });
            mode(0o700);
            assert!(passed.is_ok(), "{passed:?}");
        }
    }
}

#[cfg(windows)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
    use std::path::Path;

    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x0000_0400;
    const FILE_READ_ATTRIBUTES: u32 = 0x0080;
    const FILE_TRAVERSE: u32 = 0x0020;
    const FILE_SHARE_READ_AND_WRITE: u32 = 0x0003;

    use super::Access;

    /// Goes down by paths, each folder of which is held: one that is open and whose deletion is not shared is neither
    /// renamed nor replaced.
    pub(super) fn open_beneath(dir: &Path, components: &[&str], access: Access) -> io::Result<File> {
        let Some((last, folders)) = components.split_last() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // The folder is the caller's own choice: a link to it is followed.
        let mut held = vec![hold(dir, 0)?];
        let mut path = dir.to_path_buf();
        for name in folders {
            path.push(name);
            held.push(no_link(hold(&path, FILE_FLAG_OPEN_REPARSE_POINT)?)?);
        }
        path.push(last);
        let mut options = File::options();
        options.read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        if access == Access::Write {
            options.write(true);
            super::share(&mut options, super::LockMode::Write);
        }
        no_link(options.open(path)?)
    }

    fn hold(folder: &Path, flags: u32) -> io::Result<File> {
        // Without the right to traverse, a handle does not count among those that share.
        File::options()
            .access_mode(FILE_READ_ATTRIBUTES | FILE_TRAVERSE)
            .share_mode(FILE_SHARE_READ_AND_WRITE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | flags)
            .open(folder)
    }

    fn no_link(file: File) -> io::Result<File> {
        if file.metadata()?.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a reparse point"));
        }
        Ok(file)
    }
}
