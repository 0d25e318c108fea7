//! Master boot records, and the chains of logical partitions in extended ones.
//!
//! The layout is that of Microsoft's and IBM's systems, which UEFI Specification 2.10, chapter 5.2, records. Logical partitions
//! follow the convention that all of them share: the first boot record of an extended partition names the others relative to itself.

use std::collections::HashSet;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::FileSystem;
use super::layout::{Layout, Partition, Role, Scheme};
use super::types::PartitionType;
use crate::disk::{Disk, Patch};
use crate::error::{Error, Result};

/// Bytes of boot code before the disk signature.
const CODE: usize = 440;
const MAGIC: [u8; 2] = [0x55, 0xaa];
const ACTIVE: u8 = 0x80;
/// The type of the partition that stands for a GPT.
pub(super) const PROTECTIVE: u8 = 0xee;
/// Logical partitions that are followed at most; letters and kernels run out long before.
const MAX_LOGICAL: usize = 1024;

/// A boot record: the MBR, or one of an extended partition.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Record {
    code: [u8; CODE],
    signature: U32,
    reserved: [u8; 2],
    entries: [Entry; 4],
    magic: [u8; 2],
}
const _: () = assert!(size_of::<Record>() == 512);

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
struct Entry {
    status: u8,
    first_chs: [u8; 3],
    kind: u8,
    last_chs: [u8; 3],
    first: U32,
    sectors: U32,
}

impl Entry {
    fn new(kind: u8, active: bool, first: u32, sectors: u32) -> Self {
        Self {
            status: if active { ACTIVE } else { 0 },
            first_chs: chs(first.into()),
            kind,
            last_chs: chs(u64::from(first) + u64::from(sectors).saturating_sub(1)),
            first: first.into(),
            sectors: sectors.into(),
        }
    }

    fn is_used(&self) -> bool {
        self.kind != 0 && self.sectors != 0
    }

    fn is_extended(&self) -> bool {
        PartitionType::Mbr(self.kind).is_extended()
    }
}

/// Cylinder, head and sector of 255 heads and 63 sectors; what is beyond 1023 cylinders is all ones.
fn chs(lba: u64) -> [u8; 3] {
    let (cylinder, head, sector) = (lba / (255 * 63), lba / 63 % 255, lba % 63 + 1);
    match u16::try_from(cylinder) {
        Ok(cylinder) if cylinder < 1024 => {
            [head as u8, sector as u8 | (cylinder >> 2) as u8 & 0xc0, cylinder as u8]
        }
        _ => [0xfe, 0xff, 0xff],
    }
}

impl Record {
    /// The record at a sector; `None` where there is none, or beyond the disk.
    fn read(disk: &Disk, lba: u64) -> Result<Option<Self>> {
        let offset = lba.checked_mul(disk.logical_sector_size().into());
        let offset = offset.filter(|&offset| offset.checked_add(512).is_some_and(|end| end <= disk.size()));
        let Some(offset) = offset else { return Ok(None) };
        let mut bytes = [0; 512];
        disk.read_at(&mut bytes, offset)?;
        Ok(Some(Record::from(bytes)).filter(|record| record.magic == MAGIC))
    }
}

impl From<[u8; 512]> for Record {
    fn from(bytes: [u8; 512]) -> Self {
        zerocopy::transmute!(bytes)
    }
}

/// The master boot record of a disk.
pub(super) struct Mbr {
    record: Record,
}

impl Mbr {
    /// Reads it; `None` where the first sector is none, but blank or the boot sector of a volume.
    pub(super) fn read(disk: &Disk) -> Result<Option<Self>> {
        let Some(record) = Record::read(disk, 0)? else { return Ok(None) };
        // The boot code of a volume stands where an MBR has its table.
        if record.entries.iter().any(|entry| entry.status & !ACTIVE != 0)
            || FileSystem::of_boot_sector(record.as_bytes(), disk.size()).is_some()
        {
            return Ok(None);
        }
        Ok(Some(Self { record }))
    }

    /// Whether a GPT is said to be there.
    pub(super) fn is_protective(&self) -> bool {
        self.record.entries.iter().any(|entry| entry.kind == PROTECTIVE)
    }

