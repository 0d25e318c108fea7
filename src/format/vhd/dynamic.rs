//! Dynamic and differencing disks: blocks that begin with a bitmap of their sectors.

use std::sync::Arc;

use super::bat::Bat;
use super::layout::SECTOR;
use crate::disk::cache::ChunkCache;
use crate::disk::{FileIndex, Layer, LayerInfo, Mapping, MappingKind, Sealed};
use crate::error::Result;
use crate::format::tools::bitmap::{self, BitOrder};
use crate::format::tools::table::TableCursor;
use crate::storage::ImageFile;

/// Blocks that one run joins at most, so that one call stays short.
const BLOCKS: u32 = 4096;

/// Bytes of sector bitmaps kept, but [`FEWEST`] bitmaps at least: those of the largest blocks take 64 KiB each.
const CACHE: u64 = 256 << 10;
const FEWEST: u64 = 4;

/// What the map of a dynamic or differencing disk is made of.
pub(super) struct Dynamic {
    pub(super) info: LayerInfo,
    pub(super) files: [ImageFile; 1],
    pub(super) bat: Bat,
    pub(super) bitmaps: ChunkCache,
    /// What a sector is whose bit is clear.
    pub(super) clear: MappingKind,
}

impl Dynamic {
    pub(super) fn new(file: ImageFile, bat: Bat, info: LayerInfo) -> Self {
        let bitmaps = ChunkCache::new((CACHE / bat.bitmap_size).max(FEWEST));
        // "Block Allocation Table and Data Blocks": in a dynamic disk, a clear bit says that the sector is zero; in a
        // differencing disk, that it is the parent's. A block that is not there says nothing in either.
        let clear = if info.parent.is_some() { MappingKind::Absent } else { MappingKind::Zero };
        Self { info, files: [file], bat, bitmaps, clear }
    }

    pub(super) fn cursor(&self) -> TableCursor<'_, u32> {
        self.bat.cursor(&self.files[0])
    }

    /// The bitmap of block `index`, which begins at `place`.
    pub(super) fn bitmap(&self, index: u64, place: u64) -> Result<Arc<Vec<u8>>> {
        self.bitmaps.get(index, || {
            let mut bits = vec![0; self.bat.bitmap_size as usize];
            self.files[0].read_exact_at(&mut bits, place)?;
            Ok(bits)
        })
    }

    /// The run that begins at `offset` and ends with its block or at `end`, where `place` is the block's and `bits` its bitmap.
    pub(super) fn run_in_block(&self, bits: &[u8], place: u64, offset: u64, end: u64) -> Mapping {
        let begin = offset / self.bat.block_size * self.bat.block_size;
        let first = (offset - begin) / SECTOR;
        let last = (end - begin).min(self.bat.block_size).div_ceil(SECTOR);
        let (set, sectors) = bitmap::run(bits, BitOrder::MsbFirst, first as usize, last as usize);
        let len = (begin + (first + sectors as u64) * SECTOR).min(end) - offset;
        if set {
            Mapping::stored(len, FileIndex(0), place + self.bat.bitmap_size + (offset - begin))
        } else {
            Mapping { len, kind: self.clear }
        }
    }

    /// The run that begins at `offset`, made of those that `in_block` gives: up to the end of their block, or their own end.
    pub(super) fn join(
        &self,
        offset: u64,
        limit: u64,
        mut in_block: impl FnMut(u64, u64) -> Result<Mapping>,
    ) -> Result<Mapping> {
        let end = offset.saturating_add(limit).min(self.info.size);
        let mut run = in_block(offset, end)?;
        // Stored bytes end with their block: the next one begins with a bitmap.
        if !matches!(run.kind, MappingKind::Stored { .. }) {
            let mut at = offset + run.len;
            for _ in 0..BLOCKS {
                if at >= end || !at.is_multiple_of(self.bat.block_size) {
                    break;
                }
                // What is wrong with a later block is said when that block is asked for.
                match in_block(at, end) {
                    Ok(next) if next.kind == run.kind => at += next.len,
                    _ => break,
                }
            }
            run.len = at - offset;
        }
        Ok(run)
    }

    /// The run of a block that is not in the file, from `offset` on.
    pub(super) fn absent(&self, offset: u64, end: u64) -> Mapping {
        Mapping::absent(end.min((offset / self.bat.block_size + 1) * self.bat.block_size) - offset)
    }
}

impl Sealed for Dynamic {}

impl Layer for Dynamic {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let mut cursor = self.cursor();
        self.join(offset, limit, |offset, end| {
            let index = offset / self.bat.block_size;
            match self.bat.block(&self.files[0], &mut cursor, index)? {
                Some(place) => {
                    let mut run = self.run_in_block(&self.bitmap(index, place)?, place, offset, end);
                    if let MappingKind::Stored { offset, .. } = run.kind {
                        run.len = self.bat.reach(&self.files[0], index, offset, run.len)?;
                    }
                    Ok(run)
                }
                None => Ok(self.absent(offset, end)),
            }
        })
    }
}
