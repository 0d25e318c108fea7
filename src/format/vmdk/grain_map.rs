//! The map of hosted and COWD extents: a grain directory of grain tables, in hosted ones twice.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::grain_table::{Grain, PAGE, Table, TablePages, gather, run};
use super::layout::{GTE_UNALLOCATED, GTE_ZEROED, SECTOR};
use super::packed::Packing;
use super::reconcile;
use crate::disk::{FileIndex, Mapping, MappingKind};
use crate::error::{Error, Problem, Result};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::leaves::is_zero;
use crate::storage::ImageFile;

/// Grain table entries of a page.
const PAGE_ENTRIES: u64 = PAGE / 4;
/// Tables of a page at most: each may lie elsewhere, and small ones are many.
const PAGE_TABLES: u64 = 64;

/// The map of a hosted or COWD extent.
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
    /// Whether their tables may differ as a cut leaves them: the disk was not closed.
    pub(super) unclean: bool,
    /// Whether it is that of a COWD extent.
    pub(super) cowd: bool,
    /// Whether an entry of 1 means a grain of zeros.
    pub(super) zeroed_grains: bool,
    /// How grains are packed, where they are.
    pub(super) packing: Option<Packing>,
    /// Bytes of the last grain when it is inflated, once they are known.
    pub(super) last_grain: OnceLock<u32>,
    /// Whether a grain that the file ends in is read up to there; else it is refused.
    pub(super) reads_cut_grains: bool,
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
        let mut run = run(grain, (offset, limit), self.file, |grain, most| cursor.look(grain, most))?;
        if let (None, MappingKind::Stored { offset: at, .. }) = (&self.packing, run.kind) {
            // What the file lacks of a grain, where one that was cut is read at all.
            run.len = run.len.min(file.size().saturating_sub(at));
            if run.len == 0 {
                self.check_inside(file, offset / self.grain, at, 1)?;
            }
        }
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

    /// The grains, from `grain` on, that the entries say the same of.
    fn same_grains(&self, file: &ImageFile, grain: u64, entries: &[u8]) -> Result<(Grain, u64)> {
        let mut entries = entries.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry));
        let first = entries.next().unwrap_or(GTE_UNALLOCATED);
        let zero = first == GTE_ZEROED && self.zeroed_grains;
        if zero || first == GTE_UNALLOCATED {
            let count = 1 + entries.take_while(|&entry| entry == first).count() as u64;
            return Ok((if zero { Grain::Zero } else { Grain::Absent }, count));
        }
        let at = u64::from(first) * SECTOR;
        if self.packing.is_some() {
            // The rest is checked when the marker is read.
            return self.check_grains(file, grain, at, SECTOR).map(|()| (Grain::Alone(at), 1));
        }
        let step = self.grain / SECTOR;
        let mut expected = u64::from(first);
        let joined = entries.take_while(|&entry| {
            expected += step;
            u64::from(entry) == expected
        });
        let count = 1 + joined.count() as u64;
        let len = |count: u64| (self.grain * count).min(self.size - grain * self.grain);
        if count > 1 && self.check_grains(file, grain, at, len(count)).is_ok() {
            return Ok((Grain::At(at), count));
        }
        self.check_grains(file, grain, at, len(1)).map(|()| (Grain::At(at), 1))
    }

    /// That `len` bytes at `at`, grain `grain` and those after it, lie inside the file and on nothing else.
    fn check_grains(&self, file: &ImageFile, grain: u64, at: u64, len: u64) -> Result<()> {
        let there = if self.reads_cut_grains && self.packing.is_none() { 1 } else { len };
        self.check_inside(file, grain, at, there)?;
        self.check_free(file, "grain", at, len)
    }

    fn check_inside(&self, file: &ImageFile, grain: u64, at: u64, len: u64) -> Result<()> {
        if at + len > file.size() {
            let problem = if self.packing.is_some() { Problem::Truncated } else { Problem::OutOfFile };
            let expected = format!("{len} bytes within a file of {} bytes", file.size());
            let found = format!("grain {grain} at {at}..{}", at + len);
            return Err(file.defect(Format::Vmdk, problem, "grain", at, expected, found));
        }
        Ok(())
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
    page: Option<Page>,
}

/// The entries from grain `first` on, of `grains` grains; none where no table has any of them. Behind them, where only what
/// grains hold tells which copy is right, those of the redundant copy.
struct Page {
    first: u64,
    grains: u64,
    entries: Arc<Vec<u8>>,
}

