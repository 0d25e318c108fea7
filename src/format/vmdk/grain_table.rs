//! Grain directories and grain tables of hosted and COWD extents, read a page at a time when they are asked for.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::layout::{GTE_UNALLOCATED, GTE_ZEROED, SECTOR};
use super::packed::Packing;
use crate::disk::table::ChunkCache;
use crate::disk::{FileIndex, Mapping, MappingKind};
use crate::error::{Problem, Result};
use crate::format::Format;
use crate::storage::ImageFile;

/// Bytes of a page of a directory or table.
const PAGE: u64 = 4096;
/// Pages kept: 1 MiB a layer, however many extents it has. A prime, so that extents do not share a few slots.
const SLOTS: u64 = 251;
/// Entries of a hosted or COWD table that fit a page.
const PAGE_ENTRIES: u64 = PAGE / 4;
/// Steps after which a run ends though more of its kind may follow, so that one call stays short.
const MAX_STEPS: u32 = 1 << 16;

/// The pages of all directories and tables of a layer that were read lately.
pub(super) struct TablePages(ChunkCache);

/// Which table of an extent a page belongs to.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Directory,
    RedundantDirectory,
    Grains,
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
    ) -> Result<Arc<[u8]>> {
        // 65,536 extents at most, and fewer than 2^40 pages: see the limits in `hosted.rs` and `descriptor.rs`.
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
    ) -> Result<(Arc<[u8]>, usize)> {
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
}

/// The run of grains of one kind at `offset` of an extent of `size` bytes, at most `limit` bytes long.
///
/// `look(grain)` says what a grain is, and of how many grains from there on it is true. Grains stored one after
/// the other are joined unless they are `packed`.
pub(super) fn run(
    (grain, size): (u64, u64),
    (offset, limit): (u64, u64),
    file: FileIndex,
    packed: bool,
    mut look: impl FnMut(u64) -> Result<(Grain, u64)>,
) -> Result<Mapping> {
    let end = offset + limit.min(size - offset);
    let start = offset - offset % grain;
    let (kind, count) = look(offset / grain)?;
    let mut reach = start.saturating_add(count.saturating_mul(grain));
    let mut steps = 0;
    while reach < end && steps < MAX_STEPS && !(packed && matches!(kind, Grain::At(_))) {
        // What is wrong with a later grain is reported when that one is asked for.
        let Ok((next, count)) = look(reach / grain) else { break };
        let joins = match (kind, next) {
            (Grain::Absent, Grain::Absent) | (Grain::Zero, Grain::Zero) => true,
            (Grain::At(first), Grain::At(at)) => at == first + (reach - start),
            _ => false,
        };
        if !joins {
            break;
        }
        reach = reach.saturating_add(count.saturating_mul(grain));
        steps += 1;
    }
    let len = reach.min(end) - offset;
    Ok(match kind {
        Grain::Absent => Mapping::absent(len),
        Grain::Zero => Mapping::zero(len),
        Grain::At(at) => Mapping::stored(len, file, at + offset % grain),
    })
}

/// The map of a hosted or COWD extent: a grain directory of grain tables.
pub(super) struct GrainMap {
    /// The number of the extent in its layer.
    pub(super) extent: u32,
    pub(super) file: FileIndex,
    /// Bytes of the extent's part of the disk.
    pub(super) size: u64,
    /// Bytes of a grain.
    pub(super) grain: u64,
    /// Entries of a grain table.
    pub(super) gtes_per_gt: u64,
    /// Where the grain directory lies that is read.
    pub(super) directory: u64,
    /// Where the other one lies whose tables must say the same.
    pub(super) redundant: Option<u64>,
    /// Whether an entry of 1 means a grain of zeros.
    pub(super) zeroed_grains: bool,
    /// How grains are packed, where they are.
    pub(super) packing: Option<Packing>,
    /// Bytes of the last grain when it is inflated, once they are known.
    pub(super) last_grain: OnceLock<u32>,
    /// Header, descriptor and directories: no table and no grain may lie there.
    pub(super) reserved: Vec<(&'static str, Range<u64>)>,
}

impl GrainMap {
    /// Grains of the extent.
    pub(super) fn grains(&self) -> u64 {
        self.size.div_ceil(self.grain)
    }

