//! A virtual disk: one image, or a chain of a differencing image over its parents, read as one.

mod adapt;
pub(crate) mod ahead;
mod blank;
mod blocks;
pub(crate) mod cache;
mod changes;
mod empty;
mod extents;
mod forward;
mod holes;
mod in_place;
mod layer;
mod may_differ;
mod patch;
pub(crate) mod pipeline;
pub(crate) mod plan;
mod read;
mod salvage;
mod slice;
mod storage;
mod view;
mod warning;
mod writable;
pub(crate) mod write;

use std::fmt;
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::sync::Arc;

pub use crate::leaves::is_zero;
pub use adapt::{BlockStream, Limit, Observe, Overlay};
pub(crate) use blocks::Pool;
pub use blocks::{Block, BlockReader, Blocks, Buffer, Data};
pub use changes::{Changes, Content, Move, Patch};
pub use extents::{Extent, Extents};
pub use holes::SkipHoles;
pub use in_place::{WriteExtent, WriteWay};
pub(crate) use layer::Sealed;
pub use layer::{
    Codec, FileIndex, Geometry, Identity, Layer, LayerInfo, Linkage, Mapping, MappingKind, Packed, ParentRef,
};
pub(crate) use may_differ::MayDiffer;
pub use salvage::{Loss, Losses};
pub use slice::Window;
pub use warning::{Warning, WarningKind};
pub use writable::{Compaction, WritableDisk};

use crate::error::{Error, Result};
use crate::leaves::Shown;
use crate::storage::{Hold, ImageFile};
use cache::ChunkCache;

/// A virtual disk, ready to be read by any number of threads. A clone is the same disk and costs nothing.
///
/// ```
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// println!("{} bytes in {} layers", disk.size(), disk.chain().len());
/// let mut sector = [0; 512];
/// disk.read_at(&mut sector, 0)?;
/// for extent in disk.extents(..) {
///     let extent = extent?;
///     println!("{} bytes at {}: {:?}", extent.len, extent.start, extent.kind);
/// }
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Clone)]
pub struct Disk {
    inner: Arc<Inner>,
}

/// Grains kept inflated.
const GRAINS: u64 = 4;

struct Inner {
    layers: Vec<Arc<dyn Layer>>,
    size: u64,
    /// Why the content cannot be read, when it cannot.
    incomplete: Option<Arc<Error>>,
    /// What is odd about the chain, as opposed to one of its layers.
    warnings: Vec<Warning>,
    /// Grains inflated lately, so that small reads of one grain inflate it once.
    grains: ChunkCache<(u32, FileIndex, u64)>,
}

impl Disk {
    /// The disk that `layers` make up: the top first, each over the next.
    ///
    /// `incomplete` says why its content cannot be read, if it cannot.
    pub(crate) fn new(
        layers: Vec<Arc<dyn Layer>>,
        incomplete: Option<Error>,
        warnings: Vec<Warning>,
    ) -> Self {
        let size = layers.first().map_or(0, |top| top.info().size);
        Self::build(layers, size, incomplete.map(Arc::new), warnings)
    }

    /// The same disk with another image in place of its top layer.
    fn with_top(&self, top: Arc<dyn Layer>) -> Self {
        let below = self.inner.layers.iter().skip(1).cloned();
        let layers = std::iter::once(top).chain(below).collect();
        let (incomplete, warnings) = (self.inner.incomplete.clone(), self.inner.warnings.clone());
        Self::build(layers, self.inner.size, incomplete, warnings)
    }

    /// The disk without its top layer; `None` when there is nothing below it.
    pub(crate) fn parent(&self) -> Option<Self> {
        let layers: Vec<_> = self.inner.layers.iter().skip(1).cloned().collect();
        (!layers.is_empty()).then(|| Self::new(layers, None, Vec::new()))
    }

    fn build(
        layers: Vec<Arc<dyn Layer>>,
        size: u64,
        incomplete: Option<Arc<Error>>,
        warnings: Vec<Warning>,
    ) -> Self {
        let grains = ChunkCache::new(GRAINS);
        Self { inner: Arc::new(Inner { layers, size, incomplete, warnings, grains }) }
    }

    /// The virtual size in bytes.
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    /// Bytes of a logical sector: 512 or 4096.
    pub fn logical_sector_size(&self) -> u32 {
        self.inner.layers.first().map_or(512, |top| top.info().logical_sector_size)
    }

    /// The layers, the top first.
    pub fn chain(&self) -> &[Arc<dyn Layer>] {
        &self.inner.layers
    }

    /// Why the content cannot be read, when the disk was opened without its parent.
    pub fn incomplete(&self) -> Option<&Error> {
        self.inner.incomplete.as_deref()
    }

    /// What is odd about the chain and its layers but does not hinder reading.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.inner.warnings.iter().chain(self.inner.layers.iter().flat_map(|layer| &layer.info().warnings))
    }

    /// The file that holds an extent of this disk; `None` for extents that no file holds.
    pub fn file_of(&self, extent: &Extent) -> Option<&ImageFile> {
        let file = match extent.kind {
            MappingKind::Stored { file, .. } => file,
            MappingKind::Packed(packed) => packed.file,
            MappingKind::Zero | MappingKind::Absent => return None,
        };
        self.inner.layers.get(extent.depth as usize)?.files().get(file.0 as usize)
    }

    fn clip(&self, range: impl RangeBounds<u64>) -> Range<u64> {
        clip(range, self.size())
    }

    /// Refuses an output that would replace a file which this disk is made from.
    pub(crate) fn check_not_source(&self, output: &Path) -> Result<()> {
        let mut own = self.chain().iter().flat_map(|layer| layer.files());
        match own.any(|file| file.is_at(output)) {
            true => Err(Error::OutputIsSource { path: output.shown() }),
            false => Ok(()),
        }
    }

    /// Keeps writers from its files while what is returned lives, if they were opened here.
    pub(crate) fn hold(&self) -> Result<Vec<Hold>> {
        let files = self.chain().iter().flat_map(|layer| layer.files());
        files.filter_map(|file| file.hold_for().transpose()).collect()
    }

    /// Refuses when a file of it was written to since it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        self.chain().iter().flat_map(|layer| layer.files()).try_for_each(ImageFile::check_unchanged)
    }

    /// Refuses when the content cannot be read.
    pub(crate) fn check_complete(&self) -> Result<()> {
        match &self.inner.incomplete {
            Some(cause) => Err(Error::Incomplete(cause.clone())),
            None => Ok(()),
        }
    }
}

/// The part of a range that lies before `size`.
fn clip(range: impl RangeBounds<u64>, size: u64) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    let end = end.min(size);
    start.min(end)..end
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("size", &self.inner.size)
            .field("layers", &self.inner.layers.iter().map(|layer| layer.info()).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
