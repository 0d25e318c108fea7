//! What differs between two disks, and copying only that.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use diskport::compare::Differences;
use diskport::copy::{Convert, OutputFormat, update};
use diskport::disk::Patch;
use diskport::format::{Allocation, vmdk::Subformat};
use diskport::job::Job;
use diskport::{Block, Child, Data, Disk, Error, Open};
use proptest::prelude::*;

use crate::source::{PLAIN, Sparse, any_source, content, disk, noise};

const MIB: u64 = 1 << 20;

fn of_size(disk: &Disk, size: u64) -> Vec<u8> {
    let mut bytes = content(disk);
    bytes.resize(size as usize, 0);
    bytes
}

/// Puts `blocks` over `bytes`.
fn apply(bytes: &mut [u8], blocks: &[Block]) {
    for block in blocks {
        let place = &mut bytes[block.offset as usize..block.end() as usize];
        match &block.data {
            Data::Bytes(data) => place.copy_from_slice(data),
            Data::Zero(_) | Data::Absent(_) => place.fill(0),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_old_disk_with_the_differences_is_the_new_one(
        old in any_source(), new in any_source(), shift in 9..21_u32, threads in 0..3_usize, related in any::<bool>(),
    ) {
        let old = disk(&Arc::new(old));
        let new = disk(&Arc::new(new));
        // Two versions of one disk have most in common.
        let patch = Patch { offset: old.size() / 3, bytes: noise((old.size() / 5) as usize, 1) };
        let new = if related { old.patched(old.size() + 512, vec![patch]).expect("fits") } else { new };
        let size = old.size().max(new.size());
        let (mut before, after) = (of_size(&old, size), of_size(&new, size));
        let grain = 1 << shift;
        let found: Vec<_> = Differences::between(&old, &new)
            .grain(grain)
            .threads(threads)
            .collect::<Result<_, _>>()
            .expect("reads");
        let mut at = 0;
        for block in &found {
            prop_assert!(block.offset >= at && block.offset % grain == 0, "in order, on the grid");
            prop_assert!(block.end() % grain == 0 || block.end() == size);
            at = block.end();
            // Each grain of it differs.
            for start in (block.offset..block.end()).step_by(grain as usize) {
                let range = start as usize..(start + grain).min(size) as usize;
                prop_assert!(before[range.clone()] != after[range]);
            }
        }
        apply(&mut before, &found);
        prop_assert!(before == after);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_update_makes_any_disk_the_source(old in any_source(), new in any_source()) {
        let folder = tempfile::tempdir().expect("a folder");
        let size = (12 * MIB).max(MIB);
        let grown = |source: Sparse| disk(&Arc::new(source)).patched(size, Vec::new()).expect("grows");
        let (old, new) = (grown(old), grown(new));
        let expected = content(&new);
        for format in PLAIN.into_iter().chain([OutputFormat::Vmdk(Subformat::MonolithicFlat)]) {
            let path = folder.path().join(format!("{format}.img"));
            Convert::new(&old).to(format).sync(false).overwrite(true).create(&path).expect("writes");
            let open = Open::new().format(format.format());
            let again = || {
                let destination = open.open_writable(&path).expect("opens");
                update(&new, destination, &Job::new()).expect("updates")
            };
            again();
            prop_assert!(content(&open.open(&path).expect("opens")) == expected, "{}", format);
            let second = again();
            prop_assert_eq!((second.written, second.zeroed), (0, 0), "nothing is left to do");
        }
    }
}

#[test]
fn what_both_take_from_one_place_is_not_read() {
    let source = Arc::new(Sparse::new(64 * MIB, vec![(0, noise(64 * MIB as usize, 1))]));
    let base = disk(&source);
    let patch = |offset, seed| {
        vec![Patch { offset, bytes: noise(4096, seed) }, Patch { offset: 48 * MIB, bytes: vec![7; 4096] }]
    };
    let a = base.patched(64 * MIB, patch(8 * MIB, 2)).expect("fits");
    let b = base.patched(64 * MIB, patch(9 * MIB, 3)).expect("fits");
    let read = source.bytes.load(Ordering::Relaxed);
    let found: Vec<_> = Differences::between(&a, &b).collect::<Result<_, _>>().expect("reads");
    let offsets: Vec<_> = found.iter().map(|block| (block.offset, block.len())).collect();
    assert_eq!(offsets, [(8 * MIB, 4096), (9 * MIB, 4096)]);
    let read = source.bytes.load(Ordering::Relaxed) - read;
    assert_eq!(read, 2 * 4096, "of the base, what the other disk has changed");
}

/// Two children in files, opened on their own: the base is one file, opened twice.
#[test]
fn a_base_that_is_opened_twice_is_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("base.vhdx");
    let source = disk(&Arc::new(Sparse::new(16 * MIB, vec![(0, noise(16 * MIB as usize, 4))])));
    Convert::new(&source).to(OutputFormat::Vhdx(Allocation::Dynamic)).create(&base).expect("writes");
    let child = |name: &str, offset| {
        let path = folder.path().join(name);
        Child::of(&diskport::open(&base).expect("opens")).create(&path).expect("makes a child");
        let writable = Open::new().open_writable(&path).expect("opens");
        writable.write_at(&[7; 4096], offset).expect("writes");
        writable.close().expect("closes");
        diskport::open(path).expect("opens")
    };
    let (a, b) = (child("a.vhdx", MIB), child("b.vhdx", 5 * MIB));
    let job = Job::new();
    let found: Vec<_> = Differences::between(&a, &b).job(&job).collect::<Result<_, _>>().expect("reads");
    let offsets: Vec<_> = found.iter().map(|block| (block.offset, block.len())).collect();
    assert_eq!(offsets, [(MIB, 4096), (5 * MIB, 4096)]);
    assert_eq!((job.progress().done(), job.progress().total()), (16 * MIB, 16 * MIB));
    // A base is not made from its own child: it would change what is read.
    let into = Open::new().open_writable(&base).expect("opens");
    let refused = update(&a, into, &Job::new());
    assert!(matches!(refused, Err(Error::OutputIsSource { .. })), "{refused:?}");
}

#[test]
fn a_failing_read_ends_the_stream() {
    use diskport::storage::{Fault, FaultyStorage, MemoryStorage};
    let bytes = noise(4 * MIB as usize, 5);
    let old = Disk::empty(4 * MIB, 512);
    for at in 1.. {
        let fault = Fault::Error(std::io::ErrorKind::Other);
        let source = Arc::new(FaultyStorage::new(MemoryStorage::new(bytes.clone()), at, fault));
        let new = Open::new().format(diskport::Format::Raw).open(source).expect("opens");
        let mut failures = 0;
        let mut found = Differences::between(&old, &new);
        for block in &mut found {
            failures += u32::from(block.is_err());
        }
        assert!(found.next().is_none());
        if failures == 0 {
            assert!(at > 4, "each piece was read");
            break;
        }
        assert_eq!(failures, 1);
    }
}

#[test]
fn a_cancelled_update_goes_on_when_it_is_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.vhdx");
    let source = disk(&Arc::new(Sparse::new(8 * MIB, vec![(0, noise(8 * MIB as usize, 6))])));
    let empty = Disk::empty(8 * MIB, 512);
    Convert::new(&empty).to(OutputFormat::Vhdx(Allocation::Dynamic)).create(&path).expect("writes");
    let job = Job::new();
    job.cancel();
    let open = || Open::new().open_writable(&path).expect("opens");
    let cancelled = update(&source, open(), &job);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let updated = update(&source, open(), &Job::new()).expect("updates");
    assert_eq!(updated.written, 8 * MIB);
    assert!(content(&diskport::open(&path).expect("opens")) == content(&source));
}

#[test]
fn sizes_must_be_equal() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.raw");
    let source = Disk::empty(2 * MIB, 512);
    for (size, smaller) in [(MIB, true), (3 * MIB, false)] {
        std::fs::write(&path, noise(size as usize, 7)).expect("writes");
        let refused = update(&source, Open::new().open_writable(&path).expect("opens"), &Job::new());
        match smaller {
            true => assert!(matches!(refused, Err(Error::OutputTooSmall { .. })), "{refused:?}"),
            false => assert!(matches!(refused, Err(Error::Layout { .. })), "{refused:?}"),
        }
        assert!(std::fs::read(&path).expect("reads") == noise(size as usize, 7));
    }
}

/// A partition table says where partitions are in sectors.
#[test]
fn an_update_wants_sectors_of_one_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = |name: &str, format, sector_size| {
        let path = folder.path().join(name);
        Convert::new(&Disk::empty(8 * MIB, sector_size)).to(format).create(&path).expect("writes");
        path
    };
    let source = made("source.vhdx", OutputFormat::Vhdx(Allocation::Dynamic), 4096);
    let source = diskport::open(source).expect("opens");
    for (format, taken) in [(OutputFormat::Vhd(Allocation::Dynamic), false), (OutputFormat::Raw, true)] {
        let name = if taken { "to.raw" } else { "to.vhd" };
        let into = Open::new().open_writable(made(name, format, 512)).expect("opens");
        let result = update(&source, into, &Job::new());
        assert_eq!(result.is_ok(), taken, "{result:?}");
        assert!(taken || matches!(result, Err(Error::Layout { .. })));
    }
}
