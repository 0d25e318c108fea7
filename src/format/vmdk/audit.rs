//! Looking at all directories and tables of a hosted sparse extent, both copies, and at where its grains lie.

use std::collections::HashSet;

use super::grain_map::GrainMap;
use super::hosted::Header;
use super::layout::{GTE_UNALLOCATED, GTE_ZEROED, SECTOR};
use super::sides::{self, Side};
use super::taken::{TABLE, Taken};
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
    sides: Vec<Side>,
    /// Tables that cannot be used, by their side and number.
    unusable: HashSet<(usize, u64)>,
    /// Tables of one side that there are only on the other.
    missing: Vec<(usize, u64)>,
    differs: bool,
}

/// A copy of a table: where it lies, and its entries; `None` where there is none, or none that can be used.
type Copy = Option<(u64, Vec<u32>)>;

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
        let sides = sides::sides(map);
        let (unusable, missing) = (HashSet::new(), Vec::new());
        Self { file, map, header, findings, fixer, sides, unusable, missing, differs: false }
    }

    /// What of the file is in use, when that can be told, and whether the copies differ in a way that can be decided.
    pub(super) fn run(mut self) -> Result<(Option<Taken>, bool)> {
        self.check_tables()?;
        let unit = self.alignment()?;
        let Some(mut taken) = Taken::new(self.map.grain, unit, self.file.size()) else {
            let defect = self.defect(
                Problem::Misaligned,
                "grain table",
                self.map.directory,
                "grains at multiples of 4 KiB in a file of this size".to_owned(),
                format!("multiples of {unit}"),
            );
            let consequence = "whether grains overlap is not looked at";
            self.findings.add(Severity::Error, defect, consequence, None);
            return Ok((None, false));
        };
        if unit < self.map.grain {
            let expected = format!("grains at multiples of {} bytes", self.map.grain);
            let found = format!("multiples of {unit}");
            let defect = self.defect(Problem::Misaligned, "grain table", self.map.directory, expected, found);
            self.findings.add(Severity::Note, defect, "the disk is slower than it could be", None);
        }
        self.mark_metadata(&mut taken)?;
        for table in sides::tables(&self.sides, self.file, self.map) {
            let table = table?;
            self.check_grains(table, &mut taken)?;
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

    /// Looks for tables outside the file or over something else, which are unusable.
    fn check_tables(&mut self) -> Result<()> {
        let mut space = Space::default();
        for (_, range) in &self.map.reserved {
            // That they do not overlap was seen when the disk was opened.
            let _ = space.take(range.clone());
        }
        for table in sides::tables(&self.sides, self.file, self.map) {
            let table = table?;
            let mut usable = 0;
            let mut problems = Vec::new();
            for number in 0..self.sides.len() {
                let side = self.sides[number];
                let Some(at) = side.table(self.file, table)? else { continue };
                let range = at..at + TABLE;
                let inside = at + sides::used(self.map, table) * 4 <= self.file.size();
                let problem = match space.take(range.clone()) {
                    _ if !inside => (Problem::OutOfFile, format!("{}..{}", range.start, range.end)),
                    Err(hit) => (Problem::Overlap, format!("{}..{} in use", hit.start, hit.end)),
                    Ok(()) => {
                        usable += 1;
                        continue;
                    }
                };
                self.unusable.insert((number, table));
                problems.push((side, problem));
            }
            for (side, (problem, found)) in problems {
                let expected = format!("grain table {table} in bytes of its own");
                let defect = self.defect(problem, side.name, side.entry_at(table), expected, found);
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
        Ok(())
    }

    /// Notes where header, descriptor, directories and usable tables lie.
    fn mark_metadata(&self, taken: &mut Taken) -> Result<()> {
        self.map.reserved.iter().for_each(|(_, range)| taken.mark(range));
        for table in sides::tables(&self.sides, self.file, self.map) {
            let table = table?;
            for (number, side) in self.sides.iter().enumerate() {
                if let Some(at) =
                    side.table(self.file, table)?.filter(|_| !self.unusable.contains(&(number, table)))
                {
                    taken.mark(&(at..at + TABLE));
                }
            }
        }
        Ok(())
    }

    /// The copies of a table, by side.
    fn entries(&self, table: u64) -> Result<Vec<Copy>> {
        let used = sides::used(self.map, table) as usize;
        let read = |(number, side): (usize, &Side)| {
            let usable = !self.unusable.contains(&(number, table));
            let Some(at) = side.table(self.file, table)?.filter(|_| usable) else { return Ok(None) };
            let mut entries = vec![0; used];
            sides::read(self.file, at, &mut entries)?;
            Ok(Some((at, entries)))
        };
        self.sides.iter().enumerate().map(read).collect()
    }

    /// What all places of grains are multiples of.
    fn alignment(&self) -> Result<u64> {
        let mut sectors = 0;
        for table in sides::tables(&self.sides, self.file, self.map) {
            let table = table?;
            for (_, entries) in self.entries(table)?.into_iter().flatten() {
                let grains = entries.iter().filter(|&&entry| self.is_inside(entry));
                sectors = grains.fold(sectors, |all, entry| all | entry);
            }
        }
        Ok((SECTOR << sectors.trailing_zeros().min(31)).min(self.map.grain))
    }

    /// Whether an entry names a grain inside the file. What it lies on is another question.
    fn is_inside(&self, entry: u32) -> bool {
        let at = u64::from(entry) * SECTOR;
        entry > GTE_ZEROED && at + self.shortest() <= self.file.size()
    }

    /// Bytes that a grain has at least, since the last one may end with the disk.
    fn shortest(&self) -> u64 {
        match self.map.size % self.map.grain {
            0 => self.map.grain,
            rest => rest,
        }
    }

    /// Compares the copies of a table, and takes the places of its grains.
    fn check_grains(&mut self, table: u64, taken: &mut Taken) -> Result<()> {
        let copies = self.entries(table)?;
        let used = sides::used(self.map, table) as usize;
        let zeros = vec![0; used];
        let of = |copy: &Copy| copy.as_ref().map_or(zeros.clone(), |(_, entries)| entries.clone());
        let (mut merged, last) = match &copies[..] {
            [redundant, primary] => (of(redundant), of(primary)),
            [only] => (of(only), of(only)),
            _ => return Ok(()),
        };
        let (mut decided, mut undecided) = (0, 0);
        // Of a table that cannot be used nothing is known: the other one is right.
        let both = (0..copies.len()).all(|number| !self.unusable.contains(&(number, table)));
        for index in 0..used {
            let choice = match (both, copies.len()) {
                (true, 2) => self.choose(merged[index], last[index])?,
                _ => Choice::Agreed(merged[index].max(last[index])),
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
            merged[index] = self.check_grain((table, index), entry, taken)?;
        }
        self.report(table, &copies, decided, undecided);
        let may_write = undecided == 0 || matches!(self.fixer, Some((_, Repairs::All)));
        for (number, copy) in copies.iter().enumerate() {
            match (copy, self.fixer) {
                (Some((at, entries)), Some((file, _))) if may_write && *entries != merged => {
                    sides::write(file, *at, &merged)?;
                    file.sync()?;
                }
                (None, _)
                    if merged.iter().any(|&entry| entry != 0)
                        || self.unusable.contains(&(number, table)) && copies.iter().any(Option::is_some) =>
                {
                    self.differs = true;
                    self.missing.push((number, table));
                }
                (None, Some((file, Repairs::All))) if self.unusable.contains(&(number, table)) => {
                    self.sides[number].set_table(file, table, 0)?;
                    file.sync()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Which of the two entries of a grain is right. A cut leaves them different where one has what the other will have: a
    /// grain, whose data were durable before any entry named it, or none. A grain then says more than none.
    fn choose(&self, redundant: u32, primary: u32) -> Result<Choice> {
        let rank = |entry| match entry {
            GTE_UNALLOCATED => 0,
            GTE_ZEROED if self.map.zeroed_grains => 1,
            entry if self.is_inside(entry) => 2,
            _ => 0,
        };
        Ok(match rank(redundant).cmp(&rank(primary)) {
            _ if redundant == primary => Choice::Agreed(primary),
            std::cmp::Ordering::Greater => Choice::Decided(redundant),
            std::cmp::Ordering::Less => Choice::Decided(primary),
            std::cmp::Ordering::Equal if self.same(redundant, primary)? => Choice::Decided(redundant),
            std::cmp::Ordering::Equal => Choice::Undecided(redundant),
        })
    }

    /// Whether the grains that two entries name hold the same, as those do of which one was being moved.
    fn same(&self, a: u32, b: u32) -> Result<bool> {
        if !self.is_inside(a) || !self.is_inside(b) {
            return Ok(false);
        }
        let len = self.map.grain.min(self.file.size() - u64::from(a.max(b)) * SECTOR) as usize;
        let (mut one, mut other) = (vec![0; len], vec![0; len]);
        self.file.read_exact_at(&mut one, u64::from(a) * SECTOR)?;
        self.file.read_exact_at(&mut other, u64::from(b) * SECTOR)?;
        Ok(one == other)
    }

    /// Takes the place of a grain, and returns what its entry is to be.
    fn check_grain(&mut self, (table, index): (u64, usize), entry: u32, taken: &mut Taken) -> Result<u32> {
        if entry == GTE_UNALLOCATED || entry == GTE_ZEROED && self.map.zeroed_grains {
            return Ok(entry);
        }
        let grain = table * self.map.gtes_per_gt + index as u64;
        let at = u64::from(entry) * SECTOR;
        let len = self.map.grain.min(self.map.size - grain * self.map.grain);
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

    /// Says how the copies of a table differ.
    fn report(&mut self, table: u64, copies: &[Copy], decided: u64, undecided: u64) {
        let at = copies.iter().flatten().next_back().map(|(at, _)| *at).unwrap_or(self.map.directory);
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
    fn replace_missing(&mut self, taken: &mut Taken) -> Result<()> {
        let Some((file, _)) = self.fixer else { return Ok(()) };
        for (number, table) in std::mem::take(&mut self.missing) {
            let other = self.sides.len() - 1 - number;
            let copies = self.entries(table)?;
            let Some(Some((_, entries))) = copies.get(other) else { continue };
            let mut whole = vec![0; self.map.gtes_per_gt as usize];
            whole[..entries.len()].copy_from_slice(entries);
            let Some(place) = taken.allocate_table() else { continue };
            sides::write(file, place, &whole)?;
            file.sync()?;
            self.sides[number].set_table(file, table, place)?;
            file.sync()?;
        }
        Ok(())
    }
}
