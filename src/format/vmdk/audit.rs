//! Looking at all directories and tables of a hosted sparse extent, both copies, and at where its grains lie.

use std::collections::HashSet;

use super::allocator::Allocator;
use super::grain_map::GrainMap;
use super::hosted::Header;
use super::layout::{GTE_UNALLOCATED, GTE_ZEROED, GTES_PER_GT, SECTOR};
use super::reconcile;
use super::table_copies::{self, Located, TableCopy};
use crate::error::{Defect, Problem, Result};
use crate::findings::{Findings, Repair, Repairs, Severity};
use crate::format::tools::space::Space;
use crate::leaves::Format;
use crate::storage::{ImageFile, WritableFile};

/// An extent that is being looked at.
pub(super) struct Audit<'a> {
    file: &'a ImageFile,
    map: &'a GrainMap,
    header: &'a Header,
    findings: &'a mut Findings,
    /// What repairs are made in, and which.
    fixer: Option<(&'a WritableFile, Repairs)>,
    copies: Vec<TableCopy>,
    /// Tables that cannot be used, by their copy and number.
    unusable: HashSet<(usize, u64)>,
    /// Tables that one copy lacks and the other has.
    missing: Vec<(usize, u64)>,
    /// The grain that the file ends in, if there is one.
    cut: Option<Cut>,
    differs: bool,
}

/// A grain that was cut with the file. That nothing else lies there is known when all grains were seen.
struct Cut {
    grain: u64,
    /// Where it lies, and how many bytes of it are the disk's.
    at: u64,
    len: u64,
    /// Where the tables name it.
    entries: [Option<u64>; 2],
}

/// Tables that are read at once, of each copy.
const BATCH: usize = 64;

/// A table: where its copies lie, and their entries; `None` where there is none, or none that can be used.
struct Table {
    number: u64,
    places: [Option<u64>; 2],
    entries: [Option<Vec<u32>>; 2],
}

/// Of two entries of a grain, what is to be done.
enum Choice {
    /// They are the same.
    Agreed(u32),
    /// This one is right.
    Decided(u32),
    /// Both name grains, which differ; this is the redundant table's.
    Undecided(u32),
}

