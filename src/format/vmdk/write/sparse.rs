//! A hosted sparse extent that is written: grains are allocated, and their table entries published later.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::super::allocator::Allocator;
use super::super::grain_map::{Cursor, GrainMap};
use super::super::grain_table::{Grain, TablePages, run};
use super::super::layout::{GTE_UNALLOCATED, GTE_ZEROED, GTES_PER_GT, SECTOR};
use super::super::table_copies::{self, TableCopy};
use super::beneath::Beneath;
use crate::disk::{FileIndex, Mapping, MappingKind};
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::storage::{FileRole, ImageFile, WritableFile};

/// Entries that wait for the next flush at most: 1 GiB in grains of 64 KiB.
const MAX_PENDING: usize = 1 << 14;
/// Bytes that are allocated and written at once at most.
const MAX_BATCH: u64 = 1 << 20;

/// A sparse extent that is open for writing.
///
/// Grains are allocated one writer at a time, under `space`; all else needs `tables`, and that only for as long as it
/// takes to look something up.
pub(super) struct Sparse {
    file: WritableFile,
    index: FileIndex,
    beneath: Beneath,
    /// Both copies, or the only one.
    copies: Vec<TableCopy>,
    tables: RwLock<Tables>,
    space: Mutex<Allocator>,
}

/// What the tables say, and will say.
pub(super) struct Tables {
    /// The file with the size that it had when the tables were last published.
    image: ImageFile,
    /// Of the primary tables: both say the same.
    pub(super) map: GrainMap,
    pages: TablePages,
    /// Entries by grain that the tables in the file do not have yet.
    pending: BTreeMap<u64, u32>,
    /// Whether some of the tables in the file may have some of them: publishing them failed.
    torn: bool,
    /// Places that grains have left since then, by grain, which a table in the file may name.
    left: BTreeMap<u64, u64>,
}

impl Tables {
    /// What is true of a grain, and of how many from there on, where `most` are of interest.
    fn look(&self, cursor: &mut Cursor<'_>, grain: u64, most: u64) -> Result<(Grain, u64)> {
        match self.pending.range(grain..grain + most).next() {
            Some((&at, &entry)) if at == grain => Ok((decode(entry), 1)),
            Some((&at, _)) => cursor.look(grain, at - grain),
            None => cursor.look(grain, most),
        }
    }

    /// What the tables in the file say of a grain.
    fn published(&self, grain: u64) -> Result<Grain> {
        self.map.cursor(&self.image, &self.pages).look(grain, 1).map(|(grain, _)| grain)
    }
}

/// What an entry that was made here says.
fn decode(entry: u32) -> Grain {
    match entry {
        GTE_UNALLOCATED => Grain::Absent,
        GTE_ZEROED => Grain::Zero,
        sector => Grain::At(u64::from(sector) * SECTOR),
    }
}

impl Sparse {
    /// The extent in `file`, which was checked; `taken` is what the check found in use.
    pub(super) fn new(
        file: WritableFile,
        mut map: GrainMap,
        beneath: Beneath,
        taken: Allocator,
    ) -> Result<Self> {
        let copies = table_copies::of(&map);
        map.redundant = None;
        let image = file.image(FileRole::Extent)?;
        let (pages, pending, left) = (TablePages::new(), BTreeMap::new(), BTreeMap::new());
        let tables = Tables { image, pages, pending, torn: false, left, map };
        let index = tables.map.file;
        Ok(Self { file, index, beneath, copies, tables: RwLock::new(tables), space: Mutex::new(taken) })
    }

    pub(super) fn file(&self) -> &WritableFile {
        &self.file
    }

    pub(super) fn index(&self) -> FileIndex {
        self.index
    }

    pub(super) fn beneath(&self) -> &Beneath {
        &self.beneath
    }

    pub(super) fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_tables(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn space(&self) -> MutexGuard<'_, Allocator> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let tables = self.tables();
        let mut cursor = tables.map.cursor(&tables.image, &tables.pages);
        let sizes = (tables.map.grain, tables.map.size);
        run(sizes, (offset, limit), self.index, |grain, most| tables.look(&mut cursor, grain, most))
    }

    pub(super) fn write(&self, mut data: &[u8], mut offset: u64) -> Result<()> {
        while !data.is_empty() {
            let run = self.map(offset, data.len() as u64)?;
            let len = match run.kind {
                MappingKind::Stored { offset: place, .. } => {
                    self.file.write_all_at(&data[..run.len as usize], place)?;
                    run.len
                }
                _ => self.allocate(data, offset)?,
            };
            data = &data[len as usize..];
            offset += len;
        }
        Ok(())
    }

