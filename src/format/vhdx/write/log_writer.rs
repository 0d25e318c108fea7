//! Writing log entries, [MS-VHDX] 2.3.1.

use std::collections::BTreeMap;
use std::ops::Range;

use uuid::Uuid;
use zerocopy::{FromZeros, IntoBytes};

use super::super::layout::{LogDataSector, LogDescriptor, LogEntryHeader};
use super::super::log::SECTOR;
use crate::error::Result;
use crate::storage::WritableFile;

/// A sector that an entry gives new content.
pub(super) type Sector = [u8; SECTOR as usize];

/// Sectors that an entry has room for. Their descriptors fill its first sector, so that two entries take less than
/// the smallest log.
pub(super) const MAX_SECTORS: usize =
    (SECTOR as usize - size_of::<LogEntryHeader>()) / size_of::<LogDescriptor>();

/// The end of the log at which entries are written.
///
/// When an entry is written, all that those before it changed is in its place and durable. So each entry is its own
/// tail, one entry is all that is ever replayed, and the next one may take any space of the log but the last one's.
pub(super) struct LogWriter {
    place: Range<u64>,
    guid: Uuid,
    /// Of the next entry.
    sequence_number: u64,
    /// The sector of the log where the next entry begins.
    next: u64,
}

impl LogWriter {
    /// Entries in the log at `place`, which is empty, under `guid`, a new LogGuid.
    pub(super) fn new(place: Range<u64>, guid: Uuid) -> Self {
        Self { place, guid, sequence_number: 1, next: 0 }
    }

    /// The LogGuid of the entries.
    pub(super) fn guid(&self) -> Uuid {
        self.guid
    }

    /// Writes an entry that gives `sectors`, at most [`MAX_SECTORS`], their new content. The file, all of which is
    /// durable, is `file_size` bytes long.
    pub(super) fn append(
        &mut self,
        file: &WritableFile,
        sectors: &BTreeMap<u64, Box<Sector>>,
        file_size: u64,
    ) -> Result<()> {
        let entry = self.entry(sectors, file_size);
        let log_sectors = (self.place.end - self.place.start) / SECTOR;
        let (front, wrapped) = entry.split_at(entry.len().min(((log_sectors - self.next) * SECTOR) as usize));
        file.write_all_at(front, self.place.start + self.next * SECTOR)?;
        if !wrapped.is_empty() {
            file.write_all_at(wrapped, self.place.start)?;
        }
        self.next = (self.next + entry.len() as u64 / SECTOR) % log_sectors;
        self.sequence_number += 1;
        Ok(())
    }

    fn entry(&self, sectors: &BTreeMap<u64, Box<Sector>>, file_size: u64) -> Vec<u8> {
        let length = (1 + sectors.len()) * SECTOR as usize;
        let mut header = LogEntryHeader::new_zeroed();
        header.signature = *b"loge";
        header.entry_length = (length as u32).into();
        header.tail = ((self.next * SECTOR) as u32).into();
        header.sequence_number = self.sequence_number.into();
        header.descriptor_count = (sectors.len() as u32).into();
        header.log_guid = self.guid.to_bytes_le();
        header.flushed_file_offset = file_size.into();
        header.last_file_offset = file_size.into();
        let mut entry = Vec::with_capacity(length);
        entry.extend_from_slice(header.as_bytes());
        for (&offset, sector) in sectors {
            let mut descriptor = LogDescriptor::new_zeroed();
            descriptor.signature = *b"desc";
            descriptor.leading_bytes.copy_from_slice(&sector[..8]);
            descriptor.trailing_bytes.copy_from_slice(&sector[SECTOR as usize - 4..]);
            descriptor.file_offset = offset.into();
            descriptor.sequence_number = self.sequence_number.into();
            entry.extend_from_slice(descriptor.as_bytes());
        }
        entry.resize(SECTOR as usize, 0);
        for sector in sectors.values() {
            let mut data = LogDataSector::new_zeroed();
            data.signature = *b"data";
            data.sequence_high = ((self.sequence_number >> 32) as u32).into();
            data.data.copy_from_slice(&sector[8..SECTOR as usize - 4]);
            data.sequence_low = (self.sequence_number as u32).into();
            entry.extend_from_slice(data.as_bytes());
        }
        let checksum = crc32c::crc32c(&entry);
        entry[4..8].copy_from_slice(&checksum.to_le_bytes());
        entry
    }
}
