//! A hosted sparse extent that is written: grains are allocated, and their table entries published later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::super::allocator::Allocator;
use super::super::grain_map::{Cursor, GrainMap};
use super::super::grain_table::{Grain, TablePages, run};
use super::super::layout::{GTE_UNALLOCATED, GTE_ZEROED, SECTOR};
use super::super::table_copies::{self, TableCopy};
use super::beneath::Beneath;
use crate::disk::{FileIndex, Mapping, MappingKind};
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::storage::{FileRole, ImageFile, WritableFile};

/// Entries that wait for the next flush at most: 1 GiB in grains of 64 KiB.
pub(super) const MAX_PENDING: usize = 1 << 14;
/// Bytes that are allocated and written at once at most.
const MAX_BATCH: u64 = 1 << 20;

/// A sparse extent that is open for writing.
///
/// Many may read and write it at once, also while one makes it durable; all else runs alone. No lock is held while data
/// are read or written, but for `publishing`. Locks are taken in the order in which they stand here.
pub(super) struct Sparse {
    pub(super) file: WritableFile,
    index: FileIndex,
    beneath: Beneath,
    /// Both copies of the tables, or the only one.
    pub(super) copies: Vec<TableCopy>,
    /// Where grains and tables are; of the primary tables, since both say the same.
    pub(super) grain_map: GrainMap,
    /// Held while entries go from `pending` to the file, or one is taken back from there.
    publishing: Mutex<()>,
    space: Mutex<Space>,
    /// Told when grains are no longer being filled.
    filled: Condvar,
    tables: RwLock<Tables>,
}

/// Where new grains go.
pub(super) struct Space {
    pub(super) allocator: Allocator,
    /// Grains that have a place, and do not have their data there yet.
    filling: BTreeSet<u64>,
}

/// What the tables say, and will say.
pub(super) struct Tables {
    /// The file with the size that it had when the tables were last published.
    pub(super) image: ImageFile,
    pub(super) pages: TablePages,
    /// Entries by grain that the tables in the file do not have yet.
    pub(super) pending: BTreeMap<u64, u32>,
    /// Whether some of the tables in the file may have some of them: publishing them failed.
    pub(super) torn: bool,
    /// Places that grains have left since then, by grain, which a table in the file may name.
    pub(super) left: BTreeMap<u64, u64>,
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
}

/// What an entry that was made here says.
pub(super) fn decode(entry: u32) -> Grain {
    match entry {
        GTE_UNALLOCATED => Grain::Absent,
        GTE_ZEROED => Grain::Zero,
        sector => Grain::At(u64::from(sector) * SECTOR),
    }
}