    /// Writes the first of `data` into new grains, and returns how much of it; 0 when another writer was faster.
    fn allocate(&self, data: &[u8], offset: u64) -> Result<u64> {
        let mut space = self.space();
        if self.tables().pending.len() >= MAX_PENDING {
            self.publish(&mut space)?;
        }
        let run = self.map(offset, data.len() as u64)?;
        if matches!(run.kind, MappingKind::Stored { .. }) {
            return Ok(0);
        }
        let data = &data[..run.len as usize];
        let (grain, end) = (self.tables().map.grain, offset + run.len);
        let first = offset / grain;
        let wanted = (end.div_ceil(grain) - first).min((MAX_BATCH / grain).max(1));
        let (place, count, reused) = self.place(&mut space, first, wanted)?;
        let len = run.len.min((first + count) * grain - offset);
        let shows_zeros = run.kind == MappingKind::Zero;
        if let Err(e) =
            self.fill(place, first * grain, count * grain, (&data[..len as usize], offset), shows_zeros)
        {
            if !reused {
                (0..count).for_each(|n| space.free(place + n * grain));
            }
            return Err(e);
        }
        let mut tables = self.change_tables();
        for n in 0..count {
            if reused && !tables.torn {
                tables.pending.remove(&(first + n));
            } else {
                tables.pending.insert(first + n, ((place + n * grain) / SECTOR) as u32);
                tables.left.remove(&(first + n));
            }
        }
        Ok(len)
    }

    /// Where up to `wanted` grains from `first` on go: to free places one after the other, or to the one that a grain
    /// has in the file, given up since the last flush. So the two copies of the tables never name two places of one grain,
    /// of which none would be better than the other.
    fn place(&self, space: &mut Allocator, first: u64, wanted: u64) -> Result<(u64, u64, bool)> {
        let tables = self.tables();
        let mut wanted = wanted;
        for (&grain, _) in tables.pending.range(first..first + wanted) {
            let left = tables.left.get(&grain).map(|&place| Grain::At(place));
            if let Grain::At(place) = left.map_or_else(|| tables.published(grain), Ok)? {
                if grain == first {
                    return Ok((place, 1, true));
                }
                wanted = grain - first;
                break;
            }
        }
        let (place, count) = space.allocate(wanted).ok_or_else(|| self.too_large(&tables.map))?;
        Ok((place, count, false))
    }

    fn too_large(&self, map: &GrainMap) -> Error {
        let limit = format!("{}: the file of a sparse extent has 2 TiB at most", self.file.name());
        Error::SizeLimit { format: Format::Vmdk, size: map.size, limit }
    }

    /// Fills grains at `place`, `len` bytes that belong at `start`, with `data` that belong at `offset`, and around
    /// them with what shows there now.
    fn fill(
        &self,
        place: u64,
        start: u64,
        len: u64,
        (data, offset): (&[u8], u64),
        shows_zeros: bool,
    ) -> Result<()> {
        if data.len() as u64 == len {
            return self.file.write_all_at(data, place);
        }
        let mut bytes = vec![0; len as usize];
        let at = (offset - start) as usize;
        if !shows_zeros {
            self.beneath.read(&mut bytes[..at], start)?;
            self.beneath.read(&mut bytes[at + data.len()..], offset + data.len() as u64)?;
        }
        bytes[at..at + data.len()].copy_from_slice(data);
        self.file.write_all_at(&bytes, place)
    }

    /// Makes `len` bytes at `offset` zeros; where `keep` says so, only where that gives space back.
    pub(super) fn zero(&self, offset: u64, len: u64, keep: bool) -> Result<()> {
        let (end, mut at) = (offset + len, offset);
        let (grain, size, flag) = {
            let map = &self.tables().map;
            (map.grain, map.size, map.zeroed_grains)
        };
        while at < end {
            let run = self.map(at, end - at)?;
            let nothing_to_do = match run.kind {
                MappingKind::Zero => true,
                MappingKind::Absent => keep || self.beneath.is_zero(at, run.len)?,
                _ => false,
            };
            if nothing_to_do {
                at += run.len;
                continue;
            }
            let next = ((at / grain + 1) * grain).min(size);
            let part = at..next.min(end);
            let len = part.end - at;
            let whole = at.is_multiple_of(grain) && part.end == next;
            let beneath_is_zero = self.beneath.is_zero(at, len)?;
            match run.kind {
                MappingKind::Absent if beneath_is_zero => {}
                MappingKind::Absent if whole && flag => self.set(at / grain, GTE_ZEROED)?,
                MappingKind::Stored { .. } if whole && beneath_is_zero => {
                    self.set(at / grain, GTE_UNALLOCATED)?
                }
                MappingKind::Stored { .. } if whole && flag => self.set(at / grain, GTE_ZEROED)?,
                MappingKind::Stored { .. } if keep => {}
                MappingKind::Stored { offset: place, .. } => self.file.zero(place..place + len)?,
                _ => self.write(&vec![0; len as usize], at)?,
            }
            at = part.end;
        }
        Ok(())
    }

