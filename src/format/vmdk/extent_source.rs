//! What is known of a sparse extent before it is opened.

use super::GrainTables;
use crate::disk::FileIndex;
use crate::storage::ImageFile;

/// One sparse extent that is about to be opened.
pub(super) struct ExtentSource<'a> {
    /// Its number in the layer.
    pub(super) extent: u32,
    pub(super) file: &'a ImageFile,
    pub(super) index: FileIndex,
    /// Its sectors as the descriptor has them, where there is one.
    pub(super) declared: Option<u64>,
    pub(super) choice: GrainTables,
    /// Whether a damaged extent is read as far as it can be.
    pub(super) salvage: bool,
}
