//! Writing in place: what is written is read back, by this library and by others.

use std::path::Path;

use diskport::check::Checked;
use diskport::storage::FileStorage;
use diskport::{Error, Open, WritableDisk};
use proptest::collection::vec;
use proptest::prelude::*;

use super::builder::{Block, Image, MIB, get_u64};
use super::model::noise;
use crate::support::{Judge, assert_reads_as, nobody};

/// One step of a session.
#[derive(Debug, Clone)]
pub enum Step {
    Write(u64, u64, u32),
    Zero(u64, u64),
    Discard(u64, u64),
    Flush,
    Reopen,
}

/// Steps at any place of a disk; places and lengths are taken modulo what there is.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || prop_oneof![any::<u64>(), (0..16_u64).prop_map(|block| block << 20)];
    let len = || prop_oneof![1..9_u64, Just(4096), 1..(5 * MIB), Just(MIB), Just(2 * MIB)];
    let step = prop_oneof![
        6 => (place(), len(), any::<u32>()).prop_map(|(at, len, seed)| Step::Write(at, len, seed)),
        2 => (place(), len()).prop_map(|(at, len)| Step::Zero(at, len)),
        1 => (place(), len()).prop_map(|(at, len)| Step::Discard(at, len)),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..24)
}

/// Opens for writing. The lock of one that was closed just now lives on for a moment in processes that other tests start.
pub fn open(path: &Path) -> WritableDisk {
    loop {
        match Open::new().open_writable(path) {
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            disk => return disk.expect("opens"),
        }
    }
}

/// Goes through `steps` on the disk that `open` opens, and with them through `model`.
pub fn run(open: impl Fn() -> WritableDisk, steps: &[Step], model: &mut [u8]) {
    let mut disk = open();
    let size = model.len() as u64;
    let range = |at: u64, len: u64| {
        let start = at % size;
        start as usize..(start + len).min(size) as usize
    };
    for step in steps {
        match *step {
            Step::Write(at, len, seed) => {
                let range = range(at, len);
                let data = noise(range.len(), seed);
                disk.write_at(&data, range.start as u64).expect("writes");
                model[range].copy_from_slice(&data);
            }
            Step::Zero(at, len) => {
                let range = range(at, len);
                disk.write_zeroes(range.start as u64, range.len() as u64).expect("zeroes");
                model[range].fill(0);
            }
            Step::Discard(at, len) => {
                let range = range(at, len);
                disk.discard(range.start as u64, range.len() as u64).expect("discards");
                let mut read = vec![0; range.len()];
                disk.read_at(&mut read, range.start as u64).expect("reads");
                for (sector, old) in read.chunks(512).zip(model[range.clone()].chunks(512)) {
                    assert!(
                        sector == old || sector.iter().zip(old).all(|(new, old)| new == old || *new == 0)
                    );
                }
                model[range].copy_from_slice(&read);
            }
            Step::Flush => disk.flush().expect("flushes"),
            Step::Reopen => {
                disk.close().expect("closes");
                disk = open();
            }
        }
        let mut read = vec![0; model.len()];
        disk.read_at(&mut read, 0).expect("reads");
        assert!(read == model, "after {step:?}");
    }
    disk.close().expect("closes");
}

/// That a check finds nothing but notes.
#[track_caller]
pub fn assert_clean(checked: &Checked) {
    assert!(checked.is_clean(), "{:#?}", checked.findings);
}

/// A disk with blocks of all kinds, and how it reads.
pub fn image(size: u64, block: u64, sector: u64, fixed: bool, kinds: &[u8]) -> (Image, Vec<u8>) {
    let mut image = Image::empty(size, block, sector);
    image.fixed = fixed;
    let mut model = vec![0; size as usize];
    for (index, part) in model.chunks_mut(block as usize).enumerate() {
        match kinds[index % kinds.len()] {
            kind @ 0..=3 => image.blocks[index] = Block::Entry(kind.into()),
            kind => {
                part.copy_from_slice(&noise(part.len(), kind.into()));
                image.blocks[index] = Block::Full(part.to_vec());
            }
        }
    }
    (image, model)
}

