//! What a writer has changed and not yet published, and where new blocks go.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use super::bat;
use super::footer_pair::FooterPair;
use super::layout::{SECTOR, UNUSED};
use super::skeleton;
use super::write::Writer;
use crate::error::Result;
use crate::format::tools::table::TableCursor;

/// Data begin at multiples of this in the file, as Windows places them: guests write 4 KiB at a time.
pub(super) const ALIGNMENT: u64 = 4096;
/// Bytes of unpublished changes that are kept.
const PENDING: u64 = 1 << 20;
/// Bytes that the file is extended by at most beyond what is asked for: each extension takes a sync.
const AHEAD: u64 = 64 << 20;

/// What the file's tables do not show yet: all that one who reads must know of what is pending.
#[derive(Default)]
pub(super) struct Tables {
    /// BAT entries.
    entries: BTreeMap<u64, u32>,
    /// Sector bitmaps, of new blocks and of others.
    bitmaps: BTreeMap<u64, Vec<u8>>,
}

/// The changes that the file's tables do not show yet. Data are written at once; what leads to them waits here, and in
/// [`Tables`], until they are durable. Whoever changes or publishes anything holds it, syncs included; who only reads
/// does not wait for it.
pub(super) struct Pending {
    pub(super) footers: FooterPair,
    /// Where fresh space begins: it reads as zeros, but for a footer that lay there, which a new block's bitmap covers.
    pub(super) end: u64,
    /// Places that blocks have left, which the BAT in the file still names.
    left: Vec<u64>,
    /// Places that nothing names.
    free: Vec<u64>,
    /// Blocks that got fresh space.
    placed: u64,
}

impl Pending {
    pub(super) fn new(footers: FooterPair) -> Self {
        Self {
            // A whole number of sectors, as all that is added to it.
            end: footers.at,
            footers,
            left: Vec::new(),
            free: Vec::new(),
            placed: 0,
        }
    }
}

impl Tables {
    /// The bitmap of a block, if it has changed.
    pub(super) fn bitmap(&self, index: u64) -> Option<&[u8]> {
        self.bitmaps.get(&index).map(Vec::as_slice)
    }

    /// Notes that block `index` lies at `place`, with this bitmap.
    pub(super) fn put(&mut self, index: u64, place: u64, bitmap: Vec<u8>) {
        self.entries.insert(index, (place / SECTOR) as u32);
        self.bitmaps.insert(index, bitmap);
    }
}

impl Writer {
    /// Where block `index` begins in the file; `None` when it is not there.
    pub(super) fn place(
        &self,
        tables: &Tables,
        cursor: &mut TableCursor<'_, u32>,
        index: u64,
    ) -> Result<Option<u64>> {
        match tables.entries.get(&index) {
            Some(&entry) => Ok(bat::place(entry)),
            None => cursor.get(index).map(bat::place),
        }
    }

    /// Gives block `index` its place, all of whose data are zeros.
    pub(super) fn allocate(&self, pending: &mut Pending, index: u64) -> Result<u64> {
        let bat = &self.dynamic.bat;
        let place = match pending.free.last() {
            Some(&place) => {
                let data = place + bat.bitmap_size;
                self.file.zero(data..data + bat.block_size)?;
                pending.free.pop();
                place
            }
            None => self.fresh(pending)?,
        };
        // "All sectors within a block whose bits are zero must contain 512 bytes of zero on disk": readers of dynamic
        // disks differ in whether they look at the bits, so that all are set.
        let fill = if self.is_child() { 0 } else { 0xFF };
        self.change_tables().put(index, place, vec![fill; bat.bitmap_size as usize]);
        self.bound(pending)?;
        Ok(place)
    }

    /// Notes that block `index` is not in the file any more; its place, if it is known to be a whole one, is
    /// used again when that is durable.
    pub(super) fn remove(&self, pending: &mut Pending, index: u64, place: Option<u64>) -> Result<()> {
        let mut tables = self.change_tables();
        tables.entries.insert(index, UNUSED);
        tables.bitmaps.remove(&index);
        drop(tables);
        pending.left.extend(place);
        self.bound(pending)
    }