    /// Whether it names partitions beside the one that protects a GPT.
    pub(super) fn is_hybrid(&self) -> bool {
        self.is_protective()
            && self.record.entries.iter().any(|entry| entry.is_used() && entry.kind != PROTECTIVE)
    }

    /// Whether it names no partition.
    pub(super) fn is_empty(&self) -> bool {
        !self.record.entries.iter().any(Entry::is_used)
    }

    /// The first sector with the protective partition reaching up to the last sector `last`; `None` when there is none that
    /// stands for the whole disk.
    pub(super) fn protecting(mut self, last: u64) -> Option<Vec<u8>> {
        let entries = self.record.entries.iter_mut();
        let entry = entries.into_iter().find(|entry| entry.kind == PROTECTIVE && entry.first == 1)?;
        entry.sectors = protected(last).into();
        Some(self.record.as_bytes().to_vec())
    }

    /// Its partitions, with the logical ones.
    pub(super) fn layout(&self, disk: &Disk) -> Result<Layout> {
        let mut layout = Layout {
            scheme: Scheme::Mbr { signature: self.record.signature.get() },
            disk_size: disk.size(),
            sector_size: disk.logical_sector_size(),
            partitions: Vec::new(),
            warnings: Vec::new(),
        };
        for (index, entry) in (1..).zip(&self.record.entries).filter(|(_, entry)| entry.is_used()) {
            let role = if entry.is_extended() { Role::Extended } else { Role::Primary };
            let partition = partition(&layout, index, entry, 0, role);
            layout.partitions.push(partition);
        }
        let extended: Vec<_> =
            self.record.entries.iter().filter(|e| e.is_used() && e.is_extended()).collect();
        for entry in extended {
            follow(disk, &mut layout, entry.first.get().into())?;
        }
        Ok(layout)
    }
}

fn partition(layout: &Layout, index: u32, entry: &Entry, base: u64, role: Role) -> Partition {
    let sector = u64::from(layout.sector_size);
    Partition {
        index,
        kind: PartitionType::Mbr(entry.kind),
        // Sectors are counted in 32 bits: the products are small.
        start: (base + u64::from(entry.first.get())) * sector,
        size: u64::from(entry.sectors.get()) * sector,
        name: String::new(),
        id: None,
        attributes: 0,
        active: entry.status == ACTIVE,
        role,
    }
}

/// Adds the logical partitions of the extended one at the sector `extended`.
fn follow(disk: &Disk, layout: &mut Layout, extended: u64) -> Result<()> {
    let sector = u64::from(layout.sector_size);
    let mut seen = HashSet::new();
    let mut next = Some(extended);
    while let Some(lba) = next.take() {
        let refuse = |expected: &str, found: String| Error::Damaged {
            structure: "extended boot record",
            offset: lba * sector,
            expected: expected.to_owned(),
            found,
        };
        if !seen.insert(lba) {
            return Err(refuse("a record that was not met before", "a chain that loops".to_owned()));
        }
        if seen.len() > MAX_LOGICAL {
            return Err(refuse("1024 records at most", "more".to_owned()));
        }
        let Some(record) = Record::read(disk, lba)? else {
            layout.warn(format!(
                "no extended boot record at {}: its logical partitions are lost",
                lba * sector
            ));
            break;
        };
        for entry in record.entries.iter().filter(|entry| entry.is_used()) {
            if entry.is_extended() {
                next = next.or(Some(extended + u64::from(entry.first.get())));
                continue;
            }
            let logical = layout.partitions.iter().filter(|p| matches!(p.role, Role::Logical { .. }));
            let index = 5 + logical.count() as u32;
            let role = Role::Logical { record: lba * sector };
            let partition = partition(layout, index, entry, lba, role);
            layout.partitions.push(partition);
        }
    }
    Ok(())
}

