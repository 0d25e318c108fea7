//! GPTs of odd shapes, and of hostile ones.

use diskport::partition::{Layout, PartitionType};
use diskport::{Disk, Error};
use uuid::Uuid;

use crate::disks::{MIB, at, disk, read, record};

/// A GPT by hand: `entries` of `entry_size` bytes each, the first two used.
fn gpt(entries: u32, entry_size: usize, used: &[(u64, u64)]) -> Disk {
    let size = 16 * MIB;
    let last = size / 512 - 1;
    let mut array = vec![0; entries as usize * entry_size];
    for (slot, &(first, end)) in array.chunks_exact_mut(entry_size).zip(used) {
        slot[..32].fill(7);
        slot[32..40].copy_from_slice(&first.to_le_bytes());
        slot[40..48].copy_from_slice(&end.to_le_bytes());
        for (at, unit) in "Größe\0junk".encode_utf16().enumerate() {
            slot[56 + 2 * at..58 + 2 * at].copy_from_slice(&unit.to_le_bytes());
        }
        // What follows the name is not part of it.
        slot[128..].fill(0xff);
    }
    let sectors = (array.len() as u64).div_ceil(512);
    let mut patches = vec![at(0, record(0, &[(0, 0xee, 1, last as u32)]))];
    for (my, other, table) in [(1, last, 2), (last, 1, last - sectors)] {
        let mut header = vec![0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x1_0000_u32.to_le_bytes());
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        for (at, value) in [(24, my), (32, other), (40, 2 + sectors), (48, last - sectors - 1), (72, table)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[80..84].copy_from_slice(&entries.to_le_bytes());
        header[84..88].copy_from_slice(&(entry_size as u32).to_le_bytes());
        header[88..92].copy_from_slice(&crc32fast::hash(&array).to_le_bytes());
        let crc = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        patches.push(at(my * 512, header));
        patches.push(at(table * 512, array.clone()));
    }
    disk(size, 512, patches)
}

#[test]
fn odd_tables_are_read() {
    for (entries, entry_size) in [(128, 128), (4, 128), (1, 128), (5, 256), (200, 128), (1000, 512)] {
        let layout =
            read(&gpt(entries, entry_size, &[(5000, 5999), (6000, 6000)][..entries.min(2) as usize]));
        assert!(layout.warnings.is_empty(), "{:?}", layout.warnings);
        assert_eq!(layout.partitions.len(), entries.min(2) as usize);
        let first = &layout.partitions[0];
        assert_eq!((first.index, first.start, first.size), (1, 5000 * 512, 1000 * 512));
        assert_eq!(first.kind, PartitionType::Gpt(Uuid::from_bytes([7; 16])));
        assert_eq!(first.name, "Größe");
    }
}

#[test]
fn partitions_beyond_the_disk_are_shown_and_refused_for_writing() {
    let disk = gpt(128, 128, &[(5000, 1 << 40)]);
    let layout = read(&disk);
    assert_eq!(layout.partitions[0].size, ((1 << 40) - 4999) * 512);
    assert!(matches!(layout.patches(&disk), Err(Error::NotConvertible { .. })));
    assert_eq!(layout.partitions[0].file_system(&disk).expect("reads"), None);
}

#[test]
fn impossible_entries_are_damage() {
    for entry in [(5000, 4999), (u64::MAX, u64::MAX), (0, u64::MAX), (5000, u64::MAX / 512)] {
        let refused = Layout::read(&gpt(128, 128, &[entry]));
        let Err(Error::Damaged { structure: "GPT entry", offset: 1024, .. }) = refused else {
            panic!("{entry:?}: {refused:?}")
        };
    }
}