/// Goes through `steps` on an image, which reads as its model before and after.
pub fn session((image, mut model): (Image, Vec<u8>), steps: &[Step], judge: Judge) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    std::fs::write(&path, image.build()).expect("written");
    run(|| open(&path), steps, &mut model);
    assert_reads_as(&diskport::open(&path).expect("opens"), &model);
    assert_clean(&Open::new().check(&path).expect("checks"));
    judge(&[&path], &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn disks_read_as_the_model(
        (block, sectors, large, fixed) in (prop_oneof![Just(MIB), Just(2 * MIB)], 1..2000_u64, any::<bool>(), any::<bool>()),
        kinds in vec(0..6_u8, 5),
        steps in steps(),
    ) {
        let (size, sector) = (sectors * 4096, if large { 4096 } else { 512 });
        session(image(size, block, sector, fixed, &kinds), &steps, &nobody);
    }

    #[test]
    fn children_read_as_the_model(
        (block, sectors, large) in (prop_oneof![Just(MIB), Just(2 * MIB)], 1..2000_u64, any::<bool>()),
        kinds in vec(0..6_u8, 5),
        steps in steps(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("child.vhdx");
        let sector = if large { 4096 } else { 512 };
        let (parent, mut model) = image(sectors * 4096, block, sector, false, &kinds);
        let parent_bytes = parent.build();
        std::fs::write(folder.path().join("parent.vhdx"), &parent_bytes).expect("written");
        let linkage = uuid::Uuid::from_bytes_le(parent.data_guid).to_string();
        std::fs::write(&path, Image::child(parent.size, block, sector, &linkage).build()).expect("written");
        run(|| open(&path), &steps, &mut model);
        assert_reads_as(&diskport::open(&path).expect("opens"), &model);
        assert_clean(&Open::new().check(&path).expect("checks"));
        assert!(std::fs::read(folder.path().join("parent.vhdx")).expect("read") == parent_bytes);
    }
}

#[test]
fn opening_and_closing_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    let (image, _) = image(3 * MIB, MIB, 512, false, &[4]);
    std::fs::write(&path, image.build()).expect("written");
    open(&path).close().expect("closes");
    assert!(std::fs::read(&path).expect("read") == image.build());
}

#[test]
fn many_flushes_wrap_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    std::fs::write(&path, Image::empty(600 * MIB, MIB, 512).build()).expect("written");
    let disk = open(&path);
    // Each flush logs one sector of the BAT, or two: two or three sectors of 256 that the log has.
    for block in 0..600 {
        let block = block * 241 % 600;
        disk.write_at(&noise(512, block), u64::from(block) * MIB + 1024).expect("writes");
        disk.flush().expect("flushes");
    }
    // What a reader finds without a clean close.
    let cut = folder.path().join("cut.vhdx");
    std::fs::copy(&path, &cut).expect("copied");
    disk.close().expect("closes");
    for path in [&path, &cut] {
        let disk = diskport::open(path).expect("opens");
        let mut sector = [0; 512];
        for block in 0..600 {
            disk.read_at(&mut sector, u64::from(block) * MIB + 1024).expect("reads");
            assert!(sector[..] == noise(512, block), "block {block}");
        }
    }
}

/// qemu's issue 727: the first entry of a sector of the BAT.
#[test]
fn the_first_entry_of_a_sector_of_the_bat() {
    first_entries_of_sectors(&nobody);
}

/// Blocks whose entries begin a sector of the BAT, and their neighbours.
pub fn first_entries_of_sectors(judge: Judge) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    let image = Image::empty(600 * MIB, MIB, 512);
    std::fs::write(&path, image.build()).expect("written");
    let disk = open(&path);
    for block in [512, 0, 511, 513] {
        disk.write_at(&noise(4096, block), u64::from(block) * MIB).expect("writes");
    }
    disk.close().expect("closes");
    let bytes = std::fs::read(&path).expect("read");
    let present: Vec<_> = (0..600).filter(|&block| get_u64(&bytes, image.entry_at(block)) != 0).collect();
    assert_eq!(present, [0, 511, 512, 513]);
    let mut model = vec![0; 600 << 20];
    for block in [512, 0, 511, 513_u32] {
        model[(block as usize) << 20..][..4096].copy_from_slice(&noise(4096, block));
    }
    judge(&[&path], &model);
}

#[test]
fn identities_change_when_the_content_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    std::fs::write(&path, image(3 * MIB, MIB, 512, false, &[4]).0.build()).expect("written");
    let guids = || {
        let bytes = std::fs::read(&path).expect("read");
        let at = [64 << 10, 128 << 10].into_iter().max_by_key(|&at| get_u64(&bytes, at + 8)).expect("two");
        (bytes[at + 16..at + 32].to_vec(), bytes[at + 32..at + 48].to_vec(), bytes[at + 48..at + 64].to_vec())
    };
    let before = guids();
    let disk = open(&path);
    assert_eq!(guids(), before);
    disk.write_at(&[1; 512], 0).expect("writes");
    let during = guids();
    assert!(during.0 != before.0 && during.1 != before.1 && during.2 == [0; 16]);
    disk.write_at(&[1; 512], MIB).expect("writes");
    disk.write_zeroes(0, MIB).expect("zeroes");
    disk.flush().expect("flushes");
    let flushed = guids();
    assert!(flushed.0 == during.0 && flushed.1 == during.1 && flushed.2 != [0; 16]);
    disk.close().expect("closes");
    let after = guids();
    assert!(after.0 == during.0 && after.1 == during.1 && after.2 == [0; 16]);
}

