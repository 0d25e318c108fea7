//! A change that lies over a disk, in memory.

use std::sync::Arc;

use super::Disk;
use super::layer::{FileIndex, Layer, LayerInfo, Mapping};
use crate::error::{Error, Result};
use crate::storage::{FileRole, ImageFile, MemoryStorage};

/// Bytes that replace those of a disk; see [`Disk::patched`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// First byte of the virtual disk.
    pub offset: u64,
    /// The new bytes.
    pub bytes: Vec<u8>,
}

/// The top layer that holds `patches` and is otherwise absent.
pub(super) fn layer(below: &Disk, size: u64, mut patches: Vec<Patch>) -> Result<Arc<dyn Layer>> {
    patches.retain(|patch| !patch.bytes.is_empty());
    patches.sort_by_key(|patch| patch.offset);
    let mut at = 0;
    let mut bytes = Vec::new();
    let mut runs = Vec::new();
    for patch in patches {
        let len = patch.bytes.len() as u64;
        let end = patch.offset.checked_add(len).filter(|&end| end <= size);
        let end = end.ok_or(Error::OutOfRange { offset: patch.offset, len, size })?;
        if patch.offset < at {
            return Err(Error::Unsupported {
                what: format!("two patches overlap at offset {}", patch.offset),
            });
        }
        at = end;
        runs.push(Run { start: patch.offset, end, at: bytes.len() as u64 });
        bytes.extend_from_slice(&patch.bytes);
    }
    let mut info = below
        .chain()
        .first()
        .map(|top| top.info().clone())
        .ok_or(Error::Unsupported { what: "a disk without layers cannot be patched".to_owned() })?;
    info.size = size;
    info.warnings.clear();
    let file = ImageFile::new(Arc::new(MemoryStorage::new(bytes)), "(memory)", FileRole::Memory)?;
    Ok(Arc::new(PatchLayer { info, files: [file], runs }))
}

struct PatchLayer {
    info: LayerInfo,
    files: [ImageFile; 1],
    /// In order, not overlapping.
    runs: Vec<Run>,
}

struct Run {
    start: u64,
    end: u64,
    /// Where the bytes begin in memory.
    at: u64,
}

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
            Some(run) if run.start <= offset => {
                Mapping::stored(limit.min(run.end - offset), FileIndex(0), run.at + offset - run.start)
            }
            Some(run) => Mapping::absent(limit.min(run.start - offset)),
            None => Mapping::absent(limit),
        })
    }
}