impl Cursor<'_> {
    /// What the tables say of a grain of the extent, and of how many grains from there on it is true, where `most`
    /// are of interest.
    pub(super) fn look(&mut self, grain: u64, most: u64) -> Result<(Grain, u64)> {
        let page = match &self.page {
            Some(page) if grain >= page.first && grain - page.first < page.grains => page,
            _ => {
                let page = self.page(grain)?;
                &*self.page.insert(page)
            }
        };
        let most = most.min(page.first + page.grains - grain);
        if page.entries.is_empty() {
            return Ok((Grain::Absent, most));
        }
        let (at, len) = ((grain - page.first) as usize * 4, most as usize * 4);
        let (primary, redundant) = page.entries.split_at(page.grains as usize * 4);
        let entries = &primary[at..at + len];
        if redundant.is_empty() {
            return self.map.same_grains(self.file, grain, entries);
        }
        let redundant = &redundant[at..at + len];
        match entries.chunks_exact(4).zip(redundant.chunks_exact(4)).position(|(a, b)| a != b) {
            Some(0) => {
                let pair = (u32_at(redundant, 0), u32_at(entries, 0));
                self.contested(grain, pair)
            }
            agreed => self.map.same_grains(self.file, grain, &entries[..agreed.map_or(len, |n| n * 4)]),
        }
    }

    /// A grain that the copies have in different places.
    fn contested(&self, grain: u64, (redundant, primary): (u32, u32)) -> Result<(Grain, u64)> {
        let map = self.map;
        if !reconcile::same(map, self.file, redundant, primary)? {
            let table = grain / map.gtes_per_gt;
            let (primary, redundant) = (primary.to_le_bytes(), redundant.to_le_bytes());
            return Err(self.contradiction(table..table + 1, grain % map.gtes_per_gt, &primary, &redundant));
        }
        let (found, count) = map.same_grains(self.file, grain, &redundant.to_le_bytes())?;
        Ok((if let Grain::At(at) = found { Grain::Alone(at) } else { found }, count))
    }

    /// The page that holds a grain's entry: of as many tables as fit, since reading several costs what one does.
    fn page(&self, grain: u64) -> Result<Page> {
        let map = self.map;
        let per_table = map.gtes_per_gt;
        let together = (PAGE_ENTRIES / per_table).clamp(1, PAGE_TABLES);
        let table = grain / per_table;
        let group = table / together;
        if together > 1 {
            let range = group * together..map.tables().min((group + 1) * together);
            let first = range.start * per_table;
            let grains = (range.end * per_table).min(map.grains()) - first;
            let load = || self.load(range.clone(), 0..PAGE_ENTRIES);
            match self.pages.get(map.extent, Table::Grains, group, load) {
                Ok(entries) => return Ok(Page { first, grains, entries }),
                // One of them is damaged, which is no reason to refuse the others.
                Err(Error::Defect(_)) => {}
                Err(e) => return Err(e),
            }
        }
        let part = grain % per_table / PAGE_ENTRIES * PAGE_ENTRIES;
        let first = table * per_table + part;
        let grains = (per_table - part).min(PAGE_ENTRIES).min(map.grains() - first);
        let number = table * per_table.div_ceil(PAGE_ENTRIES) + part / PAGE_ENTRIES;
        let load = || self.load(table..table + 1, part..part + PAGE_ENTRIES);
        let entries = self.pages.get(map.extent, Table::Alone, number, load)?;
        Ok(Page { first, grains, entries })
    }

    /// Where a grain table lies; `None` when none of its grains is stored.
    pub(super) fn table(&self, table: u64) -> Result<Option<u64>> {
        self.directory_entry(Table::Directory, self.map.directory, table)
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

    /// Entries `part` of the tables `range`, one table after the other; nothing when there is no such table.
    fn load(&self, range: Range<u64>, part: Range<u64>) -> Result<Vec<u8>> {
        let map = self.map;
        let read = |which| -> Result<Result<Vec<u8>>> {
            let bytes = self.read(which, &range, &part);
            // What is wrong with the grains is no question of the copy.
            if let Ok(bytes) = &bytes {
                self.check_own_tables(which, &range, &part, bytes)?;
            }
            Ok(bytes)
        };
        let primary = read((Table::Directory, map.directory))?;
        let Some(directory) = map.redundant else { return primary };
        let redundant = read((Table::RedundantDirectory, directory))?;
        let (primary, redundant) = match (primary, redundant) {
            // Of a copy that lies where it cannot nothing is known: the other one is right.
            (Err(Error::Defect(_)), Ok(one)) | (Ok(one), Err(Error::Defect(_)))
                if map.unclean && range.end - range.start == 1 =>
            {
                return Ok(one);
            }
            (primary, redundant) => (primary?, redundant?),
        };
        // A table that is not there says the same as one of zeros.
        let same = |a: &[u8], b: &[u8]| a == b || (a.is_empty() && is_zero(b));
        if same(&primary, &redundant) || same(&redundant, &primary) {
            return Ok(primary);
        }
        if !map.unclean {
            return Err(self.contradiction(range, part.start, &primary, &redundant));
        }
        Ok(self.reconcile(&primary, &redundant))
    }

    /// The entries of two copies as a cut may leave them; behind them, if need be, those of the redundant copy.
    fn reconcile(&self, primary: &[u8], redundant: &[u8]) -> Vec<u8> {
        let len = primary.len().max(redundant.len());
        let mut entries = Vec::with_capacity(len);
        let mut others = Vec::with_capacity(len);
        for at in (0..len).step_by(4) {
            let (redundant, primary) = (u32_at(redundant, at), u32_at(primary, at));
            let fuller = reconcile::fuller(self.map, self.file, redundant, primary);
            entries.extend(fuller.unwrap_or(primary).to_le_bytes());
            others.extend(fuller.unwrap_or(redundant).to_le_bytes());
        }
        if others != entries {
            entries.extend(others);
        }
        entries
    }

    /// The same of one of the two copies.
    fn read(
        &self,
        (which, directory): (Table, u64),
        range: &Range<u64>,
        part: &Range<u64>,
    ) -> Result<Vec<u8>> {
        let map = self.map;
        let mut places = Vec::new();
        let mut len = 0;
        for table in range.clone() {
            // A table may have more entries than the extent has grains: they are not looked at.
            let entries = map.gtes_per_gt.min(map.grains() - table * map.gtes_per_gt);
            let size = (part.end.min(entries).saturating_sub(part.start) * 4) as usize;
            if let Some(at) = self.directory_entry(which, directory, table)? {
                self.file.check_inside(Format::Vmdk, "grain table", at, entries * 4)?;
                map.check_free(self.file, "grain table", at, entries * 4)?;
                places.push((at + part.start * 4, len..len + size));
            }
            len += size;
        }
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; len];
        gather(self.file, &mut bytes, places)?;
        Ok(bytes)
    }

    /// That no grain lies on its own table: it would be read as data and, once written to, destroy the table.
    fn check_own_tables(
        &self,
        (which, directory): (Table, u64),
        range: &Range<u64>,
        part: &Range<u64>,
        bytes: &[u8],
    ) -> Result<()> {
        let map = self.map;
        let len = if map.packing.is_some() { SECTOR } else { map.grain };
        let stride = (part.end.min(map.gtes_per_gt) - part.start) as usize * 4;
        for (table, entries) in range.clone().zip(bytes.chunks(stride)) {
            let Some(start) = self.directory_entry(which, directory, table)? else { continue };
            let end = start + map.gtes_per_gt * 4;
            // 0 and 1 are not grains.
            let first = ((start + SECTOR).saturating_sub(len) / SECTOR).max(2);
            let span = end.div_ceil(SECTOR) - first;
            let (entries, _) = entries.as_chunks::<4>();
            let on_table = |entry: &[u8; 4]| u64::from(u32::from_le_bytes(*entry)).wrapping_sub(first) < span;
            // Without a branch, since nearly always all of them are looked at.
            if !entries.iter().fold(false, |any, entry| any | on_table(entry)) {
                continue;
            }
            if let Some(entry) = entries.iter().find(|entry| on_table(entry)) {
                let at = u64::from(u32::from_le_bytes(*entry)) * SECTOR;
                let expected = format!("a grain outside its grain table at {start}..{end}");
                let found = format!("{at}..{}", at + len);
                return Err(self.file.defect(Format::Vmdk, Problem::Overlap, "grain", at, expected, found));
            }
        }
        Ok(())
    }

    /// What to say of two copies that differ: which entry, of which table, and what can be done.
    fn contradiction(&self, range: Range<u64>, part: u64, primary: &[u8], redundant: &[u8]) -> Error {
        let map = self.map;
        let lookup = |which, directory, table| self.directory_entry(which, directory, table).unwrap_or(None);
        let mut found = ("grain directory", map.directory, String::from("a difference"));
        let differs = primary.chunks_exact(4).zip(redundant.chunks_exact(4)).position(|(a, b)| a != b);
        let absent = range.clone().find(|&table| {
            let redundant = map.redundant.unwrap_or(map.directory);
            lookup(Table::Directory, map.directory, table).is_none()
                != lookup(Table::RedundantDirectory, redundant, table).is_none()
        });
        if let Some(index) = differs {
            let (table, entry) =
                (range.start + index as u64 / map.gtes_per_gt, part + index as u64 % map.gtes_per_gt);
            let at = lookup(Table::Directory, map.directory, table).unwrap_or(map.directory);
            let (a, b) = (u32_at(primary, index * 4), u32_at(redundant, index * 4));
            let what = format!("sector {a}, and {b} in the redundant copy");
            found = ("grain table", at + entry * 4, what);
        } else if let Some(table) = absent {
            found.1 = map.directory + table * 4;
            found.2 = format!("grain table {table} in one of them");
        }
        let (structure, at, found) = found;
        let expected = "the same in both copies";
        self.file
            .defect_box(Format::Vmdk, Problem::Ambiguous, structure, at, expected, found)
            .advise(Hint::ChooseGrainTable)
            .into()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|entry| entry.try_into().ok()).map_or(0, u32::from_le_bytes)
}