    /// Makes a grain one that is not stored.
    fn set(&self, grain: u64, entry: u32) -> Result<()> {
        let mut space = self.space();
        if self.tables().pending.len() >= MAX_PENDING {
            self.publish(&mut space)?;
        }
        let mut tables = self.change_tables();
        let published = tables.published(grain)?;
        let place = tables.pending.get(&grain).map(|&entry| decode(entry));
        match (published, entry) {
            _ if tables.torn => tables.pending.insert(grain, entry),
            (Grain::Absent, GTE_UNALLOCATED) | (Grain::Zero, GTE_ZEROED) => tables.pending.remove(&grain),
            _ => tables.pending.insert(grain, entry),
        };
        match place {
            Some(Grain::At(place)) if tables.torn => drop(tables.left.insert(grain, place)),
            // No table names it: it is free at once.
            Some(Grain::At(place)) => space.free(place),
            _ => {}
        }
        Ok(())
    }

    /// Makes everything written durable.
    pub(super) fn flush(&self) -> Result<()> {
        self.publish(&mut self.space())
    }

    /// Makes the data durable, and then the tables that name them.
    fn publish(&self, space: &mut Allocator) -> Result<()> {
        self.write_tables(space).inspect_err(|_| self.change_tables().torn = true)
    }

    /// Makes the data durable, and then the tables that name them, the redundant ones first.
    fn write_tables(&self, space: &mut Allocator) -> Result<()> {
        let tables = self.tables();
        let changes = by_table(&tables.pending);
        let mut missing = Vec::new();
        for (number, copy) in self.copies.iter().enumerate() {
            for change in &changes {
                if copy.table(&tables.image, change.table)?.is_none() {
                    let place = space.allocate_table().ok_or_else(|| self.too_large(&tables.map))?;
                    self.write_table(place, change)?;
                    missing.push((number, change.table, place));
                }
            }
        }
        self.file.sync()?;
        if changes.is_empty() {
            return Ok(());
        }
        let mut freed = Vec::new();
        for (number, copy) in self.copies.iter().enumerate() {
            freed.clear();
            for change in &changes {
                if let Some(place) = copy.table(&tables.image, change.table)? {
                    self.change_table(&tables, place, change, &mut freed)?;
                }
            }
            for &(_, table, place) in missing.iter().filter(|(of, ..)| *of == number) {
                copy.set_table(&self.file, table, place)?;
            }
            self.file.sync()?;
        }
        drop(tables);
        let image = self.file.image(FileRole::Extent)?;
        let mut tables = self.change_tables();
        (tables.image, tables.pages) = (image, TablePages::new());
        tables.pending.clear();
        tables.torn = false;
        // The primary tables may have named some of these too: then they are given back twice, which does no harm.
        let left = std::mem::take(&mut tables.left).into_values();
        freed.into_iter().chain(left).for_each(|place| space.free(place));
        Ok(())
    }

    /// The entries of a table in the file that name grains, by their place in it.
    pub(super) fn stored(&self, table: u64) -> Result<Vec<(u64, u32)>> {
        let tables = self.tables();
        let Some(place) = self.primary().table(&tables.image, table)? else { return Ok(Vec::new()) };
        let mut entries = vec![0; table_copies::used(&tables.map, table) as usize];
        table_copies::read(&tables.image, place, &mut entries)?;
        Ok((0..).zip(entries).filter(|(_, entry)| matches!(decode(*entry), Grain::At(_))).collect())
    }

    fn primary(&self) -> TableCopy {
        self.copies[self.copies.len() - 1]
    }

    /// Moves a grain from `from` into the first gap, if that is before `end`.
    pub(super) fn relocate(&self, grain: u64, from: u64, end: u64) -> Result<()> {
        let mut space = self.space();
        if self.tables().pending.len() >= MAX_PENDING {
            self.publish(&mut space)?;
        }
        let Some((place, _)) = space.allocate(1) else { return Ok(()) };
        if place >= end {
            space.free(place);
            return Ok(());
        }
        let mut bytes = vec![0; self.tables().map.grain as usize];
        let len = (bytes.len() as u64).min(self.file.size()? - from) as usize;
        self.file.read_exact_at(&mut bytes[..len], from)?;
        self.file.write_all_at(&bytes, place)?;
        self.change_tables().pending.insert(grain, (place / SECTOR) as u32);
        Ok(())
    }