/// The patches that write `layout`, an MBR's, to `disk`, whose boot code stays.
pub(super) fn patches(layout: &Layout, signature: u32, disk: &Disk) -> Result<Vec<Patch>> {
    let mut bytes = [0; 512];
    disk.read_at(&mut bytes, 0)?;
    let mut record = Record { signature: signature.into(), magic: MAGIC, ..Record::from(bytes) };
    record.entries = [Entry::default(); 4];
    let mut patches = Vec::new();
    for partition in &layout.partitions {
        if let Role::Logical { record } = partition.role {
            let holds = |other: &Partition| other.role == Role::Extended && other.range().contains(&record);
            if !layout.partitions.iter().any(holds) {
                return Err(unfit(partition, "its boot record lies in no extended partition"));
            }
            continue;
        }
        let slot = (partition.index as usize).checked_sub(1).and_then(|slot| record.entries.get_mut(slot));
        let slot = slot.filter(|slot| !slot.is_used());
        *slot.ok_or_else(|| unfit(partition, "an MBR has four places"))? = entry(layout, partition, 0)?;
        if partition.role == Role::Extended {
            chain(layout, partition, &mut patches)?;
        }
    }
    patches.push(Patch { offset: 0, bytes: record.as_bytes().to_vec() });
    Ok(patches)
}

/// Adds the boot records of an extended partition.
fn chain(layout: &Layout, extended: &Partition, patches: &mut Vec<Patch>) -> Result<()> {
    // The first record is at the beginning, whether it names a partition or only the next record.
    let mut records: Vec<(u64, Vec<&Partition>)> = vec![(extended.start, Vec::new())];
    for partition in &layout.partitions {
        let Role::Logical { record } = partition.role else { continue };
        if !extended.range().contains(&record) {
            continue;
        }
        match records.last_mut() {
            Some((last, named)) if *last == record => named.push(partition),
            _ => records.push((record, vec![partition])),
        }
    }
    let mut next = None;
    for (start, named) in records.iter().rev() {
        let mut record = Record::from([0; 512]);
        record.magic = MAGIC;
        let mut slots = record.entries.iter_mut();
        for partition in named {
            let slot = slots.next().ok_or_else(|| unfit(partition, "its boot record names four already"))?;
            *slot = entry(layout, partition, *start)?;
        }
        if let Some((after, end)) = next {
            let slot = slots.next().ok_or_else(|| unfit(extended, "a boot record names four already"))?;
            let link = Partition { start: after, size: end - after, ..extended.clone() };
            *slot = entry(layout, &link, extended.start)?;
        }
        let end = named.iter().map(|partition| partition.end()).max();
        next = Some((
            *start,
            end.unwrap_or(start.saturating_add(layout.sector_size.into())).max(start.saturating_add(1)),
        ));
        patches.push(Patch { offset: *start, bytes: record.as_bytes().to_vec() });
    }
    Ok(())
}

/// The entry of a partition, counted from `base`.
fn entry(layout: &Layout, partition: &Partition, base: u64) -> Result<Entry> {
    let PartitionType::Mbr(kind) = partition.kind else {
        return Err(unfit(partition, "its type is none of an MBR"));
    };
    let sectors = |bytes: Option<u64>| {
        let bytes = bytes.filter(|bytes| bytes.is_multiple_of(layout.sector_size.into()))?;
        u32::try_from(bytes / u64::from(layout.sector_size)).ok()
    };
    match (sectors(partition.start.checked_sub(base)), sectors(Some(partition.size))) {
        (Some(first), Some(count)) => Ok(Entry::new(kind, partition.active, first, count)),
        _ => Err(unfit(partition, "an MBR counts whole sectors, in 32 bits")),
    }
}

fn unfit(partition: &Partition, why: &str) -> Error {
    Error::Layout { reason: format!("partition {} does not fit in an MBR: {why}", partition.index) }
}

/// The first sector of a disk with a GPT, whose last sector is `last` (table 5.4).
pub(super) fn protective(last: u64) -> Vec<u8> {
    let mut record = Record::from([0; 512]);
    record.entries[0] = Entry {
        first_chs: [0, 2, 0],
        last_chs: [0xff; 3],
        ..Entry::new(PROTECTIVE, false, 1, protected(last))
    };
    record.magic = MAGIC;
    record.as_bytes().to_vec()
}

/// "The size of the disk minus one", or all ones where that does not fit (table 5.4).
fn protected(last: u64) -> u32 {
    u32::try_from(last).unwrap_or(u32::MAX)
}
