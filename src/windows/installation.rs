//! Where on a volume a Windows is.

use super::ntfs::Volume;
use crate::error::Result;

/// Folders of a root directory that are looked into.
const MAX_FOLDERS: usize = 1000;

/// The folders of `volume` that hold a Windows: `\Windows`, above all.
///
/// # Errors
///
/// [`crate::Error::Damaged`] for a root directory that cannot be read, and what reading the disk gives rise to.
pub fn roots(volume: &Volume) -> Result<Vec<String>> {
    let folders = volume.root()?.entries()?.into_iter().filter(|entry| entry.is_directory);
    // Those of the volume itself, and the root directory, which is an entry of itself.
    let folders = folders.filter(|entry| !entry.name.starts_with(['$', '.'])).take(MAX_FOLDERS);
    let mut found = Vec::new();
    for folder in folders {
        let root = format!("\\{}", folder.name);
        match is_windows(volume, &root) {
            Ok(true) => found.push(root),
            Ok(false) => {}
            // What cannot be read, or leads elsewhere, starts nothing.
            Err(crate::Error::Damaged { .. } | crate::Error::Layout { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// Whether the folder `root` of `volume` holds a Windows: it has a kernel.
pub(crate) fn is_windows(volume: &Volume, root: &str) -> Result<bool> {
    Ok(volume.find(&format!("{root}\\System32\\ntoskrnl.exe"))?.is_some())
}
