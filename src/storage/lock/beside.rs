//! Files and folders beside an image by which programs say that they use it.
//!
//! They are there while it is used, and stay behind when the program dies. What they hold is known for none of them well enough to
//! tell the one from the other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::leaves::LockHolder;

/// Endings of the images that Citrix Provisioning streams.
const PROVISIONED: [&str; 4] = ["vhd", "vhdx", "avhd", "avhdx"];

/// Who says beside the image at `path` that he uses it: VMware in `NAME.lck`, a folder or a file, where `NAME` is the
/// image's whole name, or on NFS in [a file of its own](of_nfs); Citrix Provisioning in the file whose name ends in `.lok` where the image's has its ending.
pub(in super::super) fn holder_beside(path: &Path) -> Option<LockHolder> {
    let mut vmware = OsString::from(path);
    vmware.push(".lck");
    let vmware = [Some(PathBuf::from(vmware)), of_nfs(path)];
    if let Some(lock) = vmware.into_iter().flatten().find(|lock| lock.symlink_metadata().is_ok()) {
        return Some(LockHolder::VmwareLock(lock));
    }
    let ending = path.extension()?.to_str()?;
    if !PROVISIONED.iter().any(|known| known.eq_ignore_ascii_case(ending)) {
        return None;
    }
    let provisioning = path.with_extension("lok");
    provisioning.symlink_metadata().is_ok().then_some(LockHolder::ProvisioningLock(provisioning))
}

/// Where an ESX host locks an image on NFS: `.lck-` and the file's number there, in hexadecimal, the lowest byte first.
fn of_nfs(path: &Path) -> Option<PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let number = path.metadata().ok()?.ino().swap_bytes();
        Some(path.with_file_name(format!(".lck-{number:016x}")))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
