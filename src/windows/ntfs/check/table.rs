//! What the first records of files say, for all of a volume: 40 bytes a record, in pages of those that are in use.

use std::collections::BTreeMap;

use bitflags::bitflags;

bitflags! {
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub(super) struct Marks: u16 {
        const IN_USE = 1;
        /// It continues another record.
        const EXTENT = 1 << 1;
        const DIRECTORY = 1 << 2;
        /// It has an attribute list.
        const LISTED = 1 << 3;
        /// It holds an index that is none of names.
        const VIEW = 1 << 4;
        const OBJECT_ID = 1 << 5;
        const REPARSE = 1 << 6;
        /// A part of it cannot be read: what it lacks is not missed.
        const DAMAGED = 1 << 7;
        const STANDARD_INFORMATION = 1 << 8;
        /// An entry of a directory leads to it.
        const MET = 1 << 9;
        /// A part of its index cannot be read.
        const INDEX_DAMAGED = 1 << 10;
        /// It holds an index of names.
        const NAMES = 1 << 11;
    }
}

/// A file, as its first record tells of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct File {
    /// Of the unnamed `$DATA`.
    pub size: u64,
    /// Of the unnamed `$DATA`: the clusters really there, or what it takes in its record.
    pub allocated: u64,
    pub attributes: u32,
    /// Of its reparse point.
    pub tag: u32,
    pub security: u32,
    pub sequence: u16,
    pub links: u16,
    /// Of its names, those that stand for a long one.
    pub short_names: u16,
    pub marks: Marks,
}

impl File {
    pub fn is(&self, marks: Marks) -> bool {
        self.marks.contains(marks)
    }

    /// Whether it is the first record of a file that exists.
    pub fn is_base(&self) -> bool {
        self.is(Marks::IN_USE) && !self.is(Marks::EXTENT)
    }
}

const PAGE: u32 = 32;

#[derive(Debug, Default)]
pub(super) struct Table {
    pages: BTreeMap<u32, Box<[File]>>,
}

impl Table {
    /// What is known of a record: nothing of one that is free.
    pub fn get(&self, number: u64) -> File {
        let Ok(number) = u32::try_from(number) else { return File::default() };
        let page = self.pages.get(&(number / PAGE));
        page.and_then(|page| page.get((number % PAGE) as usize)).copied().unwrap_or_default()
    }

    pub fn at(&mut self, number: u32) -> &mut File {
        let page = self
            .pages
            .entry(number / PAGE)
            .or_insert_with(|| vec![File::default(); PAGE as usize].into_boxed_slice());
        &mut page[(number % PAGE) as usize]
    }

    /// The first records of all files that exist, in order.
    pub fn bases(&self) -> impl Iterator<Item = (u32, File)> + '_ {
        let records = self.pages.iter().flat_map(|(page, files)| (page * PAGE..).zip(files.iter()));
        records.filter(|(_, file)| file.is_base()).map(|(number, file)| (number, *file))
    }
}
