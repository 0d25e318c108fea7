//! Making what was written durable: the data first, then the tables that name them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::grain_table::{Grain, TablePages};
use super::super::layout::{GTES_PER_GT, SECTOR};
use super::super::table_copies;
use super::sparse::{MAX_PENDING, Sparse, decode};
use crate::error::Result;
use crate::storage::{FileRole, ImageFile};

impl Sparse {
    /// Makes everything written durable, while others read and write.
    pub(super) fn flush(&self) -> Result<()> {
        let _publishing = self.publishing();
        self.publish()
    }

    /// The same, when more entries wait for it than are to.
    pub(super) fn publish_when_full(&self) -> Result<()> {
        let full = || self.tables().pending.len() >= MAX_PENDING;
        if !full() {
            return Ok(());
        }
        let _publishing = self.publishing();
        // Another writer may have been faster.
        if full() { self.publish() } else { Ok(()) }
    }

    /// Whoever calls holds `publishing`.
    fn publish(&self) -> Result<()> {
        self.write_tables().inspect_err(|_| self.change_tables().torn = true)
    }

    /// Makes the data durable, and then the tables that name them, the redundant ones first.
    fn write_tables(&self) -> Result<()> {
        let (image, pending) = {
            let tables = self.tables();
            (tables.image.clone(), tables.pending.clone())
        };
        let changes = by_table(&pending);
        let mut places = Vec::with_capacity(self.copies.len());
        for copy in &self.copies {
            let tables = changes.iter().map(|change| copy.table(&image, change.table));
            places.push(tables.collect::<Result<Vec<_>>>()?);
        }
        let mut missing = Vec::new();
        for (copy, places) in self.copies.iter().zip(&places) {
            for (_, change) in places.iter().zip(&changes).filter(|(place, _)| place.is_none()) {
                let place = self.space().allocator.allocate_table().ok_or_else(|| self.too_large())?;
                self.write_table(place, change)?;
                missing.push((*copy, change.table, place));
            }
        }
        self.file.sync()?;
        if changes.is_empty() {
            return Ok(());
        }
        let mut freed = Vec::new();
        for (copy, places) in self.copies.iter().zip(&places) {
            freed.clear();
            for (place, change) in places.iter().zip(&changes) {
                if let Some(place) = *place {
                    self.change_table(&image, place, change, &mut freed)?;
                }
            }
            for (_, table, place) in missing.iter().filter(|(of, ..)| of == copy) {
                copy.set_table(&self.file, *table, *place)?;
            }
            self.file.sync()?;
        }
        self.published_all(&pending, freed)
    }

    /// The tables in the file have all of `pending`, and name the grains at `freed` no more.
    fn published_all(&self, pending: &BTreeMap<u64, u32>, freed: Vec<u64>) -> Result<()> {
        let image = self.file.image(FileRole::Extent)?;
        let mut tables = self.change_tables();
        (tables.image, tables.pages) = (image, TablePages::new());
        // What was written since is for the next time.
        tables.pending.retain(|grain, entry| pending.get(grain) != Some(entry));
        tables.torn = false;
        // The primary tables may have named some of these too: then they are given back twice, which does no harm.
        let left = std::mem::take(&mut tables.left).into_values();
        drop(tables);
        let mut space = self.space();
        freed.into_iter().chain(left).for_each(|place| space.allocator.free(place));
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
    fn change_table(
        &self,
        image: &ImageFile,
        place: u64,
        change: &Change,
        freed: &mut Vec<u64>,
    ) -> Result<()> {
        let mut entries = vec![0; table_copies::used(&self.grain_map, change.table) as usize];
        table_copies::read(image, place, &mut entries)?;
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