impl Sparse {
    /// The extent in `file`, which was checked; `allocator` is what the check found in use.
    pub(super) fn new(
        file: WritableFile,
        mut grain_map: GrainMap,
        beneath: Beneath,
        allocator: Allocator,
    ) -> Result<Self> {
        let copies = table_copies::of(&grain_map);
        grain_map.redundant = None;
        let image = file.image(FileRole::Extent)?;
        let (pages, pending, left) = (TablePages::new(), BTreeMap::new(), BTreeMap::new());
        let tables = RwLock::new(Tables { image, pages, pending, torn: false, left });
        let space = Mutex::new(Space { allocator, filling: BTreeSet::new() });
        let (index, publishing, filled) = (grain_map.file, Mutex::new(()), Condvar::new());
        Ok(Self { file, index, beneath, copies, grain_map, publishing, space, filled, tables })
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

    pub(super) fn grain_map(&self) -> &GrainMap {
        &self.grain_map
    }

    pub(super) fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change_tables(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let tables = self.tables();
        let mut cursor = self.grain_map.cursor(&tables.image, &tables.pages);
        let sizes = (self.grain_map.grain, self.grain_map.size);
        run(sizes, (offset, limit), self.index, |grain, most| tables.look(&mut cursor, grain, most))
    }

    /// What the tables in the file say of a grain.
    pub(super) fn published(&self, tables: &Tables, grain: u64) -> Result<Grain> {
        let mut cursor = self.grain_map.cursor(&tables.image, &tables.pages);
        cursor.look(grain, 1).map(|(grain, _)| grain)
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
        self.publish_when_full()?;
        let grain = self.grain_map.grain;
        let first = offset / grain;
        // What was given up may be in the tables still, and be taken back: whoever publishes must not free it meanwhile.
        let given_up = self.tables().pending.contains_key(&first);
        let _publishing = given_up.then(|| self.publishing());
        let Some((mut new, run)) = self.reserve(offset, data.len() as u64)? else { return Ok(0) };
        let len = run.len.min((first + new.count) * grain - offset);
        let shows_zeros = run.kind == MappingKind::Zero;
        self.fill(new.place, first * grain, new.count * grain, (&data[..len as usize], offset), shows_zeros)?;
        new.record();
        Ok(len)
    }

    /// Takes places for grains from `offset` on, of at most `len` bytes, whose data only the caller then writes. Says what shows
    /// there; nothing when there is a grain by now.
    fn reserve(&self, offset: u64, len: u64) -> Result<Option<(NewGrains<'_>, Mapping)>> {
        let grain = self.grain_map.grain;
        let first = offset / grain;
        let mut space = self.space();
        while space.filling.contains(&first) {
            space = self.filled.wait(space).unwrap_or_else(PoisonError::into_inner);
        }
        let run = self.map(offset, len)?;
        if matches!(run.kind, MappingKind::Stored { .. }) {
            return Ok(None);
        }
        let end = (offset + run.len).div_ceil(grain).min(first + (MAX_BATCH / grain).max(1));
        let end = space.filling.range(first..end).next().map_or(end, |&other| other);
        let (place, count, reused) = self.place(&mut space.allocator, first, end - first)?;
        space.filling.extend(first..first + count);
        Ok(Some((NewGrains { extent: self, first, place, count, reused, recorded: false }, run)))
    }

    /// Where up to `wanted` grains from `first` on go: to free places one after the other, or to the one that a grain
    /// has in the file, given up since the last flush. So the two copies of the tables never name two places of one grain,
    /// of which none would be better than the other.
    fn place(&self, allocator: &mut Allocator, first: u64, wanted: u64) -> Result<(u64, u64, bool)> {
        let tables = self.tables();
        let mut wanted = wanted;
        for (&grain, _) in tables.pending.range(first..first + wanted) {
            let left = tables.left.get(&grain).map(|&place| Grain::At(place));
            if let Grain::At(place) = left.map_or_else(|| self.published(&tables, grain), Ok)? {
                if grain == first {
                    return Ok((place, 1, true));
                }
                wanted = grain - first;
                break;
            }
        }
        let (place, count) = allocator.allocate(wanted).ok_or_else(|| self.too_large())?;
        Ok((place, count, false))
    }

    pub(super) fn too_large(&self) -> Error {
        let limit = format!("{}: the file of a sparse extent has 2 TiB at most", self.file.name());
        Error::SizeLimit { format: Format::Vmdk, size: self.grain_map.size, limit }
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
        let GrainMap { grain, size, zeroed_grains, .. } = self.grain_map;
        let (end, mut at) = (offset + len, offset);
        // Asked once, in order, whatever the grains are: a parent's map may be long.
        let mut beneath = self.beneath.scan(offset, len);
        while at < end {
            let (start, run) = (at, self.map(at, end - at)?);
            let (run_end, absent) = (start + run.len, run.kind == MappingKind::Absent);
            if run.kind == MappingKind::Zero || keep && absent {
                at = run_end;
            }
            while at < run_end {
                let data = beneath.next_data(at)?;
                if absent && data >= run_end {
                    // Zeros show there already.
                    at = run_end;
                    break;
                }
                if absent {
                    at = at.max(data / grain * grain);
                }
                let next = ((at / grain + 1) * grain).min(size);
                let part = at..next.min(end);
                let whole = at.is_multiple_of(grain) && part.end == next;
                match run.kind {
                    MappingKind::Stored { .. } if whole && data >= part.end => {
                        self.set(at / grain, GTE_UNALLOCATED)?
                    }
                    _ if whole && zeroed_grains => self.set(at / grain, GTE_ZEROED)?,
                    MappingKind::Stored { .. } if keep => {}
                    MappingKind::Stored { offset: place, .. } => {
                        self.file.zero(place + (at - start)..place + (part.end - start))?
                    }
                    _ => self.write(&vec![0; (part.end - at) as usize], at)?,
                }
                at = part.end;
            }
        }
        Ok(())
    }

    /// Makes a grain one that is not stored.
    fn set(&self, grain: u64, entry: u32) -> Result<()> {
        self.publish_when_full()?;
        let _publishing = self.publishing();
        let mut tables = self.change_tables();
        let published = self.published(&tables, grain)?;
        let place = tables.pending.get(&grain).map(|&entry| decode(entry));
        match (published, entry) {
            _ if tables.torn => tables.pending.insert(grain, entry),
            (Grain::Absent, GTE_UNALLOCATED) | (Grain::Zero, GTE_ZEROED) => tables.pending.remove(&grain),
            _ => tables.pending.insert(grain, entry),
        };
        let torn = tables.torn;
        if let (true, Some(Grain::At(place))) = (torn, place) {
            tables.left.insert(grain, place);
        }
        drop(tables);
        if let (false, Some(Grain::At(place))) = (torn, place) {
            // No table names it: it is free at once.
            self.space().allocator.free(place);
        }
        Ok(())
    }

    /// The entries of a table in the file that name grains, by their place in it.
    pub(super) fn stored(&self, table: u64) -> Result<Vec<(u64, u32)>> {
        let tables = self.tables();
        let Some(place) = self.primary().table(&tables.image, table)? else { return Ok(Vec::new()) };
        let mut entries = vec![0; table_copies::used(&self.grain_map, table) as usize];
        table_copies::read(&tables.image, place, &mut entries)?;
        Ok((0..).zip(entries).filter(|(_, entry)| matches!(decode(*entry), Grain::At(_))).collect())
    }

    fn primary(&self) -> TableCopy {
        self.copies[self.copies.len() - 1]
    }

    /// Moves a grain from `from` into the first gap, if that is before `end`.
    pub(super) fn relocate(&self, grain: u64, from: u64, end: u64) -> Result<()> {
        self.publish_when_full()?;
        let mut space = self.space();
        let Some((place, _)) = space.allocator.allocate(1) else { return Ok(()) };
        if place >= end {
            space.allocator.free(place);
            return Ok(());
        }
        drop(space);
        let mut bytes = vec![0; self.grain_map.grain as usize];
        // The last grain need not be whole: the disk ends in it.
        let len = (bytes.len() as u64).min(self.grain_map.size - grain * bytes.len() as u64) as usize;
        self.file.read_exact_at(&mut bytes[..len], from)?;
        self.file.write_all_at(&bytes, place)?;
        self.change_tables().pending.insert(grain, (place / SECTOR) as u32);
        Ok(())
    }
}

/// Places of grains whose data are being written. They are given back unless they are recorded.
struct NewGrains<'a> {
    extent: &'a Sparse,
    first: u64,
    place: u64,
    count: u64,
    /// Whether the tables in the file name the place.
    reused: bool,
    recorded: bool,
}

impl NewGrains<'_> {
    /// Makes the grains known: their data are there.
    fn record(&mut self) {
        let mut tables = self.extent.change_tables();
        for n in 0..self.count {
            let grain = self.first + n;
            if self.reused && !tables.torn {
                tables.pending.remove(&grain);
            } else {
                let place = self.place + n * self.extent.grain_map.grain;
                tables.pending.insert(grain, (place / SECTOR) as u32);
                tables.left.remove(&grain);
            }
        }
        self.recorded = true;
    }
}

impl Drop for NewGrains<'_> {
    fn drop(&mut self) {
        let mut space = self.extent.space();
        for n in 0..self.count {
            space.filling.remove(&(self.first + n));
            if !self.recorded && !self.reused {
                space.allocator.free(self.place + n * self.extent.grain_map.grain);
            }
        }
        drop(space);
        self.extent.filled.notify_all();
    }
}