    /// Makes what lies behind the disk's end zeros, in its last grain and its last table.
    pub(super) fn clear_behind(&self, size: u64) -> Result<()> {
        let tables = self.tables();
        let map = &tables.map;
        let within = size % map.grain;
        if within != 0
            && let Grain::At(place) = tables.published(size / map.grain)?
        {
            self.file.write_all_at(&vec![0; (map.grain - within) as usize], place + within)?;
        }
        let table = map.tables() - 1;
        let used = table_copies::used(map, table);
        for copy in &self.copies {
            if let Some(place) = copy.table(&tables.image, table)? {
                table_copies::write(
                    &self.file,
                    place + used * 4,
                    &vec![0; (map.gtes_per_gt - used) as usize],
                )?;
            }
        }
        Ok(())
    }

    /// Where directories of `new` entries go, one after the other; nowhere when `new` entries fit where `old` ones are.
    pub(super) fn place_directories(&self, old: u64, new: u64) -> Result<Vec<Range<u64>>> {
        let (have, need) = ((old * 4).next_multiple_of(SECTOR), (new * 4).next_multiple_of(SECTOR));
        if need <= have {
            return Ok(Vec::new());
        }
        let first = self.file.size()?.max(self.space().end()).next_multiple_of(SECTOR);
        let places = (0..self.copies.len() as u64).map(|n| first + n * need..first + (n + 1) * need);
        let places: Vec<_> = places.collect();
        if places.iter().any(|place| place.end / SECTOR > u64::from(u32::MAX)) {
            return Err(self.too_large(&self.tables().map));
        }
        Ok(places)
    }

    /// Makes room for `new` entries in the directories, which have `old`. Returns their places where they are new; they are
    /// not durable yet, and nothing names them.
    pub(super) fn directories(&self, old: u64, new: u64) -> Result<Vec<u64>> {
        let places = self.place_directories(old, new)?;
        if places.is_empty() {
            for copy in &self.copies {
                self.file.zero(copy.entry_at(old)..copy.entry_at(new.max(old)))?;
            }
        }
        for (copy, place) in self.copies.iter().zip(&places) {
            self.copy(copy.directory..copy.entry_at(old), place.start)?;
            self.file.set_size(place.end)?;
            self.file.zero(place.start + old * 4..place.end)?;
            self.space().mark(place);
        }
        Ok(places.into_iter().map(|place| place.start).collect())
    }

    fn copy(&self, range: Range<u64>, to: u64) -> Result<()> {
        let mut buf = vec![0; MAX_BATCH as usize];
        let mut at = range.start;
        while at < range.end {
            let part = &mut buf[..(range.end - at).min(MAX_BATCH) as usize];
            self.file.read_exact_at(part, at)?;
            self.file.write_all_at(part, to + (at - range.start))?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Writes a new table, which nothing names yet.
    fn write_table(&self, place: u64, change: &Change) -> Result<()> {
        let mut entries = [0; GTES_PER_GT as usize];
        for &(index, entry) in &change.entries {
            entries[index] = entry;
        }
        table_copies::write(&self.file, place, &entries)
    }

    /// Changes entries of the table at `place`, and collects the grains that it names no more.
    fn change_table(&self, tables: &Tables, place: u64, change: &Change, freed: &mut Vec<u64>) -> Result<()> {
        let mut entries = vec![0; table_copies::used(&tables.map, change.table) as usize];
        table_copies::read(&tables.image, place, &mut entries)?;
        for &(index, entry) in &change.entries {
            if let Grain::At(old) = decode(entries[index])
                && entries[index] != entry
            {
                freed.push(old);
            }
            entries[index] = entry;
        }
        let sectors: Range<usize> = 0..entries.len().div_ceil(SECTOR_ENTRIES);
        let changed =
            |sector: &usize| change.entries.iter().any(|(index, _)| index / SECTOR_ENTRIES == *sector);
        for sector in sectors.filter(changed) {
            let at = sector * SECTOR_ENTRIES;
            let end = entries.len().min(at + SECTOR_ENTRIES);
            table_copies::write(&self.file, place + at as u64 * 4, &entries[at..end])?;
        }
        Ok(())
    }
}

/// Entries of a table in a sector of the file.
const SECTOR_ENTRIES: usize = SECTOR as usize / 4;

/// New entries of one table, by their place in it.
struct Change {
    table: u64,
    entries: Vec<(usize, u32)>,
}

fn by_table(pending: &BTreeMap<u64, u32>) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (&grain, &entry) in pending {
        let (table, index) = (grain / u64::from(GTES_PER_GT), (grain % u64::from(GTES_PER_GT)) as usize);
        match changes.last_mut() {
            Some(change) if change.table == table => change.entries.push((index, entry)),
            _ => changes.push(Change { table, entries: vec![(index, entry)] }),
        }
    }
    changes
}
