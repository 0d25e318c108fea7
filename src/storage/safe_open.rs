//! Opening a name without being led elsewhere: by a symlink, by `..`, into a device or a FIFO.

use std::fs::{File, FileType};
use std::io;
use std::path::Path;

/// Opens `path` for reading; a FIFO or a device is opened without waiting. The caller checks what it got.
pub(super) fn open_any(path: &Path) -> io::Result<File> {
    open_with(path, Access::Read)
}

/// The same for reading and writing.
pub(super) fn open_any_writable(path: &Path) -> io::Result<File> {
    open_with(path, Access::Write)
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Reading and writing.
    Write,
}

fn open_with(path: &Path, access: Access) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(access == Access::Write);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32);
    }
    options.open(path)
}

/// Opens the plain file that `components` lead to from the folder `dir`, following no symlink and leaving `dir`
/// by no way. Every component is a plain name.
pub(super) fn open_beneath(dir: &Path, components: &[&str], access: Access) -> io::Result<File> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let file = system::open_beneath(dir, components, access)?;
    if !file.metadata()?.file_type().is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
    }
    Ok(file)
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
    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

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
    }
}

#[cfg(windows)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
    use std::path::Path;

    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
    const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x0000_0400;

    use super::Access;

    pub(super) fn open_beneath(dir: &Path, components: &[&str], access: Access) -> io::Result<File> {
        let Some((last, folders)) = components.split_last() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let escape = || io::Error::new(io::ErrorKind::InvalidInput, "a reparse point");
        let mut path = dir.to_path_buf();
        for name in folders {
            path.push(name);
            if path.symlink_metadata()?.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
                return Err(escape());
            }
        }
        path.push(last);
        let write = access == Access::Write;
        let file =
            File::options().read(true).write(write).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)?;
        if file.metadata()?.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(escape());
        }
        Ok(file)
    }
}
