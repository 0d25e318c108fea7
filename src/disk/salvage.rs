//! Salvaging: a damaged disk as one that reads throughout, with zeros for what cannot be read, of which note is taken.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::extents::resolve;
use super::layer::{FileIndex, Layer, LayerInfo, Mapping, MappingKind, Sealed};
use super::read::read_extent;
use super::{Disk, Extent};
use crate::MIB;
use crate::error::{Error, Result};
use crate::storage::{FileRole, ImageFile, ReadAt};

/// Losses that are listed one by one: each takes some hundred bytes.
const MAX_LOSSES: usize = 10_000;
/// Bytes that are taken for lost at once where an image without blocks does not say where something is.
const UNIT: u64 = MIB;
/// The smallest piece that storage reads by itself.
const SECTOR: u64 = 512;

/// A part of a disk that could not be read, and reads as zeros; or, of no bytes, what is lost without a known place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// First byte of the virtual disk.
    pub offset: u64,
    /// Bytes of the virtual disk.
    pub len: u64,
    /// Why it could not be read.
    pub cause: String,
}

/// What could not be read of a disk that is being salvaged. A clone is the same list.
///
/// Ten thousand losses are listed by themselves. After that, each goes into the one before it, which then holds
/// some bytes that were read, and says so.
#[derive(Debug, Clone, Default)]
pub struct Losses(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// What has no place: one for each layer at most.
    unplaced: Vec<Loss>,
    /// By the offset.
    placed: BTreeMap<u64, Loss>,
}

impl Losses {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// The losses met so far, in the order of the disk; none of them overlap.
    pub fn list(&self) -> Vec<Loss> {
        let known = self.lock();
        known.unplaced.iter().chain(known.placed.values()).cloned().collect()
    }

    /// Whether nothing was lost so far.
    pub fn is_empty(&self) -> bool {
        let known = self.lock();
        known.unplaced.is_empty() && known.placed.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `range` is lost. What is known of it already stays: a disk is read more than once.
    fn add(&self, range: Range<u64>, cause: &Error) {
        let losses = &mut self.lock().placed;
        let mut at = range.start;
        while at < range.end {
            let before = losses.range(..=at).next_back().map(|(_, loss)| loss.offset + loss.len);
            if let Some(end) = before.filter(|&end| end > at) {
                at = end;
                continue;
            }
            let next = losses.range(at..).next().map_or(u64::MAX, |(&start, _)| start);
            insert(losses, at..range.end.min(next), cause);
            at = range.end.min(next);
        }
    }
}

/// Adds a loss, which touches others at most: to one of the same cause, and when the list is full to its neighbour.
fn insert(losses: &mut BTreeMap<u64, Loss>, range: Range<u64>, cause: &Error) {
    let mut loss = Loss { offset: range.start, len: range.end - range.start, cause: cause.to_string() };
    let is_full = losses.len() >= MAX_LOSSES;
    let before = losses.range(..range.start).next_back().map(|(_, before)| before);
    if let Some(before) = before.filter(|before| is_full || is_one(before, &loss)) {
        loss = join(before, &loss);
    }
    let is_alone = loss.offset == range.start;
    let after = losses.range(range.end..).next().map(|(_, after)| after);
    if let Some(after) = after.filter(|after| is_full && is_alone || is_one(&loss, after)).cloned() {
        losses.remove(&after.offset);
        loss = join(&loss, &after);
    }
    losses.insert(loss.offset, loss);
}

/// Whether two losses are one: side by side, and of the same cause.
fn is_one(first: &Loss, second: &Loss) -> bool {
    first.offset + first.len == second.offset && first.cause == second.cause
}

/// Two losses, with what lies between them, as one.
fn join(first: &Loss, second: &Loss) -> Loss {
    const NOT_ALL: &str = "; other parts of this range for other causes, and some not at all";
    let mut joined = Loss { len: second.offset + second.len - first.offset, ..first.clone() };
    if !is_one(first, second) && !joined.cause.ends_with(NOT_ALL) {
        joined.cause.push_str(NOT_ALL);
    }
    joined
}

impl Disk {
    /// This disk as one that reads throughout: what cannot be read of it is zeros, and is added to `losses` when it is
    /// asked for. A long read that fails is done again in parts, down to a sector.
    ///
    /// [`Open::salvage`](crate::Open::salvage) opens disks that would be refused, too.
    ///
    /// ```
    /// use diskport::copy::Convert;
    /// use diskport::disk::Losses;
    ///
    /// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("rescued.raw");
    /// let losses = Losses::new();
    /// Convert::new(&diskport::open(image)?.salvaged(&losses)?).create(path)?;
    /// for loss in losses.list() {
    ///     eprintln!("{} bytes at {}: {}", loss.len, loss.offset, loss.cause);
    /// }
    /// # Ok::<(), diskport::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a disk that comes out of a stream, of which nothing can be read again.
    pub fn salvaged(&self, losses: &Losses) -> Result<Disk> {
        self.check_reads_again("salvaging")?;
        let inner = &self.inner;
        // Read over what is missing: that it is, is said of the bytes that it would decide on.
        let disk = Self::build(inner.layers.clone(), inner.size, None, Vec::new());
        let layers = inner.layers.iter();
        let unit = layers.filter_map(|layer| layer.info().block_size).min().unwrap_or(UNIT);
        let source = Salvage { disk, losses: losses.clone(), missing: inner.incomplete.clone(), unit };
        let Some(top) = inner.layers.first() else { return Ok(self.clone()) };
        let unplaced = inner.layers.iter().filter_map(|layer| layer.info().unplaced_loss.clone());
        losses.lock().unplaced.extend(unplaced.map(|cause| Loss { offset: 0, len: 0, cause }));
        let mut info = LayerInfo::new(top.info().format, top.info().subformat, inner.size);
        info.logical_sector_size = top.info().logical_sector_size;
        info.physical_sector_size = top.info().physical_sector_size;
        info.compressed = inner.layers.iter().any(|layer| layer.info().compressed);
        info.warnings = self.warnings().cloned().collect();
        let source = Arc::new(source);
        let name = top.files().first().map_or("(image)", |file| file.name());
        let mut files = vec![ImageFile::new(source.clone(), name, FileRole::Disk)?];
        // Its files are those of the disk, too: none of them may be written to or change meanwhile.
        files.extend(inner.layers.iter().flat_map(|layer| layer.files()).cloned());
        Ok(Self::new(vec![Arc::new(Salvaged { info, files, source })], None, Vec::new()))
    }
}

/// A disk, and what was lost of it.
struct Salvage {
    disk: Disk,
    losses: Losses,
    /// Why the chain is not whole.
    missing: Option<Arc<Error>>,
    /// Bytes that the map's answers are about at least: a block.
    unit: u64,
}

impl Salvage {
    /// The run at `at`, which ends at or before `end`.
    fn run(&self, at: u64, end: u64) -> Result<Extent> {
        resolve(&self.disk, at, end, |depth, limit| self.disk.chain()[depth].map(at, limit))
    }

