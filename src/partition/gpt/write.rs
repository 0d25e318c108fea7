//! A GPT made from a layout, and both of its copies in their places.

use std::ops::Range;

use uuid::Uuid;
use zerocopy::{FromZeros, IntoBytes};

use super::entries::Entry;
use super::{ENTRY, Gpt, GptCopy, HEADER, Header, MAX_ARRAY, SIGNATURE};
use crate::disk::Patch;
use crate::error::{Error, Result};
use crate::leaves::{Rule, is_zero};
use crate::partition::layout::{Layout, Partition};
use crate::partition::mbr;
use crate::partition::types::PartitionType;

/// Entries at least: "a minimum of 16,384 bytes must be reserved for the array" (chapter 5.3.1).
const MIN_ENTRIES: u64 = 128;
/// Revision 1.0 of the header.
const REVISION: u32 = 0x1_0000;
/// The sector of the primary table.
const PRIMARY_ARRAY: u64 = 2;

/// Where the copies of a table lie, in sectors.
pub(super) struct Places {
    /// The disk's last sector.
    pub(super) last: u64,
    pub(super) primary_array: u64,
    pub(super) backup_array: u64,
}

/// The room that a GPT takes and leaves on a disk.
pub(in crate::partition) struct Room {
    entries: u64,
    array_sectors: u64,
    /// The bytes that partitions may use.
    pub(in crate::partition) usable: Range<u64>,
}

impl Room {
    pub(in crate::partition) fn of(layout: &Layout) -> Result<Self> {
        layout.check_sectors()?;
        let sector = u64::from(layout.sector_size);
        let numbers = layout.partitions.iter().map(|partition| u64::from(partition.index));
        let entries = numbers.max().unwrap_or(0).max(MIN_ENTRIES);
        let bytes = entries * ENTRY as u64;
        if bytes > MAX_ARRAY {
            let reason = format!("a partition has number {entries}: at most {} are written", MAX_ARRAY / 128);
            return Err(Error::Layout { reason });
        }
        let array_sectors = bytes.div_ceil(sector);
        let front = PRIMARY_ARRAY + array_sectors;
        let end = (layout.disk_size / sector).checked_sub(1 + array_sectors).filter(|&end| end > front);
        let Some(end) = end else {
            let reason = format!("no room for a GPT on a disk of {} bytes", layout.disk_size);
            return Err(Error::NotConvertible { rule: Rule::RoomInFront, reason });
        };
        Ok(Self { entries, array_sectors, usable: front * sector..end * sector })
    }
}

impl Gpt {
    /// The table of a valid layout.
    pub(in crate::partition) fn new(layout: &Layout, disk_guid: Uuid) -> Result<Self> {
        let sector = u64::from(layout.sector_size);
        let room = Room::of(layout)?;
        let mut array = vec![0; room.entries as usize * ENTRY];
        for partition in &layout.partitions {
            let unfit = |why: &str| Error::Layout {
                reason: format!("partition {} does not fit in a GPT: {why}", partition.index),
            };
            let PartitionType::Gpt(kind) = partition.kind else {
                return Err(unfit("its type is none of a GPT"));
            };
            if partition.size == 0 || !whole(partition, sector) {
                return Err(unfit("it is no whole number of sectors"));
            }
            let index = (partition.index as usize).checked_sub(1);
            let slot = index.and_then(|index| array.chunks_exact_mut(ENTRY).nth(index));
            let slot = slot.filter(|slot| is_zero(slot));
            let slot = slot.ok_or_else(|| unfit("its number is taken, or none"))?;
            slot.copy_from_slice(Entry::new(partition, kind, sector).as_bytes());
        }
        let mut header = Header::new_zeroed();
        header.signature = SIGNATURE;
        header.revision = REVISION.into();
        header.header_size = (HEADER as u32).into();
        header.first_usable_lba = (room.usable.start / sector).into();
        header.disk_guid = disk_guid.to_bytes_le();
        header.number_of_partition_entries = (room.entries as u32).into();
        header.size_of_partition_entry = (ENTRY as u32).into();
        header.partition_entry_array_crc32 = crc32fast::hash(&array).into();
        Ok(Self { header, sector: vec![0; sector as usize], array, source: GptCopy::Primary })
    }

    /// The patches that write it to the disk of `layout`, with the MBR that protects it.
    pub(in crate::partition) fn patches(&self, layout: &Layout) -> Result<Vec<Patch>> {
        let sector = u64::from(layout.sector_size);
        let last = layout.disk_size / sector - 1;
        let backup_array = last - Room::of(layout)?.array_sectors;
        let mut mbr = mbr::protective(last);
        mbr.resize(sector as usize, 0);
        let mut patches = vec![Patch { offset: 0, bytes: mbr }];
        patches.extend(self.copies(sector, &Places { last, primary_array: PRIMARY_ARRAY, backup_array }));
        Ok(patches)
    }

    /// Both copies, in their places.
    pub(super) fn copies(&self, sector: u64, places: &Places) -> [Patch; 4] {
        let &Places { last, primary_array, backup_array } = places;
        let header = |my: u64, alternate: u64, array: u64| {
            let bytes = self.sector(|header| {
                header.my_lba = my.into();
                header.alternate_lba = alternate.into();
                header.partition_entry_lba = array.into();
                header.last_usable_lba = (backup_array - 1).into();
            });
            Patch { offset: my * sector, bytes }
        };
        let array = |start: u64| {
            let mut bytes = self.array.clone();
            bytes.resize(bytes.len().next_multiple_of(sector as usize), 0);
            Patch { offset: start * sector, bytes }
        };
        [
            header(1, last, primary_array),
            array(primary_array),
            array(backup_array),
            header(last, 1, backup_array),
        ]
    }
}

fn whole(partition: &Partition, sector: u64) -> bool {
    partition.start.is_multiple_of(sector) && partition.size.is_multiple_of(sector)
}
