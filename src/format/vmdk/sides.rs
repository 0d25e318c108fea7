//! The two copies of a hosted extent's directories and tables, entry by entry, as writers and checks need them.

use std::ops::Range;

use byteorder::{ByteOrder, LittleEndian};

use super::grain_map::GrainMap;
use super::layout::SECTOR;
use crate::error::Result;
use crate::storage::{ImageFile, WritableFile};

/// One copy: a grain directory, and its grain tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Side {
    /// How messages call the tables.
    pub(super) name: &'static str,
    pub(super) directory: u64,
}

/// The copies of an extent: the redundant one first, as they are written.
pub(super) fn sides(map: &GrainMap) -> Vec<Side> {
    let redundant = map.redundant.map(|directory| Side { name: "redundant grain table", directory });
    redundant.into_iter().chain([Side { name: "grain table", directory: map.directory }]).collect()
}

impl Side {
    /// Where the directory's entry of a table lies.
    pub(super) fn entry_at(&self, table: u64) -> u64 {
        self.directory + table * 4
    }

    /// Where a grain table lies; `None` when there is none.
    pub(super) fn table(&self, file: &ImageFile, table: u64) -> Result<Option<u64>> {
        let mut entry = [0; 4];
        file.read_exact_at(&mut entry, self.entry_at(table))?;
        Ok(Some(u64::from(u32::from_le_bytes(entry)) * SECTOR).filter(|&at| at != 0))
    }

    /// Records where a table lies.
    pub(super) fn set_table(&self, file: &WritableFile, table: u64, place: u64) -> Result<()> {
        file.write_all_at(&((place / SECTOR) as u32).to_le_bytes(), self.entry_at(table))
    }
}

/// Directory entries that are read at once.
const PART: u64 = 16 * 1024;

/// The tables that one of the copies has at least.
pub(super) fn tables<'a>(
    sides: &[Side],
    file: &'a ImageFile,
    map: &GrainMap,
) -> impl Iterator<Item = Result<u64>> + use<'a> {
    let (sides, end) = (sides.to_vec(), map.tables());
    (0..end).step_by(PART as usize).flat_map(move |first| {
        match tables_within(&sides, file, first..end.min(first + PART)) {
            Ok(tables) => tables.into_iter().map(Ok).collect(),
            Err(e) => vec![Err(e)],
        }
    })
}

fn tables_within(sides: &[Side], file: &ImageFile, range: Range<u64>) -> Result<Vec<u64>> {
    let mut entries = vec![0; (range.end - range.start) as usize];
    let mut any = vec![0; entries.len()];
    for side in sides {
        read(file, side.entry_at(range.start), &mut entries)?;
        any.iter_mut().zip(&entries).for_each(|(any, entry)| *any |= entry);
    }
    Ok(range.zip(any).filter(|(_, entry)| *entry != 0).map(|(table, _)| table).collect())
}

/// Entries of `table` that grains of the extent have.
pub(super) fn used(map: &GrainMap, table: u64) -> u64 {
    map.gtes_per_gt.min(map.grains() - table * map.gtes_per_gt)
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
