//! Writing dynamic and differencing disks in place.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::dynamic::Dynamic;
use super::footer_pair::FooterPair;
use super::header::Header;
use super::layout::SECTOR;
use super::pending::{Pending, Tables};
use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Identity, Layer, LayerInfo, Mapping, MappingKind, Sealed};
use crate::error::Result;
use crate::format::tools::bitmap::{self, BitOrder};
use crate::job::Job;
use crate::storage::{ImageFile, WritableFile};

/// A dynamic or differencing disk that is open for writing.
///
/// Data of blocks that are in the file go straight to their places. What changes the tables is kept in memory until
/// the data that it leads to are durable.
pub(super) struct Writer {
    pub(super) file: WritableFile,
    pub(super) dynamic: Dynamic,
    pub(super) header: Header,
    /// Held by one who changes something, and before `tables`.
    pending: Mutex<Pending>,
    /// Locked for writing only while they change in memory.
    tables: RwLock<Tables>,
}

/// What is written.
#[derive(Clone, Copy)]
enum Content<'a> {
    Data(&'a [u8]),
    Zeros,
}

impl Writer {
    pub(super) fn new(file: WritableFile, dynamic: Dynamic, header: Header, footers: FooterPair) -> Self {
        let (pending, tables) = (Mutex::new(Pending::new(footers)), RwLock::default());
        Self { file, dynamic, header, pending, tables }
    }

    /// Whether sectors that are not here are a parent's.
    pub(super) fn is_child(&self) -> bool {
        self.dynamic.clear == MappingKind::Absent
    }

    pub(super) fn change(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change_tables(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parts of a range of the disk: the block, and the bytes of it.
    fn parts(&self, offset: u64, len: u64) -> impl Iterator<Item = (u64, Range<u64>)> {
        let (size, end) = (self.dynamic.bat.block_size, offset + len);
        (offset / size..end.div_ceil(size)).map(move |index| {
            let begin = index * size;
            (index, offset.max(begin) - begin..(end - begin).min(size))
        })
    }

    /// Writes to the bytes `part` of block `index`.
    fn write_part(&self, index: u64, part: Range<u64>, content: Content<'_>) -> Result<()> {
        let sectors = part.start / SECTOR..part.end.div_ceil(SECTOR);
        let found = self.find(index, &sectors)?;
        let (place, set) = match found {
            Some(found) => found,
            None => {
                let mut pending = self.change();
                // Another thread may have been faster.
                match self.find(index, &sectors)? {
                    Some(found) => found,
                    None => (self.allocate(&mut pending, index)?, !self.is_child()),
                }
            }
        };
        self.put(place, part, content)?;
        if set { Ok(()) } else { self.mark(&mut self.change(), index, place, sectors) }
    }

    /// Where block `index` begins, and whether the bits of all these sectors are set.
    fn find(&self, index: u64, sectors: &Range<u64>) -> Result<Option<(u64, bool)>> {
        let tables = self.tables();
        let Some(place) = self.place(&tables, &mut self.dynamic.cursor(), index)? else { return Ok(None) };
        let run =
            |bits: &[u8]| bitmap::run(bits, BitOrder::MsbFirst, sectors.start as usize, sectors.end as usize);
        let (set, len) = match tables.bitmap(index) {
            Some(bits) => run(bits),
            None => run(&self.dynamic.bitmap(index, place)?),
        };
        Ok(Some((place, set && len as u64 == sectors.end - sectors.start)))
    }

    /// Writes to the bytes `part` of the block at `place`.
    fn put(&self, place: u64, part: Range<u64>, content: Content<'_>) -> Result<()> {
        let data = place + self.dynamic.bat.bitmap_size;
        match content {
            Content::Data(bytes) => self.file.write_all_at(bytes, data + part.start),
            Content::Zeros => self.file.zero(data + part.start..data + part.end),
        }
    }
}

impl Sealed for Writer {}

impl Layer for Writer {
    fn info(&self) -> &LayerInfo {
        &self.dynamic.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.dynamic.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let dynamic = &self.dynamic;
        let tables = self.tables();
        let mut cursor = dynamic.cursor();
        dynamic.join(offset, limit, |offset, end| {
            let index = offset / dynamic.bat.block_size;
            let Some(place) = self.place(&tables, &mut cursor, index)? else {
                return Ok(dynamic.absent(offset, end));
            };
            Ok(match tables.bitmap(index) {
                Some(bits) => dynamic.run_in_block(bits, place, offset, end),
                None => dynamic.run_in_block(&dynamic.bitmap(index, place)?, place, offset, end),
            })
        })
    }
}

impl WriteLayer for Writer {
    fn granularity(&self) -> u64 {
        SECTOR
    }

    fn write(&self, mut data: &[u8], offset: u64) -> Result<()> {
        for (index, part) in self.parts(offset, data.len() as u64) {
            let (now, later) = data.split_at((part.end - part.start) as usize);
            self.write_part(index, part, Content::Data(now))?;
            data = later;
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        for (index, part) in self.parts(offset, len) {
            if self.is_child() {
                // Only sectors that are here hide the parent's.
                self.write_part(index, part, Content::Zeros)?;
                continue;
            }
            let mut pending = self.change();
            let bat = &self.dynamic.bat;
            let place = self.place(&self.tables(), &mut self.dynamic.cursor(), index)?;
            let Some(place) = place else { continue };
            // XenServer's batmap must not name a block that is not there.
            if part != (0..bat.used(index)) || !bat.batmap.is_empty() {
                drop(pending);
                self.put(place, part, Content::Zeros)?;
                continue;
            }
            // The last block may have been made shorter than the others.
            let whole = bat.used(index) == bat.block_size;
            self.remove(&mut pending, index, whole.then_some(place))?;
        }
        Ok(())
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        if self.is_child() { Ok(()) } else { self.write_zeroes(offset, len) }
    }

    fn begin_in_place(&self, _: &Range<u64>) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.publish(&mut self.change())
    }

    fn close(&self) -> Result<()> {
        let mut pending = self.change();
        self.publish(&mut pending)?;
        let end = pending.end;
        pending.footers.cut(end)
    }

    fn check_size(&self, size: u64) -> Result<()> {
        self.allowed_size(size).map(drop)
    }

    fn resize(&self, size: u64, job: &Job) -> Result<()> {
        self.change_size(&mut self.change(), size, job)
    }

    fn pack(&self, job: &Job) -> Result<()> {
        self.move_into_gaps(&mut self.change(), job)
    }

    fn set_parent(&self, parent: &ParentLink<'_>) -> Result<()> {
        self.record_parent(&mut self.change(), parent)
    }

    fn set_data_id(&self, _: Identity) {}
}
