//! Copies of which the file system keeps the bytes only once.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{copy_file_range, fstatfs};
use rustix::io::Errno;

/// File systems on which a copy by the kernel shares what is copied (their numbers are those of `statfs(2)`). On all
/// others it reads and writes as we do, but cannot leave out zeros.
const SHARING: [u64; 4] = [
    0x5846_5342, // XFS
    0x9123_683e, // btrfs
    0xca45_1a4e, // bcachefs
    0x7461_636f, // OCFS2
];

/// Whether the file lies on a file system that can share.
pub(super) fn can_share(file: &File) -> bool {
    // Some systems have it as a signed number of 32 bits.
    fstatfs(file).is_ok_and(|system| SHARING.contains(&(system.f_type as u64 & 0xffff_ffff)))
}

/// Copies `range` of `from` to `offset` of `to`.
pub(super) fn copy(from: &File, range: Range<u64>, to: &File, offset: u64) -> io::Result<()> {
    let (mut at, mut offset) = (range.start, offset);
    while at < range.end {
        let len = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut at), to, Some(&mut offset), len) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            // Two file systems, or files that the kernel does not copy.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if at == range.start => {
                return Err(io::ErrorKind::Unsupported.into());
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
