//! On-disk tables (BAT, grain directory, grain tables), read in pages on demand.
//!
//! A table may be far larger than the memory that a reader may take: a 64 TiB VHDX with 1 MiB blocks has a BAT of
//! 512 MiB. Pages are read when they are first asked for, and a fixed number of them is kept.

use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Result;
use crate::storage::ImageFile;

/// Bytes of a page.
const PAGE: u64 = 16 * 1024;
/// Pages kept at most: 1 MiB a table.
const SLOTS: u64 = 64;

/// Chunks of files, kept by what tells them apart; a chunk that falls on a taken slot replaces the one that was
/// there.
pub(crate) struct ChunkCache<K = u64> {
    slots: Box<[RwLock<Option<Chunk<K>>>]>,
}

struct Chunk<K> {
    key: K,
    bytes: Arc<[u8]>,
}

impl ChunkCache {
    /// The chunk of this number, loaded when it is not kept.
    pub(crate) fn get(&self, number: u64, load: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<[u8]>> {
        self.get_at(number, number, load)
    }
}

impl<K: Copy + Eq> ChunkCache<K> {
    /// A cache of at most `slots` chunks (at least 1).
    pub(crate) fn new(slots: u64) -> Self {
        Self { slots: (0..slots.max(1)).map(|_| RwLock::new(None)).collect() }
    }

    /// The chunk called `key`, kept in the slot that `place` gives, loaded when it is not kept.
    pub(crate) fn get_at(
        &self,
        place: u64,
        key: K,
        load: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<[u8]>> {
        let slot = &self.slots[(place % self.slots.len() as u64) as usize];
        if let Some(chunk) = &*slot.read().unwrap_or_else(PoisonError::into_inner) {
            if chunk.key == key {
                return Ok(chunk.bytes.clone());
            }
        }
        let bytes: Arc<[u8]> = load()?.into();
        *slot.write().unwrap_or_else(PoisonError::into_inner) = Some(Chunk { key, bytes: bytes.clone() });
        Ok(bytes)
    }
}

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

    /// A reader of entries of the table, which lies in `file`.
    pub(crate) fn cursor<'a>(&'a self, file: &'a ImageFile) -> TableCursor<'a, E> {
        TableCursor { table: self, file, page: None }
    }
}

/// Reads entries one after the other, taking each page from the cache once.
pub(crate) struct TableCursor<'a, E> {
    table: &'a PagedTable<E>,
    file: &'a ImageFile,
    page: Option<(u64, Arc<[u8]>)>,
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
        let bytes = self.page.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        Ok(&bytes[(at % PAGE) as usize..])
    }
}