    /// A place at the file's end. The footer has made room for it before.
    pub(super) fn fresh(&self, pending: &mut Pending) -> Result<u64> {
        let bat = &self.dynamic.bat;
        let whole = bat.bitmap_size + bat.block_size;
        let after = |end: u64| (end + bat.bitmap_size).next_multiple_of(ALIGNMENT) - bat.bitmap_size;
        // A footer may lie under the bitmap that is to be written, but not under data that are taken for zeros.
        let kept = Some(after(pending.end)).filter(|place| place + whole <= pending.footers.at);
        let place = kept.unwrap_or(after(pending.footers.at));
        let end = place + whole;
        if u32::try_from(place / SECTOR).is_ok_and(|sector| sector != UNUSED) {
            if kept.is_none() {
                let ahead = pending.placed.min(AHEAD / whole) * whole.next_multiple_of(ALIGNMENT);
                pending.footers.move_to(end + ahead)?;
            }
            pending.end = end;
            pending.placed += 1;
            return Ok(place);
        }
        Err(skeleton::too_long(end))
    }

    /// Sets the bits of `sectors` of block `index`, whose data are written.
    pub(super) fn mark(
        &self,
        pending: &mut Pending,
        index: u64,
        place: u64,
        sectors: Range<u64>,
    ) -> Result<()> {
        let mut tables = self.change_tables();
        let bits = match tables.bitmaps.entry(index) {
            Entry::Occupied(bits) => bits.into_mut(),
            Entry::Vacant(empty) => empty.insert(self.dynamic.bitmap(index, place)?.to_vec()),
        };
        for sector in sectors {
            bits[(sector / 8) as usize] |= 0x80 >> (sector % 8);
        }
        drop(tables);
        self.bound(pending)
    }

    /// Publishes when much is pending.
    pub(super) fn bound(&self, pending: &mut Pending) -> Result<()> {
        let tables = self.tables();
        let bitmaps = tables.bitmaps.len() as u64 * self.dynamic.bat.bitmap_size;
        let places = tables.entries.len() + pending.left.len();
        drop(tables);
        if bitmaps + 64 * places as u64 > PENDING { self.publish(pending) } else { Ok(()) }
    }

    /// Makes everything durable: first the data, and the bitmaps that nothing leads to yet; then what leads to them.
    pub(super) fn publish(&self, pending: &mut Pending) -> Result<()> {
        // Nobody changes them meanwhile, which takes `pending`; those who read find what they will find in the file.
        let tables = self.tables();
        for (index, bits) in &tables.bitmaps {
            if let Some(place) = tables.entries.get(index).copied().and_then(bat::place) {
                self.file.write_all_at(bits, place)?;
            }
        }
        self.file.sync()?;
        if tables.entries.is_empty() && tables.bitmaps.is_empty() {
            return Ok(());
        }
        pending.footers.restore()?;
        let mut cursor = self.dynamic.cursor();
        for (&index, bits) in &tables.bitmaps {
            if !tables.entries.contains_key(&index)
                && let Some(place) = bat::place(cursor.get(index)?)
            {
                self.file.write_all_at(bits, place)?;
            }
        }
        self.write_entries(&tables.entries)?;
        self.file.sync()?;
        drop(tables);
        let mut tables = self.change_tables();
        tables.bitmaps.keys().for_each(|&index| self.dynamic.bitmaps.forget(index));
        tables.entries.keys().for_each(|&index| self.dynamic.bat.forget(index));
        tables.bitmaps.clear();
        tables.entries.clear();
        let left = std::mem::take(&mut pending.left);
        pending.free.extend(left);
        Ok(())
    }

    /// Writes entries into the BAT, by whole sectors: a cut leaves each as it was or as it is to be.
    fn write_entries(&self, entries: &BTreeMap<u64, u32>) -> Result<()> {
        let mut entries = entries.iter().map(|(&index, entry)| (self.dynamic.bat.entry_offset(index), entry));
        let mut next = entries.next();
        while let Some((first, _)) = next {
            let start = first / SECTOR * SECTOR;
            let mut sector = [0; SECTOR as usize];
            self.file.read_exact_at(&mut sector, start)?;
            while let Some((at, entry)) = next.filter(|(at, _)| *at < start + SECTOR) {
                let at = (at - start) as usize;
                sector[at..at + size_of::<u32>()].copy_from_slice(&entry.to_be_bytes());
                next = entries.next();
            }
            self.file.write_all_at(&sector, start)?;
        }
        Ok(())
    }
}
