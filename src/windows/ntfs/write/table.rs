//! The master file table: records taken, given back and written, and the table itself made longer.
//!
//! `$MFT:$BITMAP` has a bit for each record, set while the record is in use. Every record up to the initialised size is
//! formatted. Records 16 to 23 are for `$MFT`'s own continuations, so that the table can grow without need of itself. Its
//! mirror holds the first records byte for byte.

use super::super::flaw::flaw;
use super::super::record::{Record, kind};
use super::super::volume::system_file;
use super::Edit;
use super::attribute::Value;
use super::node::Node;
use crate::error::Result;

/// The first record of ordinary files.
pub(super) const FIRST_ORDINARY: u64 = 24;
/// The records for the continuations of `$MFT`.
const FOR_TABLE: std::ops::Range<u64> = 16..FIRST_ORDINARY;
/// Bytes by which the table grows at least.
const GROWTH: u64 = 64 << 10;
/// Bytes of the bitmap that are read at once.
const CHUNK: u64 = 4096;

impl Edit {
    /// A record for a new file or a part of one, marked as in use. It is not written yet.
    pub(super) fn allocate_record(&mut self) -> Result<Record> {
        let number = match self.find_free_record()? {
            Some(number) => number,
            None => {
                self.grow_table()?;
                self.find_free_record()?.ok_or_else(|| {
                    flaw("a free record in a longer MFT", "none").at("NTFS MFT", self.volume.on_disk(0))
                })?
            }
        };
        self.next_record = number + 1;
        self.take_record(number)
    }

    /// A record for a continuation of `$MFT`.
    pub(super) fn allocate_table_extent(&mut self) -> Result<Record> {
        for number in FOR_TABLE {
            if !self.record_in_use(number)? {
                return self.take_record(number);
            }
        }
        Err(super::super::flaw::refused(
            "the MFT is in more pieces than its records can tell of: defragment it",
        ))
    }

    fn take_record(&mut self, number: u64) -> Result<Record> {
        let old = self.volume.record(number)?;
        let free = self.volume.in_record(&old, |old| Ok(!old.in_use()?))?;
        if !free {
            let flaw = flaw("a record that is free, as the MFT's bitmap says", "one in use");
            return self.volume.in_record(&old, |_| Err(flaw));
        }
        self.mark_record(number, true)?;
        self.volume.in_record(&old, Record::begin_anew)
    }

    /// Gives a record back.
    pub(super) fn free_record(&mut self, number: u64) -> Result<()> {
        let mut record = self.volume.record(number)?;
        let ended = record.end();
        self.volume.in_record(&record, |_| ended)?;
        self.write_record(&record)?;
        self.mark_record(number, false)?;
        if number >= FIRST_ORDINARY {
            self.next_record = self.next_record.min(number);
        }
        Ok(())
    }

    /// Writes a record, and its mirror if it has one.
    pub(super) fn write_record(&mut self, record: &Record) -> Result<()> {
        let size = self.volume.boot.record_size;
        let bytes = record.to_bytes();
        let bytes = self.volume.in_record(record, |_| bytes)?;
        let offset = record.number * size;
        let runs = self.volume.mft.runs().to_vec();
        self.write_runs(&runs, offset, &bytes)?;
        if offset + size <= self.mirror.size {
            let runs = self.mirror.runs().to_vec();
            self.write_runs(&runs, offset, &bytes)?;
        }
        Ok(())
    }

    fn records(&self) -> u64 {
        let table = &self.volume.mft;
        table.size.min(table.initialized) / self.volume.boot.record_size
    }

    fn find_free_record(&self) -> Result<Option<u64>> {
        let records = self.records();
        let mut at = self.next_record.max(FIRST_ORDINARY);
        while at < records {
            let byte = at / 8;
            let mut bytes = vec![0; CHUNK.min(self.records_in_use.size.saturating_sub(byte)) as usize];
            if bytes.is_empty() {
                return Ok(None);
            }
            self.records_in_use.read_at(&self.volume, &mut bytes, byte)?;
            let end = records.min((byte + bytes.len() as u64) * 8);
            let is_free = |number: &u64| bytes[(number / 8 - byte) as usize] >> (number % 8) & 1 == 0;
            if let Some(number) = (at..end).find(is_free) {
                return Ok(Some(number));
            }
            at = end;
        }
        Ok(None)
    }

    fn record_in_use(&self, number: u64) -> Result<bool> {
        let mut byte = [0];
        self.records_in_use.read_at(&self.volume, &mut byte, number / 8)?;
        Ok(byte[0] >> (number % 8) & 1 != 0)
    }

    fn mark_record(&mut self, number: u64, used: bool) -> Result<()> {
        if self.record_in_use(number)? == used {
            let (expected, found) = if used { ("free", "in use") } else { ("in use", "free") };
            return Err(flaw(format!("record {number} to be {expected}"), found)
                .at("NTFS MFT bitmap", self.volume.on_disk(0)));
        }
        let mut byte = [0];
        self.records_in_use.read_at(&self.volume, &mut byte, number / 8)?;
        byte[0] ^= 1 << (number % 8);
        let stream = self.records_in_use.clone();
        match stream.runs() {
            // As in a table of few records.
            [] => {
                let mut table = Node::load(&self.volume, system_file::MFT)?;
                if let Some(Value::Resident { bytes, .. }) =
                    table.find_mut(kind::BITMAP, "").map(|bitmap| &mut bitmap.value)
                    && let Some(place) = bytes.get_mut((number / 8) as usize)
                {
                    *place = byte[0];
                }
                self.store(&mut table)
            }
            runs => self.write_runs(runs, number / 8, &byte),
        }
    }

    /// Makes the table longer: clusters, formatted records, the bitmap.
    fn grow_table(&mut self) -> Result<()> {
        let (size, cluster) = (self.volume.boot.record_size, self.volume.boot.cluster_size);
        let old = self.records();
        let grown = (old * size + GROWTH).next_multiple_of(cluster.max(size));
        let records = grown / size;
        let mut table = Node::load(&self.volume, system_file::MFT)?;
        self.resize_value(&mut table, kind::DATA, "", grown)?;
        // The bitmap's bits beyond the last record are 0.
        let bitmap = records.div_ceil(64) * 8;
        if table.find(kind::BITMAP, "").is_some_and(|old| old.size() < bitmap) {
            let from = self.records_in_use.size;
            self.write_value(&mut table, kind::BITMAP, "", from, &vec![0; (bitmap - from) as usize])?;
        }
        if let Some(Value::Clusters(data)) = table.find_mut(kind::DATA, "").map(|data| &mut data.value) {
            data.initialized = grown;
            let runs = data.runs.clone();
            for number in old..records {
                let record = Record::format(number, size as usize);
                let bytes = record.to_bytes();
                let bytes = self.volume.in_record(&record, |_| bytes)?;
                self.write_runs(&runs, number * size, &bytes)?;
            }
        }
        self.store(&mut table)
    }
}
