//! Disks with partitions that are given another size in place.

use std::io;
use std::sync::{Arc, Mutex};

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::partition::{FileSystem, Layout, Partition, gpt_type, minimum_size, occupied};
use diskport::storage::{MemoryStorage, ReadAt, WriteAt};
use diskport::{Disk, Error, Format, KIB, MIB, Open};
use uuid::Uuid;

use super::disks::{mbr, primary, raw, read, written};

const SIZE: u64 = 256 * KIB;
/// Of the one partition of a GPT.
const START: u64 = 64 * KIB;
const END: u64 = 128 * KIB;

/// A GPT with one partition, and bytes in it.
fn gpt(size: u64, sector_size: u32) -> Vec<u8> {
    let scheme = diskport::partition::Scheme::Gpt { id: Uuid::from_u128(7), hybrid: false };
    let partition = Partition::new(1, gpt_type::BASIC_DATA, START..END, Uuid::from_u128(8));
    let layout =
        Layout { scheme, disk_size: size, sector_size, partitions: vec![partition], warnings: Vec::new() };
    let blank = Disk::empty(size, sector_size);
    let disk = blank.patched(size, layout.patches(&blank).expect("a layout")).expect("a disk");
    let mut bytes = bytes_of(&disk);
    bytes[START as usize..END as usize].fill(0x5a);
    bytes
}

fn bytes_of(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).expect("reads");
    bytes
}

/// A storage that keeps what it held after each write.
#[derive(Clone)]
struct Recorder {
    storage: Arc<MemoryStorage>,
    states: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    fn new(bytes: Vec<u8>) -> Self {
        Self { storage: Arc::new(MemoryStorage::new(bytes)), states: Arc::default() }
    }

    fn keep(&self) {
        self.states.lock().expect("no panic").push(self.storage.to_vec());
    }
}

impl ReadAt for Recorder {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.storage.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.storage.size()
    }
}