impl<'a> Audit<'a> {
    pub(super) fn new(
        file: &'a ImageFile,
        map: &'a GrainMap,
        header: &'a Header,
        findings: &'a mut Findings,
        fixer: Option<(&'a WritableFile, Repairs)>,
    ) -> Self {
        let copies = table_copies::of(map);
        let (unusable, missing) = (HashSet::new(), Vec::new());
        Self { file, map, header, findings, fixer, copies, unusable, missing, cut: None, differs: false }
    }

    /// What of the file is in use, when that can be told, and whether the copies differ in a way that can be decided.
    pub(super) fn run(mut self) -> Result<(Option<Allocator>, bool)> {
        let metadata = self.check_tables()?;
        let grain = self.map.grain;
        let Some(mut taken) = Allocator::new(grain, grain, self.file.size()) else {
            self.too_fine(grain);
            return Ok((None, false));
        };
        metadata.ranges().for_each(|range| taken.mark(&range));
        let mut tables = table_copies::tables(&self.copies, self.file, self.map);
        loop {
            let batch = tables.by_ref().take(BATCH).collect::<Result<Vec<_>>>()?;
            if batch.is_empty() {
                break;
            }
            for table in self.load(&batch)? {
                let unit = self.alignment(&table);
                if unit < taken.unit() && !taken.refine(unit, &metadata, self.file.size()) {
                    self.too_fine(unit);
                    return Ok((None, false));
                }
                self.check_grains(table, &mut taken)?;
            }
        }
        self.settle_cut(&mut taken)?;
        if taken.unit() < grain {
            let expected = format!("grains at multiples of {grain} bytes");
            let found = format!("multiples of {}", taken.unit());
            let defect = self.defect(Problem::Misaligned, "grain table", self.map.directory, expected, found);
            self.findings.add(Severity::Note, defect, "the disk is slower than it could be", None);
        }
        // Writers keep the room before the first grain for metadata.
        taken.keep(self.header.over_head.saturating_mul(SECTOR).min(self.file.size()));
        let free = taken.gaps(self.file.size());
        if free > 0 {
            let found = format!("{free} grains that nothing uses");
            let expected = "no gaps".to_owned();
            let defect = self.defect(Problem::Table, "grain", 0, expected, found);
            self.findings.add(
                Severity::Note,
                defect,
                "they take space, until they are written or packed",
                None,
            );
        }
        self.replace_missing(&mut taken)?;
        Ok((Some(taken), self.differs))
    }

    /// Says that grains lie at multiples of `unit`, of which too much note would have to be taken.
    fn too_fine(&mut self, unit: u64) {
        let expected = "grains at multiples of 4 KiB in a file of this size".to_owned();
        let found = format!("multiples of {unit}");
        let defect = self.defect(Problem::Misaligned, "grain table", self.map.directory, expected, found);
        self.findings.add(Severity::Error, defect, "whether grains overlap is not looked at", None);
    }

    fn defect(
        &self,
        problem: Problem,
        structure: &'static str,
        at: u64,
        expected: String,
        found: String,
    ) -> Box<Defect> {
        self.file.defect_box(Format::Vmdk, problem, structure, at, expected, found)
    }

    /// Looks for tables outside the file or over something else, which are unusable. Returns where header, descriptor,
    /// directories and usable tables lie.
    fn check_tables(&mut self) -> Result<Space> {
        let mut space = Space::default();
        for (_, range) in &self.map.reserved {
            // That they do not overlap was seen when the disk was opened.
            let _ = space.take(range.clone());
        }
        for located in table_copies::tables(&self.copies, self.file, self.map) {
            let Located { table, copies } = located?;
            let mut usable = 0;
            let mut problems = Vec::new();
            for (number, at) in copies.into_iter().enumerate() {
                let Some(at) = at else { continue };
                let range = at..at + self.map.gtes_per_gt * 4;
                let inside = at + table_copies::used(self.map, table) * 4 <= self.file.size();
                let taken = if inside { space.take(range.clone()) } else { Ok(()) };
                let problem = match taken {
                    _ if !inside => (Problem::OutOfFile, format!("{}..{}", range.start, range.end)),
                    Err(hit) => (Problem::Overlap, format!("{}..{} in use", hit.start, hit.end)),
                    Ok(()) => {
                        usable += 1;
                        continue;
                    }
                };
                self.unusable.insert((number, table));
                problems.push((self.copies[number], problem));
            }
            for (copy, (problem, found)) in problems {
                let expected = format!("grain table {table} in bytes of its own");
                let defect = self.defect(problem, copy.name, copy.entry_at(table), expected, found);
                let (severity, consequence, repair) = if usable > 0 {
                    let repair = Repair::lossless("put a copy of the other table in its place");
                    (Severity::Warning, "only the other copy can be read", repair)
                } else {
                    let loses = "what the grains of the table hold";
                    let repair = Repair::losing("remove the table", loses);
                    (Severity::Error, "its grains cannot be read", repair)
                };
                self.findings.add(severity, defect, consequence, Some(repair));
                self.differs |= usable > 0;
            }
        }
        Ok(space)
    }

    /// Tables with the entries of their copies.
    fn load(&self, located: &[Located]) -> Result<Vec<Table>> {
        let mut tables: Vec<_> = located
            .iter()
            .map(|&Located { table: number, copies: places }| Table { number, places, entries: [None, None] })
            .collect();
        for copy in 0..self.copies.len() {
            let places = located.iter().map(|located| {
                let usable = !self.unusable.contains(&(copy, located.table));
                (located.table, located.copies[copy].filter(|_| usable))
            });
            let loaded = table_copies::load(self.file, self.map, &places.collect::<Vec<_>>())?;
            tables.iter_mut().zip(loaded).for_each(|(table, entries)| table.entries[copy] = entries);
        }
        Ok(tables)
    }

    /// What the places of all grains of a table are multiples of.
    fn alignment(&self, table: &Table) -> u64 {
        let entries = table.entries.iter().flatten().flatten();
        let grains = entries.filter(|&&entry| reconcile::is_inside(self.map, self.file, entry));
        let sectors = grains.fold(0, |all, entry| all | entry);
        (SECTOR << sectors.trailing_zeros().min(31)).min(self.map.grain)
    }

    /// Compares the copies of a table, and takes the places of its grains.
    fn check_grains(&mut self, table: Table, taken: &mut Allocator) -> Result<()> {
        let Table { number, places, entries } = table;
        let copies = self.copies.len();
        let entry = |copy: usize, index: usize| entries[copy].as_ref().map_or(0, |entries| entries[index]);
        let (mut decided, mut undecided) = (0, 0);
        // Of a table that cannot be used nothing is known: the other one is right.
        let known = (0..copies).all(|copy| !self.unusable.contains(&(copy, number)));
        let mut merged = vec![0; table_copies::used(self.map, number) as usize];
        for (index, slot) in merged.iter_mut().enumerate() {
            let (redundant, primary) = (entry(0, index), entry(copies - 1, index));
            let choice = match known {
                true => self.choose(redundant, primary)?,
                false => Choice::Agreed(redundant.max(primary)),
            };
            let entry = match choice {
                Choice::Agreed(entry) => entry,
                Choice::Decided(entry) => {
                    decided += 1;
                    entry
                }
                Choice::Undecided(entry) => {
                    undecided += 1;
                    entry
                }
            };
            *slot = self.check_grain((number, index), places, entry, taken)?;
        }
        let at = places.iter().flatten().next_back().copied().unwrap_or(self.map.directory);
        self.report((number, at), decided, undecided);
        let may_write = undecided == 0 || matches!(self.fixer, Some((_, Repairs::All)));
        for copy in 0..copies {
            let unusable = self.unusable.contains(&(copy, number));
            match (places[copy].zip(entries[copy].as_ref()), self.fixer) {
                (Some((at, entries)), Some((file, _))) if may_write && *entries != merged => {
                    table_copies::write(file, at, &merged)?;
                    file.sync()?;
                }
                (None, _)
                    if merged.iter().any(|&entry| entry != 0)
                        || unusable && entries.iter().any(Option::is_some) =>
                {
                    self.differs = true;
                    self.missing.push((copy, number));
                }
                (None, Some((file, Repairs::All))) if unusable => {
                    self.copies[copy].set_table(file, number, 0)?;
                    file.sync()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Which of the two entries of a grain is right.
    fn choose(&self, redundant: u32, primary: u32) -> Result<Choice> {
        Ok(match reconcile::fuller(self.map, self.file, redundant, primary) {
            Some(entry) if redundant == primary => Choice::Agreed(entry),
            Some(entry) => Choice::Decided(entry),
            None if reconcile::same(self.map, self.file, redundant, primary)? => Choice::Decided(redundant),
            None => Choice::Undecided(redundant),
        })
    }

    /// Takes the place of a grain, and returns what its entry is to be.
    fn check_grain(
        &mut self,
        (table, index): (u64, usize),
        places: [Option<u64>; 2],
        entry: u32,
        taken: &mut Allocator,
    ) -> Result<u32> {
        if entry == GTE_UNALLOCATED || entry == GTE_ZEROED && self.map.zeroed_grains {
            return Ok(entry);
        }
        let grain = table * self.map.gtes_per_gt + index as u64;
        let at = u64::from(entry) * SECTOR;
        let len = self.map.grain.min(self.map.size - grain * self.map.grain);
        let is_cut = at < self.file.size() && at + len > self.file.size();
        if is_cut && self.cut.is_none() {
            let entries = places.map(|place| place.map(|place| place + index as u64 * 4));
            self.cut = Some(Cut { grain, at, len, entries });
            return Ok(entry);
        }
        let (problem, consequence, loses) = if at + len > self.file.size() {
            (Problem::OutOfFile, "the grain cannot be read", "the record that the grain was stored")
        } else if !taken.take(&(at..at + self.map.grain)) {
            let loses = "what is read as the grain, which is in part another grain's or metadata";
            (Problem::Overlap, "a write to the grain would destroy what else lies there", loses)
        } else {
            return Ok(entry);
        };
        let expected = format!("grain {grain} within the file, in {len} bytes of its own");
        let defect = self.defect(problem, "grain", at, expected, format!("{at}..{}", at + len));
        let repair = Repair::losing("remove the grain", loses);
        self.findings.add(Severity::Error, defect, consequence, Some(repair));
        let remove = matches!(self.fixer, Some((_, Repairs::All)));
        Ok(if remove { GTE_UNALLOCATED } else { entry })
    }

    /// Says of a grain that it was cut with the file, and makes the file as long as it was; where something else lies there,
    /// takes the grain away.
    fn settle_cut(&mut self, taken: &mut Allocator) -> Result<()> {
        let Some(Cut { grain, at, len, entries }) = self.cut.take() else { return Ok(()) };
        let end = at + self.map.grain;
        let free = taken.take(&(at..end));
        let (start, missing) = (grain * self.map.grain, self.file.size() - at);
        let expected = format!("grain {grain} within the file, in {len} bytes of its own");
        let defect = self.defect(Problem::OutOfFile, "grain", at, expected, format!("{at}..{}", at + len));
        let repair = if free {
            let longer = end - self.file.size();
            Repair::losing(
                format!("make the file {longer} bytes longer, as it was before it was cut"),
                format!(
                    "the extent's bytes from {} on, up to {}, which the file lacks: they become zeros",
                    start + missing,
                    start + len
                ),
            )
        } else {
            Repair::losing("remove the grain", "what is read as the grain, which is in part another's")
        };
        let consequence = "the grain cannot be read: the file was cut";
        self.findings.add(Severity::Error, defect, consequence, Some(repair));
        let Some((file, Repairs::All)) = self.fixer else { return Ok(()) };
        if free {
            file.set_size(end)?;
        } else {
            let zero = |entry| table_copies::write(file, entry, &[GTE_UNALLOCATED]);
            entries.into_iter().flatten().try_for_each(zero)?;
        }
        file.sync()
    }

    /// Says how the copies of a table, the primary of which lies at `at`, differ.
    fn report(&mut self, (table, at): (u64, u64), decided: u64, undecided: u64) {
        let expected = "the same in both copies".to_owned();
        if undecided > 0 {
            let found = format!("{undecided} entries of table {table} that name different grains");
            let defect = self.defect(Problem::Ambiguous, "grain table", at, expected, found);
            let repair = Repair::losing("take the redundant table's", "what the other grains hold");
            let consequence = "which grains are right is not known";
            self.findings.add(Severity::Error, defect, consequence, Some(repair));
        } else if decided > 0 {
            self.differs = true;
            let found = format!("{decided} entries of table {table} that are in one of them");
            let defect = self.defect(Problem::Ambiguous, "grain table", at, expected, found);
            let repair = Repair::lossless("complete both copies");
            let consequence = "other software refuses the disk, or reads one of them";
            self.findings.add(Severity::Warning, defect, consequence, Some(repair));
        }
    }

    /// Makes tables where one copy has none, with what the other says.
    fn replace_missing(&mut self, taken: &mut Allocator) -> Result<()> {
        // Tables of other sizes are not made here.
        let Some((file, _)) = self.fixer.filter(|_| self.map.gtes_per_gt == u64::from(GTES_PER_GT)) else {
            return Ok(());
        };
        for (copy, table) in std::mem::take(&mut self.missing) {
            let other = self.copies.len() - 1 - copy;
            let usable = !self.unusable.contains(&(other, table));
            let Some(at) = self.copies[other].table(self.file, table)?.filter(|_| usable) else { continue };
            let mut entries = vec![0; self.map.gtes_per_gt as usize];
            table_copies::read(self.file, at, &mut entries[..table_copies::used(self.map, table) as usize])?;
            let Some(place) = taken.allocate_table() else { continue };
            table_copies::write(file, place, &entries)?;
            file.sync()?;
            self.copies[copy].set_table(file, table, place)?;
            file.sync()?;
        }
        Ok(())
    }
}