    /// Entries of the grain directory.
    pub(super) fn tables(&self) -> u64 {
        self.grains().div_ceil(self.gtes_per_gt)
    }

    /// That the directories lie inside the file and on nothing else.
    pub(super) fn check(&mut self, file: &ImageFile) -> Result<()> {
        let names = ["grain directory", "redundant grain directory"];
        for (name, offset) in names.into_iter().zip([Some(self.directory), self.redundant]) {
            let Some(offset) = offset else { continue };
            let len = self.tables() * 4;
            file.check_inside(Format::Vmdk, name, offset, len)?;
            self.check_free(file, name, offset, len)?;
            self.reserved.push((name, offset..offset + len));
        }
        Ok(())
    }

    pub(super) fn map(
        &self,
        file: &ImageFile,
        pages: &TablePages,
        offset: u64,
        limit: u64,
    ) -> Result<Mapping> {
        let mut cursor = self.cursor(file, pages);
        let grain = (self.grain, self.size);
        let mut run = run(grain, (offset, limit), self.file, self.packing.is_some(), |n| cursor.look(n))?;
        if let (Some(packing), MappingKind::Stored { offset: at, .. }) = (&self.packing, run.kind) {
            let skip = offset % self.grain;
            run.kind =
                MappingKind::Packed(packing.grain(self, file, offset / self.grain, at - skip, skip)?);
        }
        Ok(run)
    }

    pub(super) fn cursor<'a>(&'a self, file: &'a ImageFile, pages: &'a TablePages) -> Cursor<'a> {
        Cursor { map: self, file, pages, page: None }
    }

    fn check_free(&self, file: &ImageFile, what: &'static str, offset: u64, len: u64) -> Result<()> {
        match self.reserved.iter().find(|(_, area)| offset < area.end && area.start < offset + len) {
            None => Ok(()),
            Some((name, area)) => Err(file.defect(
                Format::Vmdk,
                Problem::Overlap,
                what,
                offset,
                format!("{len} bytes outside the {name} at {}..{}", area.start, area.end),
                format!("{offset}..{}", offset + len),
            )),
        }
    }
}

/// Reads grain table entries one after the other, taking each page from the cache once.
pub(super) struct Cursor<'a> {
    map: &'a GrainMap,
    file: &'a ImageFile,
    pages: &'a TablePages,
    page: Option<(u64, Arc<[u8]>)>,
}