    /// The run at `at`, which ends at or before `end`: lost, where it cannot be told what it is.
    fn find(&self, at: u64, end: u64) -> Extent {
        let cause = match self.run(at, end) {
            Ok(extent) => match &self.missing {
                Some(cause) if extent.kind == MappingKind::Absent => {
                    self.losses.add(extent.start..extent.end(), cause);
                    return Extent { kind: MappingKind::Zero, ..extent };
                }
                _ => return extent,
            },
            Err(cause) => cause,
        };
        let end = end.min((at / self.unit + 1) * self.unit);
        let end = self.end_of_loss(at, end);
        self.losses.add(at..end, &cause);
        Extent { start: at, len: end - at, kind: MappingKind::Zero, depth: 0 }
    }

    /// Where a run that is lost from `at` on ends, at `end` at the latest: the parts of an image need not begin where its blocks do.
    fn end_of_loss(&self, at: u64, end: u64) -> u64 {
        let is_known = |at| self.run(at, end).is_ok();
        if end - at <= SECTOR || !is_known(end - SECTOR) {
            return end;
        }
        let (mut lost, mut known) = (at, end - SECTOR);
        while known - lost > SECTOR {
            let middle = lost + ((known - lost) / 2).next_multiple_of(SECTOR).min(known - lost - 1);
            *if is_known(middle) { &mut known } else { &mut lost } = middle;
        }
        known
    }

    /// Fills `buf`, which is as long as the extent, as far as that can be read.
    fn read(&self, extent: &Extent, buf: &mut [u8]) {
        let Err(cause) = read_extent(&self.disk, extent, buf) else { return };
        let middle = (extent.start + extent.len / 2) / SECTOR * SECTOR;
        // A compressed grain is there as a whole, or not at all.
        if matches!(extent.kind, MappingKind::Packed(_)) || middle <= extent.start {
            buf.fill(0);
            return self.losses.add(extent.start..extent.end(), &cause);
        }
        let half = middle - extent.start;
        let (first, second) = buf.split_at_mut(half as usize);
        self.read(&extent.slice(0, half), first);
        self.read(&extent.slice(half, u64::MAX), second);
    }
}

/// The disk's bytes, or zeros.
impl ReadAt for Salvage {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = self.disk.size().min(offset.saturating_add(buf.len() as u64));
        let mut at = offset;
        while at < end {
            let extent = self.find(at, end);
            let (from, to) = ((at - offset) as usize, (extent.end() - offset) as usize);
            self.read(&extent, &mut buf[from..to]);
            at = extent.end();
        }
        Ok(end.saturating_sub(offset) as usize)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.size())
    }
}

/// The disk as a layer: what holds data lies in the first file, where it lies on the disk.
struct Salvaged {
    info: LayerInfo,
    files: Vec<ImageFile>,
    source: Arc<Salvage>,
}

impl Sealed for Salvaged {}

impl Layer for Salvaged {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let end = self.info.size.min(offset.saturating_add(limit));
        let extent = self.source.find(offset, end);
        if !extent.is_data() {
            return Ok(Mapping { len: extent.len, kind: extent.kind });
        }
        // Holes are zeros that nobody need read.
        let first = self.source.disk.extents(offset..extent.end()).skip_holes().next();
        let Some(Ok(extent)) = first else { return Ok(Mapping::stored(extent.len, FileIndex(0), offset)) };
        Ok(match extent.kind {
            MappingKind::Zero => Mapping::zero(extent.len),
            _ => Mapping::stored(extent.len, FileIndex(0), offset),
        })
    }
}
