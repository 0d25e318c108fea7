//! Telling whether a file has changed.

use std::fs::Metadata;

/// What of a file changes with its content, as far as the file system tells. That it was given another name, another
/// owner or another mode is no change of its content.
///
/// Two equal fingerprints of one storage mean that nobody wrote to it between them, unless its clock is too coarse to
/// tell. All parts are plain numbers, so that a fingerprint can be kept and compared by a later process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Bytes of the file.
    pub size: u64,
    /// When the content was last modified, in nanoseconds since 1970.
    pub modified: i64,
    /// The file's number on its device, which another file of the same name does not have; 0 where there is none.
    pub file: u64,
}

impl Fingerprint {
    /// Of a plain file; `None` for what does not say when it was modified, as block devices do not.
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        metadata.is_file().then(|| Self {
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            file: metadata.ino(),
        })
    }

    /// Of a plain file.
    #[cfg(not(unix))]
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        let since = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        let modified = i64::try_from(since.as_nanos()).ok()?;
        metadata.is_file().then(|| Self { size: metadata.len(), modified, file: 0 })
    }
}
