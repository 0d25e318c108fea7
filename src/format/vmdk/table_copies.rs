//! The two copies of a hosted extent's directories and tables, entry by entry, as writers and checks need them.

use std::ops::Range;

use byteorder::{ByteOrder, LittleEndian};

use super::grain_map::GrainMap;
use super::grain_table::gather;
use super::layout::SECTOR;
use crate::error::Result;
use crate::storage::{ImageFile, WritableFile};

/// One copy: a grain directory, and its grain tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableCopy {
    /// How messages call the tables.
    pub(super) name: &'static str,
    pub(super) directory: u64,
}

/// The copies of an extent: the redundant one first, as they are written.
pub(super) fn of(map: &GrainMap) -> Vec<TableCopy> {
    let redundant = map.redundant.map(|directory| TableCopy { name: "redundant grain table", directory });
    redundant.into_iter().chain([TableCopy { name: "grain table", directory: map.directory }]).collect()
}

impl TableCopy {
    /// Where the directory's entry of a table lies.
    pub(super) fn entry_at(&self, table: u64) -> u64 {
        self.directory + table * 4
    }

    /// Where a grain table lies; `None` when there is none.
    pub(super) fn table(&self, file: &ImageFile, table: u64) -> Result<Option<u64>> {
        let mut entry = [0];
        read(file, self.entry_at(table), &mut entry)?;
        Ok(place(entry[0]))
    }

    /// Records where a table lies.
    pub(super) fn set_table(&self, file: &WritableFile, table: u64, place: u64) -> Result<()> {
        file.write_all_at(&((place / SECTOR) as u32).to_le_bytes(), self.entry_at(table))
    }
}

/// Where the table lies that an entry of a directory names.
fn place(entry: u32) -> Option<u64> {
    (entry != 0).then(|| u64::from(entry) * SECTOR)
}

/// A grain table, and where its copies lie, where there are any.
#[derive(Clone, Copy)]
pub(super) struct Located {
    pub(super) table: u64,
    pub(super) copies: [Option<u64>; 2],
}

/// Directory entries that are read at once.
const PART: u64 = 16 * 1024;

/// The tables that one of the copies has at least.
pub(super) fn tables<'a>(
    copies: &[TableCopy],
    file: &'a ImageFile,
    map: &GrainMap,
) -> impl Iterator<Item = Result<Located>> + use<'a> {
    let (copies, end) = (copies.to_vec(), map.tables());
    let mut next = 0;
    let parts = std::iter::from_fn(move || {
        next = skip_hole(&copies, file, next).min(end);
        let part = next..end.min(next + PART);
        next = part.end;
        (!part.is_empty()).then(|| tables_within(&copies, file, part))
    });
    parts.flat_map(|tables| match tables {
        Ok(tables) => tables.into_iter().map(Ok).collect(),
        Err(e) => vec![Err(e)],
    })
}

/// The first table from `table` on whose entry is not in a hole of the file in all copies: there are none in holes, and a
/// small file may have a directory of any size in one.
fn skip_hole(copies: &[TableCopy], file: &ImageFile, table: u64) -> u64 {
    let past = |copy: &TableCopy| table + (file.past_hole(copy.entry_at(table)) - copy.entry_at(table)) / 4;
    copies.iter().map(past).min().unwrap_or(table)
}

fn tables_within(copies: &[TableCopy], file: &ImageFile, range: Range<u64>) -> Result<Vec<Located>> {
    let mut entries = vec![[0; 2]; (range.end - range.start) as usize];
    let mut of_one = vec![0; entries.len()];
    for (number, copy) in copies.iter().enumerate() {
        read(file, copy.entry_at(range.start), &mut of_one)?;
        entries.iter_mut().zip(&of_one).for_each(|(all, &entry)| all[number] = entry);
    }
    let there = range.zip(entries).filter(|(_, entries)| *entries != [0; 2]);
    Ok(there.map(|(table, entries)| Located { table, copies: entries.map(place) }).collect())
}

/// Entries of `table` that grains of the extent have.
pub(super) fn used(map: &GrainMap, table: u64) -> u64 {
    map.gtes_per_gt.min(map.grains() - table * map.gtes_per_gt)
}

/// The used entries of tables, by their number and place, where they have one. Tables that lie one after the other are
/// read at once.
pub(super) fn load(
    file: &ImageFile,
    map: &GrainMap,
    tables: &[(u64, Option<u64>)],
) -> Result<Vec<Option<Vec<u32>>>> {
    let mut len = 0;
    let ranges = tables.iter().map(|&(table, at)| {
        let start = len;
        len += at.map_or(0, |_| used(map, table) as usize * 4);
        at.map(|at| (at, start..len))
    });
    let ranges: Vec<_> = ranges.collect();
    let mut bytes = vec![0; len];
    gather(file, &mut bytes, ranges.iter().flatten().cloned())?;
    let entries = |range: Range<usize>| {
        let mut entries = vec![0; range.len() / 4];
        LittleEndian::read_u32_into(&bytes[range], &mut entries);
        entries
    };
    Ok(ranges.into_iter().map(|place| place.map(|(_, range)| entries(range))).collect())
}

/// The entries, as many as there are room for, of the table at `at`.
pub(super) fn read(file: &ImageFile, at: u64, entries: &mut [u32]) -> Result<()> {
    let mut bytes = vec![0; entries.len() * 4];
    file.read_exact_at(&mut bytes, at)?;
    LittleEndian::read_u32_into(&bytes, entries);
    Ok(())
}

/// Writes the first entries of the table at `at`.
pub(super) fn write(file: &WritableFile, at: u64, entries: &[u32]) -> Result<()> {
    let mut bytes = vec![0; entries.len() * 4];
    LittleEndian::write_u32_into(entries, &mut bytes);
    file.write_all_at(&bytes, at)
}
