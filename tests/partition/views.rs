//! A partition as a disk of its own.

use diskport::copy::{Convert, OutputFormat};
use diskport::disk::MappingKind;
use diskport::format::Allocation;
use diskport::partition::FileSystem;
use diskport::{Child, Disk, Error, Open};

use crate::disks::{MIB, at, disk, raw};

fn content(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).expect("reads");
    bytes
}

#[test]
fn a_slice_reads_as_its_range_and_stays_sparse() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = disk(64 * MIB, 512, vec![at(5 * MIB - 3, vec![1; 1000]), at(40 * MIB, vec![2; 70_000])]);
    let path = folder.path().join("base.vhdx");
    Convert::new(&base)
        .to(OutputFormat::Vhdx(Allocation::Dynamic))
        .block_size(MIB)
        .create(&path)
        .expect("copies");
    let child = folder.path().join("child.vhdx");
    Child::of(&diskport::open(&path).expect("opens")).create(&child).expect("a child");
    let writable = Open::new().open_writable(&child).expect("opens");
    writable.write_at(&[3; 5000], 6 * MIB + 100).expect("writes");
    writable.close().expect("closes");
    let whole = diskport::open(&child).expect("opens");
    let all = content(&whole);
    for (start, end) in [(0, 64 * MIB), (5 * MIB - 1, 41 * MIB), (6 * MIB + 101, 6 * MIB + 102), (7, 7)] {
        let slice = whole.slice(start..end);
        assert_eq!(slice.size(), end - start);
        assert!(content(&slice) == all[start as usize..end as usize], "{start}..{end}");
        let len: u64 = slice.extents(..).map(|extent| extent.expect("maps").len).sum();
        assert_eq!(len, end - start);
    }
    // The same bytes of the same files as the whole disk's.
    let slice = whole.slice(5 * MIB..50 * MIB);
    let stored = |disk: &Disk, range: std::ops::Range<u64>| -> Vec<_> {
        let extents = disk.extents(range).map(|extent| extent.expect("maps"));
        extents
            .filter(|extent| matches!(extent.kind, MappingKind::Stored { .. }))
            .map(|e| (e.kind, e.depth))
            .collect()
    };
    let seen = stored(&slice, 0..45 * MIB);
    assert!(!seen.is_empty());
    assert_eq!(seen, stored(&whole, 5 * MIB..50 * MIB));
    // What passes the end is cut off.
    assert_eq!(whole.slice(63 * MIB..u64::MAX).size(), MIB);
    assert_eq!(whole.slice(u64::MAX - 1..).size(), 0);
}

#[test]
fn a_slice_reaches_beyond_a_smaller_parent() {
    let small = raw(vec![7; 1 << 20]);
    let grown = small.patched(4 * MIB, vec![at(3 * MIB, vec![9])]).expect("patches");
    for (start, end) in [(0, 2 * MIB), (MIB / 2, 4 * MIB), (2 * MIB, 4 * MIB)] {
        assert!(content(&grown.slice(start..end)) == content(&grown)[start as usize..end as usize]);
    }
}

#[test]
fn a_window_writes_its_range_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.raw");
    Convert::new(&raw(vec![7; 1 << 20])).to(OutputFormat::Raw).create(&path).expect("copies");
    let disk = Open::new().open_writable(&path).expect("opens");
    let window = disk.window(1000, 5000).expect("lies within");
    window.write_at(&[1; 100], 0).expect("writes");
    window.write_zeroes(4900, 100).expect("writes");
    let mut back = [0; 100];
    window.read_at(&mut back, 0).expect("reads");
    assert_eq!(back, [1; 100]);
    for (offset, len) in [(4999, 2), (5001, 0), (u64::MAX, 2)] {
        let refused = window.write_at(&vec![5; len], offset);
        assert!(matches!(refused, Err(Error::OutOfRange { size: 5000, .. })), "{refused:?}");
        assert!(window.read_at(&mut vec![5; len], offset).is_err());
        assert!(window.write_zeroes(offset, len as u64).is_err());
    }
    assert!(disk.window(1 << 20, 1).is_err());
    assert!(disk.window(u64::MAX, 1).is_err());
    disk.close().expect("closes");
    let mut expected = vec![7; 1 << 20];
    expected[1000..1100].fill(1);
    expected[5900..6000].fill(0);
    assert!(std::fs::read(&path).expect("reads") == expected);
}

#[test]
fn file_systems_without_an_image_are_recognised_by_their_signatures() {
    let volume = |offset: u64, magic: &[u8]| {
        FileSystem::of(&disk(2 * MIB, 512, vec![at(offset, magic.to_vec())])).expect("reads")
    };
    let cases: [(u64, &[u8], FileSystem); 11] = [
        (3, b"EXFAT   ", FileSystem::ExFat),
        (3, b"ReFS\0\0\0\0", FileSystem::ReFs),
        (3, b"-FVE-FS-", FileSystem::BitLocker),
        (0, b"LUKS\xba\xbe", FileSystem::Luks),
        (512, b"LABELONE", FileSystem::Lvm),
        (4096, b"\xfc\x4e\x2b\xa9", FileSystem::Md),
        (0, b"\xfc\x4e\x2b\xa9", FileSystem::Md),
        (4086, b"SWAPSPACE2", FileSystem::Swap),
        (0, b"XFSB", FileSystem::Xfs),
        (1856 * 512, b"PRIVHEAD", FileSystem::Ldm),
        (2047 * 512, b"PRIVHEAD", FileSystem::Ldm),
    ];
    for (offset, magic, expected) in cases {
        assert_eq!(volume(offset, magic), Some(expected));
        assert_eq!(volume(offset + 1, magic), None);
    }
    assert_eq!(FileSystem::of(&Disk::empty(0, 512)).expect("reads"), None);
    assert_eq!(FileSystem::of(&Disk::empty(700, 512)).expect("reads"), None);
}
