//! What a format implements to be written in place.

use std::ops::Range;

use super::layer::{Identity, Layer, LayerInfo};
use crate::error::Result;
use crate::job::Job;

/// One image that is open for writing.
///
/// It is a [`Layer`] too: its map always shows what was written. The callers see to it that
/// - ranges lie within the disk and consist of whole units of [`granularity`](Self::granularity),
/// - [`write`](Self::write) may run many times at once,
/// - it and [`flush`](Self::flush), which runs beside no other change, may run beside `map`, which waits for no sync
///   and for no other write,
/// - everything else runs alone, so that no reader holds a mapping of space that is given back meanwhile.
///
/// After every storage write a cut may come: each method orders its writes so that what was flushed before is
/// there afterwards, and what was not is old or new, sector by sector; nothing of a parent ever shows or vanishes.
pub(crate) trait WriteLayer: Layer {
    /// Bytes of the smallest unit that can be written by itself.
    fn granularity(&self) -> u64;

    /// Writes `data` at the virtual `offset`.
    fn write(&self, data: &[u8], offset: u64) -> Result<()>;

    /// Makes `len` bytes from `offset` on read as zeros, whatever the parents hold, giving space back where it can.
    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()>;

    /// Says that `len` bytes from `offset` on are no longer needed: space is given back where it can, and each
    /// sector then reads as zeros or as it did.
    fn discard(&self, offset: u64, len: u64) -> Result<()>;

    /// Sees to it that what the map calls stored in `range` may be written to where it lies, by others than this layer, for as
    /// long as no space is given back: that the file says that its content changes, where the format wants that said. It may run beside
    /// [`write`](Self::write).
    fn begin_in_place(&self, range: &Range<u64>) -> Result<()>;

    /// Makes everything written durable.
    fn flush(&self) -> Result<()>;

    /// Makes everything durable and leaves the image as one that was closed cleanly. Nothing is called after it.
    fn close(&self) -> Result<()>;

    /// Whether the disk can be given this size, without changing anything.
    fn check_size(&self, size: u64) -> Result<()>;

    /// Changes the virtual size; what is added reads as zeros. When it shrinks, the caller has seen to it that
    /// nothing but zeros is cut, or that the cut is wanted. Where that takes long, `job` is told, and can stop it: the disk has its
    /// old size then. Only [`close`](Self::close) is called after it.
    fn resize(&self, size: u64, job: &Job) -> Result<()>;

    /// Moves what lies at the file's end into gaps, and cuts the file, until `job` stops it. Only [`close`](Self::close) is called
    /// after it.
    fn pack(&self, job: &Job) -> Result<()>;

    /// Records another parent: names and identities, nothing else. Only [`close`](Self::close) is called after it.
    fn set_parent(&self, parent: &ParentLink<'_>) -> Result<()>;

    /// Makes `id` the identity of the content from the next change of it on, instead of a new one. Formats without
    /// such an identity do nothing.
    fn set_data_id(&self, id: Identity);
}

/// What a child records of its parent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParentLink<'a> {
    /// What the parent says of itself.
    pub(crate) info: &'a LayerInfo,
    /// The way from the child's folder to the parent, with `/` between its parts, without a leading `./`.
    pub(crate) relative: Option<&'a str>,
    /// The parent's path from the root, as this system writes it: `/a/base`, `C:\a\base`, `\\server\share\base`.
    pub(crate) absolute: Option<&'a str>,
    /// When the parent's file was modified, in seconds since 1970.
    pub(crate) modified: Option<i64>,
}

impl ParentLink<'_> {
    /// The way as Windows writes it, without a leading `.\`; `None` where a name on it holds a backslash, which Windows
    /// would take for two.
    pub(crate) fn windows_relative(&self) -> Option<String> {
        self.relative.filter(|way| !way.contains('\\')).map(|way| way.replace('/', "\\"))
    }

    /// The path from the root as Windows writes it; `None` as above.
    pub(crate) fn windows_absolute(&self) -> Option<String> {
        let unix = |path: &str| path.starts_with('/');
        let path = self.absolute.filter(|path| !(unix(path) && path.contains('\\')));
        path.map(|path| path.replace('/', "\\"))
    }
}
