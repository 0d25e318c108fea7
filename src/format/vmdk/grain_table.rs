//! Pages of grain directories and grain tables, read when they are asked for, and the runs that their entries make.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::cache::ChunkCache;
use crate::disk::{FileIndex, Mapping};
use crate::error::Result;
use crate::storage::ImageFile;

/// Bytes of a page of a directory or of tables.
pub(super) const PAGE: u64 = 4 * 1024;
/// Pages kept: 244 KiB a layer however many extents it has, so that a chain of 64 layers takes less than 16 MiB. A
/// prime, so that extents do not share a few slots.
const SLOTS: u64 = 61;
/// Grains of which a run ends, though more of its kind may follow, so that one call stays short.
const MAX_GRAINS: u64 = 4096;

/// The pages of all directories and tables of a layer that were read lately.
pub(super) struct TablePages(ChunkCache);

/// Which table of an extent a page belongs to.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Directory,
    RedundantDirectory,
    /// A page of several grain tables.
    Grains,
    /// A page of one table: of a large one, or where the others beside it are damaged.
    Alone,
}

impl TablePages {
    pub(super) fn new() -> Self {
        Self(ChunkCache::new(SLOTS))
    }

    /// Page `number` of a table of the `extent`-th extent, loaded when it is not kept.
    pub(super) fn get(
        &self,
        extent: u32,
        table: Table,
        number: u64,
        load: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<Vec<u8>>> {
        // 65,536 extents at most, and fewer than 2^40 pages: see the limits in `open.rs` and `descriptor.rs`.
        self.0.get(u64::from(extent) << 44 | (table as u64) << 42 | number, load)
    }

    /// The page of a table at `offset` of `file` that holds entry `index`, and the entry's place in it. The table
    /// has `entries` entries of `size` bytes and lies inside the file.
    pub(super) fn entry(
        &self,
        (extent, table): (u32, Table),
        file: &ImageFile,
        (offset, entries, size): (u64, u64, u64),
        index: u64,
    ) -> Result<(Arc<Vec<u8>>, usize)> {
        let number = index * size / PAGE;
        let page = self.get(extent, table, number, || {
            let start = number * PAGE;
            let mut bytes = vec![0; PAGE.min(entries * size - start) as usize];
            file.read_exact_at(&mut bytes, offset + start)?;
            Ok(bytes)
        })?;
        Ok((page, (index * size % PAGE) as usize))
    }
}

/// What a table says of a grain.
#[derive(Clone, Copy)]
pub(super) enum Grain {
    Absent,
    Zero,
    /// It begins at this byte of the file.
    At(u64),
    /// The same of one that makes a run of its own: it is packed, or took reading to be told.
    Alone(u64),
}

/// Reads the parts of `bytes` that lie at these places of the file, those with one call that lie together in both.
pub(super) fn gather(
    file: &ImageFile,
    bytes: &mut [u8],
    parts: impl IntoIterator<Item = (u64, Range<usize>)>,
) -> Result<()> {
    let mut run: Option<(u64, Range<usize>)> = None;
    for (at, part) in parts {
        match &mut run {
            Some((start, joined)) if *start + joined.len() as u64 == at && joined.end == part.start => {
                joined.end = part.end;
            }
            _ => {
                if let Some((start, joined)) = run.replace((at, part)) {
                    file.read_exact_at(&mut bytes[joined], start)?;
                }
            }
        }
    }
    run.map_or(Ok(()), |(start, joined)| file.read_exact_at(&mut bytes[joined], start))
}

/// The run of grains of one kind at `offset` of an extent of `size` bytes, at most `limit` bytes long.
///
/// `look(grain, most)` says what a grain is, and of how many grains from there on it is true, of which `most` are
/// of interest: stored ones lie one after the other.
pub(super) fn run(
    (grain, size): (u64, u64),
    (offset, limit): (u64, u64),
    file: FileIndex,
    mut look: impl FnMut(u64, u64) -> Result<(Grain, u64)>,
) -> Result<Mapping> {
    let part = grain * MAX_GRAINS;
    let end = offset + limit.min(size - offset).min(part - offset % part);
    let start = offset - offset % grain;
    let mut look = |from: u64| look(from / grain, (end - from).div_ceil(grain));
    let (kind, count) = look(start)?;
    let mut reach = start.saturating_add(count.saturating_mul(grain));
    while reach < end && !matches!(kind, Grain::Alone(_)) {
        // What is wrong with a later grain is reported when that one is asked for.
        let Ok((next, count)) = look(reach) else { break };
        let joins = match (kind, next) {
            (Grain::Absent, Grain::Absent) | (Grain::Zero, Grain::Zero) => true,
            (Grain::At(first), Grain::At(at)) => at == first + (reach - start),
            _ => false,
        };
        if !joins {
            break;
        }
        reach = reach.saturating_add(count.saturating_mul(grain));
    }
    let len = reach.min(end) - offset;
    Ok(match kind {
        Grain::Absent => Mapping::absent(len),
        Grain::Zero => Mapping::zero(len),
        Grain::At(at) | Grain::Alone(at) => Mapping::stored(len, file, at + offset % grain),
    })
}
