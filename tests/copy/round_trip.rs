//! What is written reads back as what it was made from, in every format, into files and into pipes.

use std::sync::Arc;

use diskport::compare::compare;
use diskport::copy::{Convert, OutputFormat};
use diskport::disk::Patch;
use diskport::format::Allocation;
use diskport::format::vmdk::{Subformat, VmdkStream};
use diskport::job::Job;
use diskport::storage::MemoryStorage;
use diskport::{Data, Disk, Error, Open};
use proptest::prelude::*;

use crate::source::{PLAIN, Sparse, any_source, content, disk, noise};

fn formats() -> impl Iterator<Item = OutputFormat> {
    let others = [Subformat::MonolithicFlat, Subformat::StreamOptimized, Subformat::Vmfs];
    PLAIN.into_iter().chain(others.map(OutputFormat::Vmdk))
}

fn same(a: &Disk, b: &Disk) -> bool {
    compare(a, b, &Job::new()).expect("reads").is_none()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn files_read_back_as_their_source(source in any_source(), threads in 0..3_usize, level in 0..10_u32) {
        let folder = tempfile::tempdir().expect("a folder");
        let source = disk(&Arc::new(source));
        let expected = content(&source);
        for format in formats() {
            let path = folder.path().join(format!("{format}.img"));
            let copy = Convert::new(&source).to(format).threads(threads).level(level).sync(false).verify(true);
            copy.create(&path).expect("writes");
            let open = Open::new().format(format.format());
            let written = open.open(&path).expect("opens");
            prop_assert_eq!(written.chain()[0].info().subformat, format.subformat());
            prop_assert!(content(&written) == expected, "{}", format);
            prop_assert!(same(&source, &written) && same(&written, &source));
        }
    }

    #[test]
    fn pipes_carry_the_same(source in any_source(), threads in 0..3_usize) {
        let source = disk(&Arc::new(source));
        let expected = content(&source);

        let mut raw = Vec::new();
        Convert::new(&source).threads(threads).write_to(&mut raw).expect("writes");
        prop_assert!(raw == expected);

        let mut stream = Vec::new();
        let copy = Convert::new(&source).to(OutputFormat::Vmdk(Subformat::StreamOptimized));
        copy.threads(threads).write_to(&mut stream).expect("writes");
        let mut forward = vec![0; expected.len()];
        for block in VmdkStream::new(&stream[..]).expect("a stream") {
            let block = block.expect("reads");
            if let Data::Bytes(bytes) = &block.data {
                forward[block.offset as usize..block.end() as usize].copy_from_slice(bytes);
            }
        }
        prop_assert!(forward == expected, "read forwards");
        prop_assert!(content(&Open::new().open(MemoryStorage::new(stream)).expect("opens")) == expected);
    }

    #[test]
    fn one_changed_byte_is_found(source in any_source(), at in any::<proptest::sample::Index>()) {
        let a = disk(&Arc::new(source));
        let at = at.index(a.size() as usize) as u64;
        let mut byte = [0];
        a.read_at(&mut byte, at).expect("reads");
        let b = a.patched(a.size(), vec![Patch { offset: at, bytes: vec![byte[0] ^ 1] }]).expect("patches");
        for (x, y) in [(&a, &b), (&b, &a)] {
            let found = compare(x, y, &Job::new()).expect("reads").expect("differs");
            prop_assert_eq!((found.offset, found.is_end), (at, false));
        }
    }
}

#[test]
fn disks_of_different_sizes_differ_at_the_end_of_the_smaller() {
    let a = disk(&Arc::new(Sparse::new(1 << 20, vec![(0, noise(512, 1))])));
    let b = a.patched(2 << 20, Vec::new()).expect("grows");
    let found = compare(&a, &b, &Job::new()).expect("reads").expect("differs");
    assert_eq!((found.offset, found.is_end), (1 << 20, true));
}

/// A grain table is full at 32 MiB, and a directory has several: more than the random sources reach.
#[test]
fn many_grain_tables() {
    let runs = (0..9).map(|n| (n * (31 << 20) + 1000, noise(100_000, n))).collect();
    let source = disk(&Arc::new(Sparse::new(300 << 20, runs)));
    let folder = tempfile::tempdir().expect("a folder");
    for format in formats() {
        let path = folder.path().join(format!("{format}.img"));
        Convert::new(&source).to(format).sync(false).create(&path).expect("writes");
        let written = Open::new().format(format.format()).open(&path).expect("opens");
        assert!(same(&source, &written), "{format}");
    }
}

/// Behind each chunk of a VHDX, 4 GiB at 1 MiB a block, the BAT has an entry of another kind.
#[test]
fn many_chunks_of_a_vhdx() {
    let runs = [0, 4 << 30, (8 << 30) - 4096, 9 << 30].map(|at| (at, noise(5000, at))).to_vec();
    let source = disk(&Arc::new(Sparse::new(10 << 30, runs)));
    let folder = tempfile::tempdir().expect("a folder");
    for allocation in [Allocation::Fixed, Allocation::Dynamic] {
        let path = folder.path().join(allocation.name());
        let copy = Convert::new(&source).to(OutputFormat::Vhdx(allocation)).block_size(1 << 20);
        copy.sync(false).create(&path).expect("writes");
        assert!(same(&source, &diskport::open(&path).expect("opens")), "{}", allocation.name());
    }
}

/// A raw file may have any number of bytes; other formats count in sectors.
#[test]
fn odd_sizes_are_filled_up_with_zeros() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = disk(&Arc::new(Sparse::new(1000, vec![(0, noise(1000, 1))])));
    for format in formats() {
        let path = folder.path().join(format!("{format}.img"));
        let report = Convert::new(&source).to(format).verify(true).create(&path).expect("writes");
        let written = Open::new().format(format.format()).open(&path).expect("opens");
        assert_eq!(report.virtual_size, written.size());
        let expected = if format == OutputFormat::Raw { 1000 } else { 1024 };
        assert_eq!(written.size(), expected, "{format}");
        let bytes = content(&written);
        assert!(bytes[..1000] == content(&source) && bytes[1000..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn nothing_makes_no_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = disk(&Arc::new(Sparse::new(0, Vec::new())));
    for format in formats().filter(|format| *format != OutputFormat::Raw) {
        let result = Convert::new(&source).to(format).create(folder.path().join("out"));
        assert!(matches!(result, Err(Error::Layout { .. })), "{format}");
        assert!(matches!(Convert::new(&source).to(format).write_to(Vec::new()), Err(Error::Layout { .. })));
    }
}
