//! Disks in memory with tables laid out from the specifications, byte by byte.

use std::sync::Arc;

use diskport::disk::Patch;
use diskport::partition::{Layout, Partition, PartitionType, Role, Scheme};
use diskport::storage::MemoryStorage;
use diskport::{Disk, Format, Open};

pub const MIB: u64 = 1 << 20;

pub fn raw(bytes: Vec<u8>) -> Disk {
    Open::new().format(Format::Raw).open(Arc::new(MemoryStorage::new(bytes))).expect("opens")
}

/// A disk of sectors of either size, zeros but for `patches`.
pub fn disk(size: u64, sector: u32, patches: Vec<Patch>) -> Disk {
    Disk::empty(size, sector).patched(size, patches).expect("patches")
}

/// A boot record with `entries`: status, type, first sector, sectors.
pub fn record(signature: u32, entries: &[(u8, u8, u32, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[440..444].copy_from_slice(&signature.to_le_bytes());
    for (slot, &(status, kind, first, sectors)) in entries.iter().enumerate() {
        let at = 446 + 16 * slot;
        bytes[at] = status;
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    }
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

pub fn at(offset: u64, bytes: Vec<u8>) -> Patch {
    Patch { offset, bytes }
}

pub fn read(disk: &Disk) -> Layout {
    Layout::read(disk).expect("reads").expect("a table")
}

/// A primary partition of an MBR.
pub fn primary(index: u32, kind: u8, start: u64, size: u64) -> Partition {
    Partition {
        index,
        kind: PartitionType::Mbr(kind),
        start,
        size,
        name: String::new(),
        id: None,
        attributes: 0,
        active: false,
        role: Role::Primary,
    }
}

pub fn mbr(disk_size: u64, sector_size: u32, partitions: Vec<Partition>) -> Layout {
    let scheme = Scheme::Mbr { signature: 0x1a2b_3c4d };
    Layout { scheme, disk_size, sector_size, partitions, warnings: Vec::new() }
}

/// The layout written to a blank disk.
pub fn written(layout: &Layout) -> Disk {
    let blank = Disk::empty(layout.disk_size, layout.sector_size);
    let patches = layout.patches(&blank).expect("fits");
    blank.patched(layout.disk_size, patches).expect("patches")
}
