//! What a file has beside its content: an owner and a group, what they and others may do with it, and labels.
//!
//! An output that replaces a file takes all that over as far as the system lets it, and grants no one more than the file
//! did: until then nobody but its owner reaches it, and where the group cannot be kept, both the new group and everyone
//! else get no more than both had.

use std::fs::File;
use std::path::Path;

/// Gives `new` what the plain file at `replaced` has, if there is one.
#[cfg(unix)]
pub(super) fn take_over(replaced: &Path, new: &File) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let Ok(there) = replaced.symlink_metadata() else { return };
    // None but root may give files away; a group can be any that one is in.
    if fchown(new, Some(there.uid()), Some(there.gid())).is_err() {
        let _ = fchown(new, None, Some(there.gid()));
    }
    let Ok(own) = new.metadata() else { return };
    let (same_owner, same_group) = (own.uid() == there.uid(), own.gid() == there.gid());
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    let has_list = labels::take_over(replaced, new, same_group);
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    let has_list = false;
    let mode = mode(there.mode(), same_owner, same_group, has_list);
    // A file system that knows no modes has nothing to keep.
    let _ = new.set_permissions(PermissionsExt::from_mode(mode));
}

/// Elsewhere a file gets what its folder says, and no safe call copies what another one has.
#[cfg(not(unix))]
pub(super) fn take_over(_: &Path, _: &File) {}

/// The mode of what replaces a file of mode `there`; `has_list`: whether that one has an access control list.
#[cfg(unix)]
fn mode(there: u32, same_owner: bool, same_group: bool, has_list: bool) -> u32 {
    const SET_USER: u32 = 0o4000;
    const SET_GROUP: u32 = 0o2000;
    let mut mode = there & 0o7777;
    if !same_owner {
        mode &= !SET_USER;
    }
    if !same_group {
        // Members of the old group are now others. What the list grants and denies cannot be said in a mode.
        let both = if has_list { 0 } else { mode >> 3 & mode & 0o7 };
        mode = mode & !(SET_GROUP | 0o077) | both << 3 | both;
    }
    mode
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod labels {
    use std::ffi::CStr;
    use std::fs::File;
    use std::path::Path;

    use rustix::fs::{XattrFlags, fremovexattr, fsetxattr, lgetxattr, llistxattr};

    /// Bytes of all names, and of a value, at most (Linux's `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`).
    const MOST: usize = 64 << 10;
    /// The access control list, of which a part stands in the mode.
    const LIST: &CStr = c"system.posix_acl_access";

    /// Copies the labels of the file at `replaced`; the access control list only where the group is the same, which it
    /// speaks of. Says whether there is a list.
    pub(super) fn take_over(replaced: &Path, new: &File, same_group: bool) -> bool {
        let mut names = vec![0; MOST];
        let len = llistxattr(replaced, &mut names[..]).unwrap_or(0);
        let names = names[..len].split_inclusive(|&byte| byte == 0);
        let names: Vec<_> = names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()).collect();
        let has_list = names.contains(&LIST);
        if !(has_list && same_group) {
            // A folder may give a list to all that is made in it.
            let _ = fremovexattr(new, LIST);
        }
        let mut value = vec![0; MOST];
        for name in names.into_iter().filter(|name| is_kept(name) && (same_group || *name != LIST)) {
            // A label that may not be set is the system's own to give.
            if let Ok(len) = lgetxattr(replaced, name, &mut value[..]) {
                let _ = fsetxattr(new, name, &value[..len], XattrFlags::empty());
            }
        }
        has_list
    }

    /// Whether a label says something of the file, not of its content or of what lies below the file system.
    #[cfg(target_os = "linux")]
    fn is_kept(name: &CStr) -> bool {
        let name = name.to_bytes();
        let of_content = [&b"security.ima"[..], b"security.evm"].contains(&name);
        let kept = [LIST.to_bytes(), b"system.nfs4_acl"].contains(&name)
            || [&b"user."[..], b"security."].iter().any(|kind| name.starts_with(kind));
        kept && !of_content
    }

    #[cfg(target_os = "macos")]
    fn is_kept(_: &CStr) -> bool {
        true
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_mode_grants_no_more_than_before() {
        assert_eq!(mode(0o100_600, true, true, false), 0o600);
        assert_eq!(mode(0o104_755, true, true, false), 0o4755);
        assert_eq!(mode(0o106_755, false, false, false), 0o755);
        // Read by the group alone: by nobody but the owner. Kept from the group: from everyone.
        assert_eq!(mode(0o640, false, false, false), 0o600);
        assert_eq!(mode(0o604, true, false, false), 0o600);
        assert_eq!(mode(0o664, true, false, false), 0o644);
        assert_eq!(mode(0o664, true, false, true), 0o600);
        assert_eq!(mode(0o664, true, true, true), 0o664);
    }
}
