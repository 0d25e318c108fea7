//! The partitions of a GPT (UEFI Specification 2.10, table 5.6).

use uuid::Uuid;
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{ENTRY, Gpt};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::layout::{Layout, Partition, Role, Scheme};
use crate::partition::types::PartitionType;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    kind: [u8; 16],
    id: [u8; 16],
    first: U64,
    last: U64,
    attributes: U64,
    name: [U16; 36],
}
const _: () = assert!(size_of::<Entry>() == ENTRY);

impl Gpt {
    /// Its partitions on `disk`, from which it was read.
    pub(in crate::partition) fn layout(&self, disk: &Disk, hybrid: bool) -> Result<Layout> {
        let sector_size = disk.logical_sector_size();
        let mut layout = Layout {
            scheme: Scheme::Gpt { id: Uuid::from_bytes_le(self.header.disk_guid), hybrid },
            disk_size: disk.size(),
            sector_size,
            partitions: Vec::new(),
            warnings: Vec::new(),
        };
        let size = self.header.size_of_partition_entry.get() as usize;
        for (index, bytes) in (1..).zip(self.array.chunks_exact(size)) {
            let Ok((entry, _)) = Entry::read_from_prefix(bytes) else { continue };
            if entry.kind == [0; 16] {
                continue;
            }
            let partition = entry.partition(index, sector_size.into());
            layout.partitions.push(partition.ok_or_else(|| {
                let table = self.header.partition_entry_lba.get().saturating_mul(sector_size.into());
                let (first, last) = (entry.first, entry.last);
                Error::Damaged {
                    structure: "GPT entry",
                    offset: table.saturating_add(u64::from(index - 1) * size as u64),
                    expected: "a first sector, and a last one that is not before it".to_owned(),
                    found: format!("the sectors {first} to {last}"),
                }
            })?);
        }
        Ok(layout)
    }
}

impl Entry {
    /// The entry of `partition`, which consists of whole sectors.
    pub(super) fn new(partition: &Partition, kind: Uuid, sector: u64) -> Self {
        let mut entry = Self::new_zeroed();
        entry.kind = kind.to_bytes_le();
        entry.id = partition.id.unwrap_or_default().to_bytes_le();
        entry.first = (partition.start / sector).into();
        entry.last = (partition.end() / sector - 1).into();
        entry.attributes = partition.attributes.into();
        for (to, unit) in entry.name.iter_mut().zip(partition.name.encode_utf16()) {
            *to = unit.into();
        }
        entry
    }

    /// The partition; `None` for one that ends before it begins, or that no disk can hold.
    fn partition(&self, index: u32, sector: u64) -> Option<Partition> {
        let count = self.last.get().checked_sub(self.first.get())?.checked_add(1)?;
        let (start, size) = (self.first.get().checked_mul(sector)?, count.checked_mul(sector)?);
        start.checked_add(size)?;
        let units = self.name.iter().map(|unit| unit.get()).take_while(|&unit| unit != 0);
        Some(Partition {
            index,
            kind: PartitionType::Gpt(Uuid::from_bytes_le(self.kind)),
            start,
            size,
            name: char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect(),
            id: Some(Uuid::from_bytes_le(self.id)),
            attributes: self.attributes.get(),
            active: false,
            role: Role::Primary,
        })
    }
}
