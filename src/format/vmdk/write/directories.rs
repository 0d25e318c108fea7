//! The directories of a sparse extent whose size changes.

use std::ops::Range;

use super::super::grain_table::Grain;
use super::super::layout::SECTOR;
use super::super::table_copies;
use super::sparse::Sparse;
use crate::error::Result;

/// Bytes of a directory that are copied at once.
const PIECE: u64 = 1 << 20;

impl Sparse {
    /// Makes what lies behind the disk's end zeros, in its last grain and its last table.
    pub(super) fn clear_behind(&self, size: u64) -> Result<()> {
        let tables = self.tables();
        let map = &self.grain_map;
        let within = size % map.grain;
        if within != 0
            && let Grain::At(place) = self.published(&tables, size / map.grain)?
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
        let first = self.file.size()?.max(self.space().allocator.end()).next_multiple_of(SECTOR);
        let places = (0..self.copies.len() as u64).map(|n| first + n * need..first + (n + 1) * need);
        let places: Vec<_> = places.collect();
        if places.iter().any(|place| place.end / SECTOR > u64::from(u32::MAX)) {
            return Err(self.too_large());
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
            self.space().allocator.mark(place);
        }
        Ok(places.into_iter().map(|place| place.start).collect())
    }

    fn copy(&self, range: Range<u64>, to: u64) -> Result<()> {
        let mut buf = vec![0; PIECE as usize];
        let mut at = range.start;
        while at < range.end {
            let part = &mut buf[..(range.end - at).min(PIECE) as usize];
            self.file.read_exact_at(part, at)?;
            self.file.write_all_at(part, to + (at - range.start))?;
            at += part.len() as u64;
        }
        Ok(())
    }
}
