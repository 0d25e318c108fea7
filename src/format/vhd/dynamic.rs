//! Dynamic and differencing disks: blocks that begin with a bitmap of their sectors.

use super::bat::Bat;
use super::footer::Found;
use super::header::Header;
use super::layout::SECTOR;
use crate::disk::bitmap::{self, BitOrder};
use crate::disk::table::{ChunkCache, TableCursor};
use crate::disk::{FileIndex, Layer, LayerInfo, Mapping, MappingKind};
use crate::error::Result;
use crate::storage::ImageFile;

/// Bytes of sector bitmaps kept, but [`FEWEST`] bitmaps at least: those of the largest blocks take 64 KiB each.
const CACHE: u64 = 256 << 10;
const FEWEST: u64 = 4;

struct Dynamic {
    info: LayerInfo,
    files: [ImageFile; 1],
    bat: Bat,
    bitmaps: ChunkCache,
    /// What a sector is whose bit is clear.
    clear: MappingKind,
}

pub(super) fn open(
    file: ImageFile,
    found: &Found,
    header: &Header,
    mut info: LayerInfo,
) -> Result<Box<dyn Layer>> {
    let bat = Bat::open(&file, found, header, &mut info)?;
    let bitmaps = ChunkCache::new((CACHE / bat.bitmap_size).max(FEWEST));
    // "Block Allocation Table and Data Blocks": in a dynamic disk, a clear bit says that the sector is zero; in a
    // differencing disk, that it is the parent's. A block that is not there says nothing in either.
    let clear = if info.parent.is_some() { MappingKind::Absent } else { MappingKind::Zero };
    Ok(Box::new(Dynamic { info, files: [file], bat, bitmaps, clear }))
}

impl Dynamic {
    /// The run that begins at `offset` and ends with its block or at `end`.
    fn run_in_block(&self, cursor: &mut TableCursor<'_, u32>, offset: u64, end: u64) -> Result<Mapping> {
        let file = &self.files[0];
        let index = offset / self.bat.block_size;
        let begin = index * self.bat.block_size;
        let end = end.min(begin + self.bat.block_size);
        let Some(place) = self.bat.block(file, cursor, index)? else {
            return Ok(Mapping::absent(end - offset));
        };
        let bits = self.bitmaps.get(index, || {
            let mut bits = vec![0; self.bat.bitmap_size as usize];
            file.read_exact_at(&mut bits, place)?;
            Ok(bits)
        })?;
        let first = (offset - begin) / SECTOR;
        let last = (end - begin).div_ceil(SECTOR);
        let (set, sectors) = bitmap::run(&bits, BitOrder::MsbFirst, first as usize, last as usize);
        let len = (begin + (first + sectors as u64) * SECTOR).min(end) - offset;
        Ok(if set {
            Mapping::stored(len, FileIndex(0), place + self.bat.bitmap_size + (offset - begin))
        } else {
            Mapping { len, kind: self.clear }
        })
    }
}

impl Layer for Dynamic {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let end = offset.saturating_add(limit).min(self.info.size);
        let mut cursor = self.bat.cursor(&self.files[0]);
        let mut run = self.run_in_block(&mut cursor, offset, end)?;
        // Stored bytes end with their block: the next one begins with a bitmap.
        if !matches!(run.kind, MappingKind::Stored { .. }) {
            let mut at = offset + run.len;
            while at < end && at.is_multiple_of(self.bat.block_size) {
                // What is wrong with a later block is said when that block is asked for.
                match self.run_in_block(&mut cursor, at, end) {
                    Ok(next) if next.kind == run.kind => at += next.len,
                    _ => break,
                }
            }
            run.len = at - offset;
        }
        Ok(run)
    }
}
