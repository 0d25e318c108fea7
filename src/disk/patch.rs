//! A change that lies over a disk, in memory but for what is only referred to.

use std::sync::Arc;

use super::Disk;
use super::changes::{Changes, Content, Move};
use super::layer::{FileIndex, Layer, LayerInfo, Mapping, Sealed};
use crate::error::{Error, Result};
use crate::storage::{FileRole, ImageFile, MemoryStorage, ReadAt};

/// The layer's first files: the disk below, where what is moved lies, and where everything goes, by which layers over the
/// same disk are told apart. Those of the patches and the contents follow.
const BELOW: FileIndex = FileIndex(0);
const OTHERS: u32 = 2;
/// No file: zeros.
const ZEROS: FileIndex = FileIndex(u32::MAX);

impl Disk {
    /// This disk with a new size and some bytes replaced or moved; what is added reads as zeros. Nothing is written:
    /// the change lies over the disk, in memory.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for changes beyond the new size or of bytes beyond this one, [`Error::Unsupported`] when two
    /// of them overlap.
    pub fn patched(&self, size: u64, changes: impl Into<Changes>) -> Result<Self> {
        let layer = layer(self, size, changes.into())?;
        let mut layers = vec![layer];
        layers.extend(self.inner.layers.iter().cloned());
        let (incomplete, warnings) = (self.inner.incomplete.clone(), self.inner.warnings.clone());
        Ok(Self::build(layers, size, incomplete, warnings))
    }
}

/// The top layer that holds `changes` and is otherwise absent.
pub(super) fn layer(below: &Disk, size: u64, changes: Changes) -> Result<Arc<dyn Layer>> {
    let memory = |bytes| ImageFile::new(Arc::new(MemoryStorage::new(bytes)), "(memory)", FileRole::Memory);
    let (mut files, mut runs) = (Vec::new(), Vec::new());
    let mut add = |start: u64, len: u64, file, at| {
        let end = start.checked_add(len).filter(|&end| end <= size);
        runs.push(Run { start, end: end.ok_or(Error::OutOfRange { offset: start, len, size })?, file, at });
        Ok::<_, Error>(())
    };
    for Move { from, to, len } in changes.moves {
        if from.checked_add(len).is_none_or(|end| end > below.size()) {
            return Err(Error::OutOfRange { offset: from, len, size: below.size() });
        }
        add(to, len, BELOW, from)?;
    }
    for patch in changes.patches {
        add(patch.offset, patch.bytes.len() as u64, FileIndex(OTHERS + files.len() as u32), 0)?;
        files.push(memory(patch.bytes)?);
    }
    let mut last: Option<Arc<dyn ReadAt>> = None;
    for Content { offset, len, source } in changes.contents {
        let Some((source, at)) = source else {
            add(offset, len, ZEROS, 0)?;
            continue;
        };
        // What one storage holds is often in several pieces.
        if !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &source)) {
            files.push(ImageFile::new(source.clone(), "(content)", FileRole::Content)?);
            last = Some(source);
        }
        let size = files.last().map_or(0, ImageFile::size);
        if at.checked_add(len).is_none_or(|end| end > size) {
            return Err(Error::OutOfRange { offset: at, len, size });
        }
        add(offset, len, FileIndex(OTHERS + files.len() as u32 - 1), at)?;
    }
    runs.retain(|run| run.start < run.end);
    runs.sort_by_key(|run| run.start);
    if let Some(pair) = runs.windows(2).find(|pair| pair[1].start < pair[0].end) {
        return Err(Error::Unsupported { what: format!("two changes overlap at offset {}", pair[1].start) });
    }
    let mut info = below
        .chain()
        .first()
        .map(|top| top.info().clone())
        .ok_or(Error::Unsupported { what: "a disk without layers cannot be patched".to_owned() })?;
    info.size = size;
    info.warnings.clear();
    let places = runs.iter().flat_map(|run| [run.start, run.end, u64::from(run.file.0), run.at]);
    let places = memory(places.flat_map(u64::to_le_bytes).collect())?;
    let below = ImageFile::new(Arc::new(below.clone()), "(moved)", FileRole::Disk)?;
    let files = [below, places].into_iter().chain(files).collect();
    Ok(Arc::new(PatchLayer { info, files, runs }))
}

struct PatchLayer {
    info: LayerInfo,
    files: Vec<ImageFile>,
    /// In order, not overlapping.
    runs: Vec<Run>,
}

struct Run {
    start: u64,
    end: u64,
    file: FileIndex,
    /// Where the bytes begin in the file.
    at: u64,
}

impl Sealed for PatchLayer {}

impl Layer for PatchLayer {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let limit = limit.min(self.info.size - offset);
        let next = self.runs.partition_point(|run| run.end <= offset);
        Ok(match self.runs.get(next) {
            Some(run) if run.start <= offset && run.file == ZEROS => {
                Mapping::zero(limit.min(run.end - offset))
            }
            Some(run) if run.start <= offset => {
                Mapping::stored(limit.min(run.end - offset), run.file, run.at + offset - run.start)
            }
            Some(run) => Mapping::absent(limit.min(run.start - offset)),
            None => Mapping::absent(limit),
        })
    }

    fn is_image(&self) -> bool {
        false
    }
}
