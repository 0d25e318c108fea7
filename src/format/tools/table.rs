//! On-disk tables (BAT, grain directory, grain tables), read in pages on demand.
//!
//! A table may be far larger than the memory that a reader may take: a 64 TiB VHDX with 1 MiB blocks has a BAT of
//! 512 MiB. Pages are read when they are first asked for, and a fixed number of them is kept.

use std::sync::Arc;

use crate::disk::cache::ChunkCache;
use crate::error::Result;
use crate::storage::ImageFile;

/// Bytes of a page.
const PAGE: u64 = 16 * 1024;
/// Pages kept at most: 1 MiB a table.
const SLOTS: u64 = 64;

/// A table of fixed-size entries in a file.
pub(crate) struct PagedTable<E> {
    offset: u64,
    entries: u64,
    cache: ChunkCache,
    decode: fn(&[u8]) -> E,
    entry_size: u64,
}

impl<E> PagedTable<E> {
    /// The table of `entries` entries of `entry_size` bytes at `offset`; `entry_size` is a power of two.
    ///
    /// That the table lies inside its file is the caller's to check: the caller knows its name.
    pub(crate) fn new(offset: u64, entries: u64, entry_size: u64, decode: fn(&[u8]) -> E) -> Self {
        let pages = (entries * entry_size).div_ceil(PAGE);
        Self { offset, entries, cache: ChunkCache::new(pages.min(SLOTS)), decode, entry_size }
    }

    /// Where entry `index` lies in the file.
    pub(crate) fn entry_offset(&self, index: u64) -> u64 {
        self.offset + index * self.entry_size
    }

    /// Forgets what was read of entry `index`, which has changed in the file.
    pub(crate) fn forget(&self, index: u64) {
        self.cache.forget(index * self.entry_size / PAGE);
    }

    /// A reader of entries of the table, which lies in `file`.
    pub(crate) fn cursor<'a>(&'a self, file: &'a ImageFile) -> TableCursor<'a, E> {
        TableCursor { table: self, file, page: None }
    }
}

/// Reads entries one after the other, taking each page from the cache once.
pub(crate) struct TableCursor<'a, E> {
    table: &'a PagedTable<E>,
    file: &'a ImageFile,
    page: Option<(u64, Arc<Vec<u8>>)>,
}

impl<'a, E> TableCursor<'a, E> {
    /// The file that holds the table.
    pub(crate) fn file(&self) -> &'a ImageFile {
        self.file
    }

    /// Entry `index`, which is less than the number of entries.
    pub(crate) fn get(&mut self, index: u64) -> Result<E> {
        let (decode, size) = (self.table.decode, self.table.entry_size as usize);
        Ok(decode(&self.page_from(index)?[..size]))
    }

    /// The bytes of the entries from `index` on, which is less than their number, to the end of their page.
    pub(crate) fn page_from(&mut self, index: u64) -> Result<&[u8]> {
        let table = self.table;
        debug_assert!(index < table.entries);
        let at = index * table.entry_size;
        let number = at / PAGE;
        if self.page.as_ref().is_none_or(|(kept, _)| *kept != number) {
            let bytes = table.cache.get(number, || {
                let start = number * PAGE;
                let len = PAGE.min(table.entries * table.entry_size - start);
                let mut bytes = vec![0; len as usize];
                self.file.read_exact_at(&mut bytes, table.offset + start)?;
                Ok(bytes)
            })?;
            self.page = Some((number, bytes));
        }
        let bytes = self.page.as_ref().map_or(&[][..], |(_, bytes)| &bytes[..]);
        Ok(&bytes[(at % PAGE) as usize..])
    }
}

/// A table that is written from front to back, a page at a time.
///
/// Entries are set in increasing order. A page is complete when an entry of a later one comes, so that one page is
/// all that is kept of a table of any size.
pub(crate) struct TableWriter {
    entry_size: usize,
    entries: u64,
    fill: u8,
    number: u64,
    bytes: Vec<u8>,
    used: bool,
}

impl TableWriter {
    /// Pages of `entries` entries of `entry_size` bytes; bytes of entries that are never set are `fill`.
    pub(crate) fn new(entries: u64, entry_size: usize, fill: u8) -> Self {
        let bytes = vec![fill; entries as usize * entry_size];
        Self { entry_size, entries, fill, number: 0, bytes, used: false }
    }

    /// Whether entry `index` is on the page that is being filled.
    pub(crate) fn covers(&self, index: u64) -> bool {
        index / self.entries == self.number
    }

    /// Goes on to the page of entry `index`, or to none. Hands the page that is left behind to `write`, with its
    /// number, if any entry of it was set.
    pub(crate) fn turn_to(
        &mut self,
        index: Option<u64>,
        write: impl FnOnce(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if index.is_some_and(|index| self.covers(index)) {
            return Ok(());
        }
        if self.used {
            write(self.number, &self.bytes)?;
            self.bytes.fill(self.fill);
            self.used = false;
        }
        self.number = index.map_or(0, |index| index / self.entries);
        Ok(())
    }

    /// Sets entry `index`, which is on the page at hand.
    pub(crate) fn set(&mut self, index: u64, entry: &[u8]) {
        debug_assert!(self.covers(index));
        let at = (index % self.entries) as usize * self.entry_size;
        self.bytes[at..at + self.entry_size].copy_from_slice(entry);
        self.used = true;
    }
}