/// The bits of a block that was partly present once do not count when it is so again.
#[test]
fn bits_of_another_life() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("child.vhdx");
    let parent = image(3 * MIB, MIB, 512, false, &[4]);
    std::fs::write(folder.path().join("parent.vhdx"), parent.0.build()).expect("written");
    let linkage = uuid::Uuid::from_bytes_le(parent.0.data_guid).to_string();
    let mut child = Image::child(3 * MIB, MIB, 512, &linkage);
    child.blocks[1] = Block::Partial(noise(1 << 20, 1), vec![true; 2048]);
    let mut bytes = child.build();
    super::builder::put(&mut bytes, child.entry_at(1), &[0; 8]);
    std::fs::write(&path, bytes).expect("written");
    let disk = open(&path);
    disk.write_at(&noise(4096, 2), MIB + 8192).expect("writes");
    disk.close().expect("closes");
    let mut model = parent.1;
    model[(1 << 20) + 8192..][..4096].copy_from_slice(&noise(4096, 2));
    assert_reads_as(&diskport::open(&path).expect("opens"), &model);
}

/// A cut may bring back what was not flushed: until then, the space that it lay in is left alone.
#[test]
fn what_is_given_back_is_not_used_before_a_flush() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    let image = image(3 * MIB, MIB, 512, false, &[4, 0, 0]).0;
    std::fs::write(&path, image.build()).expect("written");
    let place = get_u64(&image.build(), image.entry_at(0)) as usize & !7;
    let disk = open(&path);
    let lies_there = |seed| {
        let bytes = std::fs::read(&path).expect("read");
        bytes[place..place + 4096] == noise(4096, seed)
    };
    disk.write_zeroes(0, MIB).expect("zeroes");
    disk.write_at(&noise(4096, 7), MIB).expect("writes");
    assert!(lies_there(4));
    disk.flush().expect("flushes");
    disk.write_at(&noise(4096, 8), 2 * MIB).expect("writes");
    assert!(lies_there(8), "and then it is used");
    disk.close().expect("closes");
}

/// Many threads that write parts of the same new blocks at once.
#[test]
fn writers_do_not_disturb_each_other() {
    for child in [false, true] {
        let parent = Image::empty(8 * MIB, 2 * MIB, 512);
        let linkage = uuid::Uuid::from_bytes_le(parent.data_guid).to_string();
        let top = if child { Image::child(8 * MIB, 2 * MIB, 512, &linkage) } else { parent.clone() };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.vhdx");
        std::fs::write(folder.path().join("parent.vhdx"), parent.build()).expect("written");
        std::fs::write(&path, top.build()).expect("written");
        let disk = open(&path);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let disk = &disk;
                scope.spawn(move || {
                    for piece in (thread..256).step_by(4) {
                        let piece = piece * 37 % 256;
                        disk.write_at(&noise(32 << 10, piece as u32), piece * (32 << 10)).expect("writes");
                    }
                });
            }
        });
        disk.close().expect("closes");
        let model: Vec<u8> = (0..256).flat_map(|piece| noise(32 << 10, piece)).collect();
        assert_reads_as(&diskport::open(&path).expect("opens"), &model);
    }
}

/// A disk of 64 TiB with blocks of 1 MiB has a BAT of 512 MiB.
#[test]
fn the_largest_bat_is_not_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    let size = 64_u64 << 40;
    let disk = diskport::Disk::empty(size, 512);
    diskport::copy::Convert::new(&disk)
        .to(diskport::copy::OutputFormat::Vhdx(diskport::format::Allocation::Dynamic))
        .block_size(MIB)
        .create(&path)
        .expect("made");
    crate::support::within_limits(|| {
        let disk = open(&path);
        disk.write_at(b"end", size - 3).expect("writes");
        disk.close().expect("closes");
    });
    let storage = FileStorage::open(&path).expect("opens");
    let disk = Open::new().open(storage).expect("opens");
    let mut end = [0; 4];
    disk.read_at(&mut end, size - 4).expect("reads");
    assert_eq!(&end, b"\0end");
}
