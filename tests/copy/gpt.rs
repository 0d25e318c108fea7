//! A disk that grows takes its backup GPT along.

use std::sync::Arc;

use diskport::ops::grow;
use diskport::partition::{Gpt, GptCopy};
use diskport::storage::MemoryStorage;
use diskport::{Disk, Error, Format, Open};

use crate::source::content;

const MIB: usize = 1 << 20;

/// A GPT disk of 512-byte sectors with one partition, laid out from the specification.
pub fn gpt_disk(size: usize, with: impl Fn(&mut Vec<u8>)) -> Disk {
    let last = (size / 512 - 1) as u64;
    let mut bytes = vec![0; size];
    let mut array = vec![0; 128 * 128];
    array[..16].copy_from_slice(&[7; 16]);
    array[16..32].copy_from_slice(&[9; 16]);
    array[32..40].copy_from_slice(&2048_u64.to_le_bytes());
    array[40..48].copy_from_slice(&(last - 40).to_le_bytes());
    for (my, other, start) in [(1, last, 2), (last, 1, last - 32)] {
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x1_0000_u32.to_le_bytes());
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        for (at, value) in [(24, my), (32, other), (40, 34), (48, last - 33), (72, start)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[56..72].fill(0x42);
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        header[88..92].copy_from_slice(&crc32fast::hash(&array).to_le_bytes());
        let crc = crc32fast::hash(&header).to_le_bytes();
        header[16..20].copy_from_slice(&crc);
        bytes[my as usize * 512..][..92].copy_from_slice(&header);
        bytes[start as usize * 512..][..array.len()].copy_from_slice(&array);
    }
    bytes[446 + 4] = 0xee;
    bytes[446 + 8..446 + 12].copy_from_slice(&1_u32.to_le_bytes());
    bytes[446 + 12..446 + 16].copy_from_slice(&(last as u32).to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[3 * MIB] = 0x77;
    with(&mut bytes);
    raw(bytes)
}

pub fn raw(bytes: Vec<u8>) -> Disk {
    Open::new().format(Format::Raw).open(Arc::new(MemoryStorage::new(bytes))).expect("opens")
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Checks both copies on a disk that grew.
pub fn check(before: &Disk, after: &Disk) {
    let bytes = content(after);
    let last = bytes.len() / 512 - 1;
    assert_eq!(u64_at(&bytes, 512 + 32), last as u64, "the primary names the backup");
    assert_eq!(u64_at(&bytes, 512 + 48), last as u64 - 33, "the last usable sector");
    assert_eq!(u64_at(&bytes, last * 512 + 24), last as u64);
    assert_eq!(u64_at(&bytes, last * 512 + 32), 1);
    assert_eq!(u64_at(&bytes, last * 512 + 72), last as u64 - 32);
    assert_eq!(bytes[1024..1024 + 16384], bytes[(last - 32) * 512..last * 512], "equal arrays");
    assert_eq!(bytes[446 + 12..446 + 16], (last as u32).to_le_bytes(), "the protective partition");
    let old_last = (before.size() / 512 - 1) as usize;
    if old_last < last - 32 {
        assert!(
            bytes[(old_last - 32) * 512..(old_last + 1) * 512].iter().all(|&b| b == 0),
            "the old backup is gone"
        );
    }
    // Each copy is valid on its own: with the other one damaged, it is the one that is read.
    assert_eq!(Gpt::read(after).expect("reads").expect("a GPT").source(), GptCopy::Primary);
    let mut without_primary = bytes.clone();
    without_primary[512] ^= 1;
    assert_eq!(Gpt::read(&raw(without_primary)).expect("reads").expect("a GPT").source(), GptCopy::Backup);
    // The data are untouched.
    assert_eq!(bytes[34 * 512..(old_last - 33) * 512], content(before)[34 * 512..(old_last - 33) * 512]);
}

#[test]
fn the_backup_moves_to_the_new_end() {
    // By less than the backup's own size, by exactly it, and by much.
    for growth in [512, 33 * 512, MIB, 50 * MIB] {
        let disk = gpt_disk(8 * MIB, |_| {});
        let (grown, adjustments) = grow(&disk, (8 * MIB + growth) as u64).expect("grows");
        assert!(adjustments.iter().any(|line| line.contains("backup GPT")));
        check(&disk, &grown);
    }
}

#[test]
fn a_damaged_copy_is_restored_from_the_other() {
    let no_primary = gpt_disk(8 * MIB, |bytes| bytes[512 + 60] ^= 1);
    let (grown, adjustments) = grow(&no_primary, 9 << 20).expect("grows");
    assert!(adjustments.iter().any(|line| line.contains("restored")));
    check(&no_primary, &grown);
    let no_backup = gpt_disk(8 * MIB, |bytes| {
        let last = bytes.len() - 512;
        bytes[last..].fill(0);
    });
    let (grown, _) = grow(&no_backup, 9 << 20).expect("grows");
    assert_eq!(Gpt::read(&grown).expect("reads").expect("a GPT").source(), GptCopy::Primary);
}

#[test]
fn a_disk_without_gpt_just_grows() {
    let disk = raw(crate::source::noise(MIB, 1));
    let (grown, _) = grow(&disk, 2 << 20).expect("grows");
    let bytes = content(&grown);
    assert!(bytes[..MIB] == content(&disk) && bytes[MIB..].iter().all(|&b| b == 0));
}

#[test]
fn a_disk_does_not_shrink() {
    let disk = gpt_disk(8 * MIB, |_| {});
    let refused = grow(&disk, 7 << 20);
    assert!(matches!(refused, Err(Error::OutputTooSmall { needed: 8_388_608, given: 7_340_032 })));
    assert!(matches!(grow(&disk, (8 << 20) + 100), Err(Error::Unsupported { .. })));
}

#[test]
fn hostile_tables_are_no_gpt() {
    // The number of entries, the place of the array, the size of the header.
    for field in [80..84, 72..80, 12..16] {
        let disk = gpt_disk(8 * MIB, |bytes| {
            bytes[512..][field.clone()].fill(0xff);
            // With a checksum that is right, only the field itself stands in the way.
            let mut header = bytes[512..512 + 92].to_vec();
            header[16..20].fill(0);
            bytes[512 + 16..512 + 20].copy_from_slice(&crc32fast::hash(&header).to_le_bytes());
        });
        assert_eq!(Gpt::read(&disk).expect("reads").expect("the backup").source(), GptCopy::Backup);
    }
}

/// Rewrites a header's field, with a checksum that is right.
fn set_field(bytes: &mut [u8], field: std::ops::Range<usize>, value: u64) {
    let len = field.len();
    bytes[512..][field].copy_from_slice(&value.to_le_bytes()[..len]);
    let mut header = bytes[512..512 + 92].to_vec();
    header[16..20].fill(0);
    bytes[512 + 16..512 + 20].copy_from_slice(&crc32fast::hash(&header).to_le_bytes());
}

#[test]
fn a_table_without_room_for_its_copies_is_left_alone() {
    let last = (8 * MIB / 512 - 1) as u64;
    // Partitions up to the end; an array over the header; partitions from the array on.
    for (field, value) in [(48..56, last), (72..80, 0), (40..48, 3)] {
        let disk = gpt_disk(8 * MIB, |bytes| {
            let len = bytes.len();
            bytes[len - 512..].fill(0);
            if field.start == 72 {
                // The array that is found there must have the checksum that the header gives.
                let crc = crc32fast::hash(&[0; 0]);
                set_field(bytes, 80..84, 0);
                set_field(bytes, 88..92, crc.into());
            }
            set_field(bytes, field.clone(), value);
        });
        let refused = grow(&disk, (8 * MIB + 512) as u64);
        assert!(matches!(refused, Err(Error::Layout { .. })), "{field:?}: {refused:?}");
    }
}

#[test]
fn a_backup_that_is_not_at_the_end_goes_too() {
    // A disk that was grown by 2 MiB without its table.
    let disk = gpt_disk(8 * MIB, |bytes| bytes.resize(10 * MIB, 0));
    let (grown, _) = grow(&disk, 12 << 20).expect("grows");
    let bytes = content(&grown);
    assert!(bytes[8 * MIB - 33 * 512..8 * MIB].iter().all(|&byte| byte == 0), "the old backup is gone");
    assert_eq!(Gpt::read(&grown).expect("reads").expect("a GPT").source(), GptCopy::Primary);
}