impl WriteAt for Recorder {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        // A cut within a write leaves its first sectors.
        for (at, sector) in (offset..).step_by(512).zip(data.chunks(512)) {
            self.storage.write_all_at(sector, at)?;
            self.keep();
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.storage.set_size(size)?;
        self.keep();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn resize(bytes: Vec<u8>, size: u64) -> (Recorder, Vec<Vec<u8>>) {
    let recorder = Recorder::new(bytes);
    let disk = Open::new().format(Format::Raw).open_writable(recorder.clone()).expect("opens");
    let resized = disk.resize(size, false).expect("resizes");
    assert!(resized.gpt_moved);
    let states = recorder.states.lock().expect("no panic").clone();
    (recorder, states)
}

/// Whatever was written when the power went, the partitions are there, and so is what they hold.
#[test]
fn a_gpt_moves_with_the_end_and_is_whole_after_each_write() {
    let fresh = gpt(SIZE, 512);
    let expected = read(&raw(fresh.clone())).partitions;
    let damaged = |at: usize| {
        let mut bytes = fresh.clone();
        bytes[at] ^= 0xff;
        bytes
    };
    let last = SIZE as usize - 512;
    let mut grown_before = fresh.clone();
    grown_before.resize((SIZE + 64 * KIB) as usize, 0);
    for (what, bytes) in [
        ("whole", fresh.clone()),
        ("without a primary header", damaged(512)),
        ("without a primary table", damaged(1024)),
        ("without a backup", damaged(last)),
        ("grown before", grown_before),
    ] {
        let before = bytes.len() as u64;
        for size in [
            before + 64 * KIB,
            before + 512,
            before + 20 * 512,
            before + 33 * 512,
            before - 512,
            before - 20 * 512,
            before - 33 * 512,
            192 * KIB,
            END + 33 * 512,
        ] {
            if what == "without a backup" && size < before {
                // What lies there is no backup, so that it is not known to be expendable.
                let recorder = Recorder::new(bytes.clone());
                let disk = Open::new().format(Format::Raw).open_writable(recorder).expect("opens");
                assert!(matches!(disk.resize(size, false), Err(Error::ShrinkLosesData { .. })));
                continue;
            }
            let (recorder, states) = resize(bytes.clone(), size);
            for (n, state) in states.iter().enumerate() {
                let found = Layout::read(&raw(state.clone())).expect("a table").expect("a table");
                assert_eq!(found.partitions, expected, "{what}, to {size}: write {n}");
                assert!(state[START as usize..END as usize].iter().all(|&byte| byte == 0x5a));
            }
            let after = recorder.storage.to_vec();
            assert_eq!(after.len() as u64, size);
            // As if it had been made so: nothing is left of the old backup, where it was one.
            assert!(what == "without a backup" || after == gpt(size, 512), "{what}, to {size}");
            assert_eq!(read(&raw(after)).warnings, []);
        }
    }
}

#[test]
fn a_gpt_of_large_sectors_moves_in_a_vhdx_and_in_its_child() {
    let folder = tempfile::tempdir().expect("a folder");
    let [base, child] = ["base.vhdx", "child.vhdx"].map(|name| folder.path().join(name));
    let size = 16 * MIB;
    let blank = Disk::empty(size, 4096);
    let scheme = diskport::partition::Scheme::Gpt { id: Uuid::from_u128(7), hybrid: false };
    let partition = Partition::new(1, gpt_type::BASIC_DATA, MIB..2 * MIB, Uuid::from_u128(8));
    let partitions = vec![partition];
    let layout = Layout { scheme, disk_size: size, sector_size: 4096, partitions, warnings: Vec::new() };
    let disk = blank.patched(size, layout.patches(&blank).expect("a layout")).expect("a disk");
    Convert::new(&disk).to(OutputFormat::Vhdx(Allocation::Dynamic)).create(&base).expect("writes");
    diskport::Child::of(&diskport::open(&base).expect("opens")).create(&child).expect("a child");
    let minimum = 2 * MIB + 5 * 4096;
    assert_eq!(minimum_size(&diskport::open(&child).expect("opens")).expect("a size"), minimum);
    for path in [&child, &base] {
        for size in [20 * MIB, 8 * MIB, minimum] {
            let disk = Open::new().open_writable(path).expect("opens");
            assert!(disk.resize(size, false).expect("resizes").gpt_moved);
            let disk = diskport::open(path).expect("opens");
            let found = read(&disk);
            assert_eq!(
                (disk.size(), found.warnings, found.partitions),
                (size, vec![], layout.partitions.clone())
            );
        }
        let disk = Open::new().open_writable(path).expect("opens");
        assert!(matches!(disk.resize(minimum - 4096, false), Err(Error::ShrinkCuts { .. })));
        if path == &child {
            std::fs::remove_file(&child).expect("goes away");
        }
    }
}

/// What is refused has changed nothing, with zeros as with data in what would be cut.
#[test]
fn a_shrink_that_cuts_a_partition_is_refused() {
    let table = written(&mbr(4 * MIB, 512, vec![primary(1, 7, MIB, MIB), primary(2, 0x83, 2 * MIB, MIB)]));
    let cases = [
        (bytes_of(&table), 2 * MIB + 512, "partition 2, which ends at 3145728"),
        (bytes_of(&table), MIB, "partition 1"),
        (
            gpt(SIZE, 512),
            END + 32 * 512,
            "partition 1, which ends at 131072 with 16896 bytes of GPT behind it",
        ),
        (gpt(SIZE, 512), END, "partition 1"),
    ];
    for (bytes, size, named) in cases {
        let recorder = Recorder::new(bytes.clone());
        let open = || Open::new().format(Format::Raw).open_writable(recorder.clone()).expect("opens");
        match open().resize(size, false) {
            Err(error @ Error::ShrinkCuts { .. }) => assert!(error.to_string().contains(named), "{error}"),
            other => panic!("{size}: {other:?}"),
        }
        assert!(recorder.storage.to_vec() == bytes);
        assert!(!open().resize(size, true).expect("is told to").gpt_moved);
        assert!(recorder.storage.to_vec() == bytes[..size as usize]);
    }
}

/// A volume that takes the whole disk: where each file system keeps its size.
#[test]
fn volumes_without_a_table_are_not_cut() {
    let put = |parts: &[(usize, &[u8])]| {
        let mut bytes = vec![0; 4 * MIB as usize];
        parts.iter().for_each(|(at, part)| bytes[*at..at + part.len()].copy_from_slice(part));
        bytes
    };
    let sectors = |bytes: u64| (bytes / 512).to_le_bytes();
    let (ntfs_sectors, fat_sectors) = (sectors(3 * MIB - 512), ((3 * MIB / 512) as u32).to_le_bytes());
    let boot = |name: &'static [u8]| [(3, name), (11, &[0, 2][..]), (13, &[8][..])];
    let half = (3 * MIB / 4096).to_le_bytes();
    let cases: Vec<(FileSystem, Vec<u8>)> = vec![
        (FileSystem::Ntfs, put(&[&boot(b"NTFS    ")[..], &[(40, &ntfs_sectors)]].concat())),
        (
            FileSystem::Fat16,
            put(&[
                (0, &[0xeb, 0x3c, 0x90]),
                (11, &[0, 2, 1, 1, 0, 2, 0, 2, 0, 0, 0xf8, 20, 0]),
                (32, &fat_sectors),
            ]),
        ),
        (FileSystem::ExFat, put(&[(3, b"EXFAT   "), (72, &sectors(3 * MIB)), (108, &[9])])),
        (FileSystem::ReFs, put(&[(3, b"ReFS\0\0\0\0"), (24, &sectors(3 * MIB)), (32, &[0, 2])])),
        (FileSystem::Ext, put(&[(1024 + 56, &[0x53, 0xef]), (1024 + 4, &half[..4]), (1024 + 24, &[2])])),
        (FileSystem::Xfs, put(&[(0, b"XFSB"), (6, &[0x10, 0]), (8, &(3 * MIB / 4096).to_be_bytes())])),
        (FileSystem::Btrfs, put(&[(0x1_0040, b"_BHRfS_M"), (0x1_00d1, &(3 * MIB).to_le_bytes())])),
        (FileSystem::Swap, put(&[(4086, b"SWAPSPACE2"), (1028, &(3 * MIB as u32 / 4096 - 1).to_le_bytes())])),
        (
            FileSystem::Md,
            put(&[
                (4096, b"\xfc\x4e\x2b\xa9"),
                (4096 + 128, &2048_u64.to_le_bytes()),
                (4096 + 136, &4096_u64.to_le_bytes()),
            ]),
        ),
        (FileSystem::Lvm, put(&[(512, b"LABELONE"), (532, &[32]), (576, &(3 * MIB).to_le_bytes())])),
        (FileSystem::F2fs, put(&[(1024, &[0x10, 0x20, 0xf5, 0xf2]), (1040, &[12]), (1060, &half)])),
        (FileSystem::HfsPlus, put(&[(1024, b"H+\0\x04"), (1066, &[0x10, 0]), (1068, &[0, 0, 3, 0])])),
        (FileSystem::Apfs, put(&[(32, b"NXSB"), (36, &[0, 0x10]), (40, &half)])),
        (FileSystem::Squash, put(&[(0, b"hsqs"), (40, &(3 * MIB).to_le_bytes())])),
        (FileSystem::Iso9660, put(&[(0x8001, b"CD001"), (0x8050, &[0, 6]), (0x8080, &[0, 8])])),
    ];
    for (file_system, bytes) in cases {
        let disk = raw(bytes.clone());
        let found = occupied(&disk).expect("reads");
        assert_eq!(found.len(), 1, "{file_system}: {found:?}");
        assert_eq!((found[0].file_system, found[0].end), (Some(file_system), 3 * MIB));
        assert_eq!(minimum_size(&disk).expect("a size"), 3 * MIB, "{file_system}");
        let storage = Arc::new(Recorder::new(bytes.clone()));
        let open = || Open::new().format(Format::Raw).open_writable((*storage).clone()).expect("opens");
        let error = open().resize(3 * MIB - 512, false).expect_err("cuts it");
        assert!(matches!(error, Error::ShrinkCuts { .. }), "{file_system}: {error}");
        assert!(error.to_string().contains(file_system.name()), "{error}");
        assert!(storage.storage.to_vec() == bytes);
        open().resize(3 * MIB, false).expect("keeps it");
    }
    // Those that do not say how large they are may take all.
    for (bytes, known) in
        [(put(&[(0, b"LUKS\xba\xbe")]), true), (put(&[(3, b"-FVE-FS-")]), true), (put(&[]), false)]
    {
        let disk = raw(bytes);
        assert_eq!(minimum_size(&disk).ok(), known.then_some(4 * MIB));
    }
}