impl Cursor<'_> {
    /// What the tables say of a grain of the extent, and for how many grains.
    pub(super) fn look(&mut self, grain: u64) -> Result<(Grain, u64)> {
        let map = self.map;
        let (table, index) = (grain / map.gtes_per_gt, grain % map.gtes_per_gt);
        let number = table * map.gtes_per_gt.div_ceil(PAGE_ENTRIES) + index / PAGE_ENTRIES;
        let page = match &self.page {
            Some((kept, page)) if *kept == number => page,
            _ => {
                let Some(at) = self.table(table)? else {
                    return Ok((Grain::Absent, map.gtes_per_gt - index));
                };
                let first = index - index % PAGE_ENTRIES;
                let page =
                    self.pages.get(map.extent, Table::Grains, number, || self.load(at, table, first))?;
                &self.page.insert((number, page)).1
            }
        };
        let entry = u32_at(page, (index % PAGE_ENTRIES) as usize * 4);
        Ok((self.grain(grain, entry)?, 1))
    }

    /// The grain that an entry stands for, checked.
    fn grain(&self, grain: u64, entry: u32) -> Result<Grain> {
        let map = self.map;
        match entry {
            GTE_UNALLOCATED => Ok(Grain::Absent),
            GTE_ZEROED if map.zeroed_grains => Ok(Grain::Zero),
            _ => {
                let at = u64::from(entry) * SECTOR;
                let len = match &map.packing {
                    // The rest is checked when the size is read.
                    Some(_) => SECTOR,
                    None => map.grain.min(map.size - grain * map.grain),
                };
                if at + len > self.file.size() {
                    return Err(self.beyond(grain, at, len));
                }
                map.check_free(self.file, "grain", at, len)?;
                Ok(Grain::At(at))
            }
        }
    }

    fn beyond(&self, grain: u64, at: u64, len: u64) -> crate::Error {
        let problem = if self.map.packing.is_some() { Problem::Truncated } else { Problem::OutOfFile };
        let expected = format!("{len} bytes within a file of {} bytes", self.file.size());
        let found = format!("grain {grain} at {at}..{}", at + len);
        self.file.defect(Format::Vmdk, problem, "grain", at, expected, found)
    }

    /// Where a grain table lies; `None` when none of its grains is stored.
    pub(super) fn table(&self, table: u64) -> Result<Option<u64>> {
        let primary = self.directory_entry(Table::Directory, self.map.directory, table)?;
        if let (None, Some(redundant)) = (primary, self.map.redundant) {
            let other = self.directory_entry(Table::RedundantDirectory, redundant, table)?;
            if let Some(other) = other {
                let at = self.map.directory + table * 4;
                return Err(self.contradiction("grain directory", at, 0, other / SECTOR));
            }
        }
        Ok(primary)
    }

    fn directory_entry(&self, which: Table, directory: u64, table: u64) -> Result<Option<u64>> {
        let map = self.map;
        let place = (directory, map.tables(), 4);
        let (page, at) = self.pages.entry((map.extent, which), self.file, place, table)?;
        Ok(match u32_at(&page, at) {
            0 => None,
            sector => Some(u64::from(sector) * SECTOR),
        })
    }

    /// Entries of a grain table from `first` on: a page of those that the extent needs.
    fn load(&self, at: u64, table: u64, first: u64) -> Result<Vec<u8>> {
        let map = self.map;
        let primary = self.read(at, table, first)?;
        if let Some(directory) = map.redundant {
            let redundant = self.directory_entry(Table::RedundantDirectory, directory, table)?;
            let Some(redundant_at) = redundant else {
                let at_entry = map.directory + table * 4;
                return Err(self.contradiction("grain directory", at_entry, at / SECTOR, 0));
            };
            let redundant = self.read(redundant_at, table, first)?;
            if primary != redundant {
                let differs =
                    primary.chunks_exact(4).zip(redundant.chunks_exact(4)).position(|(a, b)| a != b);
                let index = differs.unwrap_or(0) * 4;
                let (a, b) = (u32_at(&primary, index), u32_at(&redundant, index));
                let offset = at + first * 4 + index as u64;
                return Err(self.contradiction("grain table", offset, a.into(), b.into()));
            }
        }
        Ok(primary)
    }

    fn read(&self, at: u64, table: u64, first: u64) -> Result<Vec<u8>> {
        let map = self.map;
        // A table may have more entries than the extent has grains: they are not looked at.
        let entries = map.gtes_per_gt.min(map.grains() - table * map.gtes_per_gt);
        self.file.check_inside(Format::Vmdk, "grain table", at, entries * 4)?;
        map.check_free(self.file, "grain table", at, entries * 4)?;
        let mut bytes = vec![0; (PAGE_ENTRIES.min(entries - first) * 4) as usize];
        self.file.read_exact_at(&mut bytes, at + first * 4)?;
        // A grain that lies on its own table would be read as data and, once written to, destroy it.
        let table_end = at + entries * 4;
        for entry in bytes.chunks_exact(4) {
            let entry = u64::from(u32_at(entry, 0)) * SECTOR;
            let len = if map.packing.is_some() { SECTOR } else { map.grain };
            if entry > SECTOR && entry < table_end && at < entry + len {
                let expected = format!("a grain outside its grain table at {at}..{table_end}");
                let found = format!("{entry}..{}", entry + len);
                return Err(self.file.defect(
                    Format::Vmdk,
                    Problem::Overlap,
                    "grain",
                    entry,
                    expected,
                    found,
                ));
            }
        }
        Ok(bytes)
    }

    fn contradiction(&self, structure: &'static str, at: u64, primary: u64, redundant: u64) -> crate::Error {
        self.file
            .defect_box(
                Format::Vmdk,
                Problem::Ambiguous,
                structure,
                at,
                "the same in both copies",
                format!("sector {primary}, and {redundant} in the redundant copy"),
            )
            .advise(
                "repair the image with vmware-vdiskmanager -R, or say with --grain-table primary or \
                 --grain-table redundant which copy counts",
            )
            .into()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|entry| entry.try_into().ok()).map_or(0, u32::from_le_bytes)
}
