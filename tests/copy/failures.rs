//! A copy that fails leaves nothing under the final name, whatever call it fails at.

use std::io;
use std::path::Path;
use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::job::Job;
use diskport::storage::{Fault, FaultyStorage, MemoryStorage};
use diskport::{Error, Format, Open};

use crate::source::{Sparse, disk, noise};

const SPARSE: OutputFormat = OutputFormat::Vmdk(Subformat::MonolithicSparse);
const FLAT: OutputFormat = OutputFormat::Vmdk(Subformat::Vmfs);

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

#[test]
fn every_failing_read_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = noise(5 << 20, 1);
    for format in [OutputFormat::Raw, SPARSE, FLAT, OutputFormat::Vmdk(Subformat::StreamOptimized)] {
        for threads in [0, 2] {
            let mut failures = 0;
            for at in 1.. {
                let fault = Fault::Error(io::ErrorKind::Other);
                let source = Arc::new(FaultyStorage::new(MemoryStorage::new(bytes.clone()), at, fault));
                let disk = Open::new().format(Format::Raw).open(source.clone()).expect("opens");
                let path = folder.path().join("out");
                match Convert::new(&disk).to(format).threads(threads).sync(false).create(&path) {
                    Err(Error::Io { .. }) => failures += 1,
                    Err(other) => panic!("{other}"),
                    Ok(_) => break,
                }
                assert!(is_empty(folder.path()), "{format}, call {at}");
            }
            assert!(failures >= 5, "{failures} reads were made to fail");
            std::fs::read_dir(folder.path()).expect("a folder").for_each(|entry| {
                std::fs::remove_file(entry.expect("an entry").path()).expect("goes");
            });
        }
    }
}

#[test]
fn short_and_interrupted_reads_are_completed() {
    let bytes = noise(3 << 20, 2);
    for fault in [Fault::Short, Fault::Error(io::ErrorKind::Interrupted)] {
        for at in 1..5 {
            let source = FaultyStorage::new(MemoryStorage::new(bytes.clone()), at, fault);
            let disk = Open::new().format(Format::Raw).open(source).expect("opens");
            let mut out = Vec::new();
            Convert::new(&disk).write_to(&mut out).expect("copies");
            assert!(out == bytes, "{fault:?} at call {at}");
        }
    }
}

/// A pipe that takes so many bytes and no more.
struct Full(u64);

impl io::Write for Full {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(data.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_pipe_is_an_error() {
    let disk = disk(&Arc::new(Sparse::new(8 << 20, vec![(0, noise(8 << 20, 3))])));
    for room in [0, 100, 70_000, 5 << 20] {
        for format in [OutputFormat::Raw, OutputFormat::Vmdk(Subformat::StreamOptimized)] {
            let result = Convert::new(&disk).to(format).write_to(Full(room));
            assert!(matches!(result, Err(Error::Io { .. })), "{format}, room for {room}");
        }
    }
}

#[test]
fn cancelling_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = disk(&Arc::new(Sparse::new(8 << 20, vec![(0, noise(8 << 20, 4))])));
    let job = Job::new();
    job.cancel();
    for format in [OutputFormat::Raw, FLAT] {
        let result = Convert::new(&disk).to(format).job(&job).create(folder.path().join("out"));
        assert!(matches!(result, Err(Error::Cancelled)));
        assert!(is_empty(folder.path()));
    }
}

#[test]
fn an_output_replaces_neither_another_file_nor_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source.raw");
    std::fs::write(&source, noise(1 << 20, 5)).expect("writes");
    let disk = diskport::open(&source).expect("opens");
    let before = std::fs::read(&source).expect("reads");
    for overwrite in [false, true] {
        let result = Convert::new(&disk).to(SPARSE).overwrite(overwrite).create(&source);
        assert!(matches!(result, Err(Error::OutputIsSource { .. })));
    }
    // The flat extent counts as an output too.
    std::fs::write(folder.path().join("x-flat.vmdk"), b"mine").expect("writes");
    let result = Convert::new(&disk).to(FLAT).create(folder.path().join("x.vmdk"));
    assert!(matches!(result, Err(Error::OutputExists { .. })));
    assert!(!folder.path().join("x.vmdk").exists());
    assert!(before == std::fs::read(&source).expect("reads"));
}

/// The extent of a flat output is as much a file of the source as the descriptor.
#[test]
fn an_output_does_not_replace_an_extent_of_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = noise(1 << 20, 6);
    let extent = folder.path().join("disk-flat.vmdk");
    std::fs::write(&extent, &bytes).expect("writes");
    let text = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
                RW 2048 FLAT \"disk-flat.vmdk\" 0\n";
    let old = folder.path().join("old.vmdk");
    std::fs::write(&old, text).expect("writes");
    let disk = diskport::open(&old).expect("opens");
    let result = Convert::new(&disk).to(FLAT).overwrite(true).create(folder.path().join("disk.vmdk"));
    assert!(matches!(result, Err(Error::OutputIsSource { .. })), "{result:?}");
    assert!(std::fs::read(&extent).expect("reads") == bytes);
}

#[test]
fn more_threads_than_there_can_be_are_no_failure() {
    let source = disk(&Arc::new(Sparse::new(4 << 20, vec![(0, noise(4 << 20, 7))])));
    let mut out = Vec::new();
    Convert::new(&source).threads(usize::MAX).write_to(&mut out).expect("copies");
    assert_eq!(out.len(), 4 << 20);
}
