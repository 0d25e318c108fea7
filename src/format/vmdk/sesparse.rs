//! seSparse extents: the snapshots of VMFS 6. Read only; nobody but ESXi writes them.
//!
//! There is no public specification: the structure is as qemu's `block/vmdk.c` and Xen Orchestra read it.

use std::mem::offset_of;

use super::capacity;
use super::extent_source::ExtentSource;
use super::grain_table::{Grain, PAGE, Table, TablePages, run};
use super::layout::{
    SECTOR, SESPARSE, SESPARSE_VERSION, SESPARSE_VOLATILE, SeSparseArea, SeSparseHeader,
    SeSparseVolatileHeader,
};
use crate::disk::{FileIndex, Mapping};
use crate::error::{Problem, Result};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::storage::ImageFile;

/// Sectors of a grain, and of a grain table: the only values seen, and those that qemu takes.
const GRAIN_SECTORS: u64 = 8;
const TABLE_SECTORS: u64 = 64;

const GRAIN: u64 = GRAIN_SECTORS * SECTOR;
const TABLE: u64 = TABLE_SECTORS * SECTOR;
const GTES_PER_GT: u64 = TABLE / 8;

const STRUCTURE: &str = "seSparse header";

/// The header of an seSparse extent, checked.
#[derive(Clone, Copy)]
pub(super) struct Header {
    /// Sectors of the disk.
    pub(super) capacity: u64,
    directory: u64,
    tables: Area,
    grains: Area,
}

/// A part of the file, in bytes. It may be larger than the file, which grows into it.
#[derive(Clone, Copy)]
struct Area {
    start: u64,
    len: u64,
}

/// The map of an seSparse extent.
pub(super) struct SeSparse {
    extent: u32,
    pub(super) file: FileIndex,
    /// Bytes of the extent's part of the disk.
    size: u64,
    header: Header,
}

impl Header {
    pub(super) fn read(file: &ImageFile) -> Result<Self> {
        let raw: SeSparseHeader = file.read_struct(Format::Vmdk, STRUCTURE, 0)?;
        let defect = |problem, field: usize, expected: String, found: u64| {
            file.defect(Format::Vmdk, problem, STRUCTURE, field as u64, expected, format!("{found:#x}"))
        };
        let must_be = |problem, field: usize, expected: u64, found: u64| {
            if expected == found {
                return Ok(());
            }
            Err(defect(problem, field, format!("{expected:#x}"), found))
        };
        must_be(Problem::Signature, 0, SESPARSE, raw.magic.get())?;
        let field = offset_of!(SeSparseHeader, version);
        must_be(Problem::Unsupported, field, SESPARSE_VERSION, raw.version.get())?;
        let field = offset_of!(SeSparseHeader, flags);
        must_be(Problem::Unsupported, field, 0, raw.flags.get())?;
        let field = offset_of!(SeSparseHeader, grain_size);
        must_be(Problem::BlockSize, field, GRAIN_SECTORS, raw.grain_size.get())?;
        let field = offset_of!(SeSparseHeader, grain_table_size);
        must_be(Problem::Table, field, TABLE_SECTORS, raw.grain_table_size.get())?;
        let capacity = raw.capacity.get();
        let field = offset_of!(SeSparseHeader, capacity) as u64;
        capacity::check(file, (STRUCTURE, field), capacity)?;
        let area = |area: &SeSparseArea, field: usize| {
            let (offset, size) = (area.offset.get(), area.size.get());
            // A quarter of what fits 64 bits: sums of two need no check.
            let limit = u64::MAX / SECTOR / 4;
            if offset == 0 || offset > limit || size > limit {
                return Err(defect(Problem::OutOfFile, field, "a part of the file".into(), offset));
            }
            Ok(Area { start: offset * SECTOR, len: size * SECTOR })
        };
        let directory = area(&raw.grain_directory, offset_of!(SeSparseHeader, grain_directory))?;
        let tables = area(&raw.grain_tables, offset_of!(SeSparseHeader, grain_tables))?;
        let grains = area(&raw.grains, offset_of!(SeSparseHeader, grains))?;
        let needed = capacity.div_ceil(GRAIN_SECTORS * GTES_PER_GT) * 8;
        if directory.len < needed {
            let field = offset_of!(SeSparseHeader, grain_directory) + 8;
            let expected = format!("a grain directory of at least {needed} bytes");
            return Err(defect(Problem::Table, field, expected, directory.len));
        }
        file.check_inside(Format::Vmdk, "grain directory", directory.start, needed)?;
        let volatile = area(&raw.volatile_header, offset_of!(SeSparseHeader, volatile_header))?.start;
        check_journal(file, volatile)?;
        Ok(Self { capacity, directory: directory.start, tables, grains })
    }

    /// The map of the extent.
    pub(super) fn map(&self, source: &ExtentSource<'_>) -> Result<SeSparse> {
        let ExtentSource { extent, file, index, declared, .. } = *source;
        let field = (STRUCTURE, offset_of!(SeSparseHeader, capacity));
        let sectors = capacity::sectors(file, field, (self.capacity, GRAIN_SECTORS), declared)?;
        Ok(SeSparse { extent, file: index, size: sectors * SECTOR, header: *self })
    }
}

/// That there is no journal to be replayed: nobody but ESXi knows how.
fn check_journal(file: &ImageFile, at: u64) -> Result<()> {
    let structure = "seSparse volatile header";
    let raw: SeSparseVolatileHeader = file.read_struct(Format::Vmdk, structure, at)?;
    if raw.magic.get() != SESPARSE_VOLATILE {
        let (expected, found) = (format!("{SESPARSE_VOLATILE:#x}"), format!("{:#x}", raw.magic));
        return Err(file.defect(Format::Vmdk, Problem::Signature, structure, at, expected, found));
    }
    if raw.replay_journal.get() != 0 {
        let field = at + offset_of!(SeSparseVolatileHeader, replay_journal) as u64;
        return Err(file
            .defect_box(
                Format::Vmdk,
                Problem::Log,
                structure,
                field,
                "no journal to be replayed",
                raw.replay_journal.to_string(),
            )
            .advise(Hint::ReplayWithEsxi)
            .into());
    }
    Ok(())
}

impl SeSparse {
    pub(super) fn map(
        &self,
        file: &ImageFile,
        pages: &TablePages,
        offset: u64,
        limit: u64,
    ) -> Result<Mapping> {
        run((GRAIN, self.size), (offset, limit), self.file, |grain, most| self.look(file, pages, grain, most))
    }

    /// What the tables say of a grain, and of how many grains from there on it is true, of `most`.
    fn look(&self, file: &ImageFile, pages: &TablePages, grain: u64, most: u64) -> Result<(Grain, u64)> {
        let (table, index) = (grain / GTES_PER_GT, grain % GTES_PER_GT);
        let Some(number) = self.table(file, pages, table)? else {
            return Ok((Grain::Absent, GTES_PER_GT - index));
        };
        let start = self.header.tables.start + number * TABLE;
        file.check_inside(Format::Vmdk, "grain table", start, TABLE)?;
        // Tables are numbered by their place in the file, so that equal numbers share pages.
        let page_number = number * (TABLE / PAGE) + index * 8 / PAGE;
        let page_start = start + index * 8 / PAGE * PAGE;
        let page = pages.get(self.extent, Table::Grains, page_number, || {
            let mut bytes = vec![0; PAGE as usize];
            file.read_exact_at(&mut bytes, page_start)?;
            Ok(bytes)
        })?;
        let entries = page.get((index * 8 % PAGE) as usize..).unwrap_or_default();
        let mut same = entries.chunks_exact(8).take(most as usize).map(|entry| u64_at(entry, 0));
        let first = same.next().unwrap_or_default();
        let kind = self.grain(file, grain, first, start + index * 8)?;
        let count = match kind {
            Grain::At(_) => 1,
            _ => 1 + same.take_while(|&entry| entry == first).count() as u64,
        };
        Ok((kind, count))
    }

    /// The number of a grain table; `None` when none of its grains is stored.
    fn table(&self, file: &ImageFile, pages: &TablePages, table: u64) -> Result<Option<u64>> {
        let tables = self.size.div_ceil(GRAIN * GTES_PER_GT);
        let directory = (self.header.directory, tables, 8);
        let (page, at) = pages.entry((self.extent, Table::Directory), file, directory, table)?;
        let entry = u64_at(&page, at);
        if entry == 0 {
            return Ok(None);
        }
        let at = self.header.directory + table * 8;
        if entry >> 32 != 0x1000_0000 {
            let expected = "0, or a table's number below 0x10000000_00000000";
            return Err(wrong(file, Problem::Value, "grain directory", at, expected, entry));
        }
        let number = entry & 0xffff_ffff;
        if (number + 1) * TABLE > self.header.tables.len {
            let expected = format!("a table within {} bytes of tables", self.header.tables.len);
            return Err(wrong(file, Problem::OutOfFile, "grain directory", at, &expected, entry));
        }
        Ok(Some(number))
    }

    /// The grain that the entry at `at` stands for. Its first digit is the kind.
    fn grain(&self, file: &ImageFile, grain: u64, entry: u64, at: u64) -> Result<Grain> {
        match entry >> 60 {
            0 if entry == 0 => Ok(Grain::Absent),
            // 1 is a grain that the guest unmapped: qemu and Xen Orchestra read zeros, as a disk would.
            1 | 2 => Ok(Grain::Zero),
            3 => {
                let number = (entry >> 48 & 0xfff) | (entry & 0xffff_ffff_ffff) << 12;
                let position = u128::from(number) * u128::from(GRAIN);
                let start = u128::from(self.header.grains.start) + position;
                let len = GRAIN.min(self.size - grain * GRAIN);
                let inside = position + u128::from(GRAIN) <= u128::from(self.header.grains.len)
                    && start + u128::from(len) <= u128::from(file.size());
                match u64::try_from(start) {
                    Ok(start) if inside => Ok(Grain::At(start)),
                    _ => {
                        let expected = format!("a grain within a file of {} bytes", file.size());
                        Err(wrong(file, Problem::OutOfFile, "grain table", at, &expected, entry))
                    }
                }
            }
            _ => {
                let expected = "an entry of kind 0 (with nothing else), 1, 2 or 3";
                Err(wrong(file, Problem::Value, "grain table", at, expected, entry))
            }
        }
    }
}

fn wrong(
    file: &ImageFile,
    problem: Problem,
    structure: &'static str,
    at: u64,
    expected: &str,
    entry: u64,
) -> crate::Error {
    file.defect(Format::Vmdk, problem, structure, at, expected, format!("{entry:#018x}"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|entry| entry.try_into().ok()).map_or(0, u64::from_le_bytes)
}
