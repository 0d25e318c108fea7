//! A source that is written to while it is copied is noticed, and no output appears.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diskport::compare::{Differences, compare};
use diskport::copy::{Convert, OutputFormat, update};
use diskport::digest::{Digest, digest};
use diskport::format::vmdk::Subformat;
use diskport::job::Job;
use diskport::storage::{FileStorage, Fingerprint, MemoryStorage, ReadAt, WriteAt};
use diskport::{Disk, Error, Format, Open};

use crate::source::noise;

/// A file to which something happens at one of its reads.
struct Restless<F> {
    file: FileStorage,
    reads: AtomicU32,
    at: u32,
    change: F,
}

impl<F: Fn(&FileStorage) + Send + Sync> ReadAt for Restless<F> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.reads.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            // Times are as fine as the kernel's tick, at worst.
            std::thread::sleep(Duration::from_millis(20));
            (self.change)(&self.file);
        }
        self.file.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.file.next_data(offset)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.file.fingerprint()
    }
}

fn restless(path: &Path, at: u32, change: impl Fn(&FileStorage) + Send + Sync + 'static) -> Disk {
    std::fs::write(path, noise(5 << 20, 1)).expect("writes");
    let file = FileStorage::open_writable(path).expect("opens");
    let storage = Restless { file, reads: AtomicU32::new(0), at, change };
    Open::new().format(Format::Raw).open(storage).expect("opens")
}

#[test]
fn a_source_that_changes_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, output) = (folder.path().join("source"), folder.path().join("output"));
    let same_bytes = |file: &FileStorage| file.write_all_at(&noise(512, 1), 0).expect("writes");
    let grows = |file: &FileStorage| file.set_size(6 << 20).expect("grows");
    for change in [same_bytes as fn(&FileStorage), grows] {
        for at in [1, 3] {
            for format in [OutputFormat::Raw, OutputFormat::Vmdk(Subformat::Vmfs)] {
                let disk = restless(&source, at, change);
                let result = Convert::new(&disk).to(format).sync(false).create(&output);
                assert!(matches!(result, Err(Error::SourceChanged { .. })), "{result:?}");
                assert_eq!(
                    std::fs::read_dir(&folder).expect("a folder").count(),
                    1,
                    "only the source is there"
                );
            }
            let disk = restless(&source, at, change);
            let mut stream = Vec::new();
            let format = OutputFormat::Vmdk(Subformat::StreamOptimized);
            let result = Convert::new(&disk).to(format).write_to(&mut stream);
            assert!(matches!(result, Err(Error::SourceChanged { .. })), "{result:?}");
            let cut = Open::new().open(MemoryStorage::new(stream));
            assert!(cut.is_err(), "what went into the pipe is no disk");
        }
    }
}

#[test]
fn a_source_that_changes_while_it_is_verified_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, output) = (folder.path().join("source"), folder.path().join("output"));
    // Five reads copy five MiB.
    let disk = restless(&source, 7, |file| file.write_all_at(b"other", 4 << 20).expect("writes"));
    let result = Convert::new(&disk).sync(false).verify(true).create(&output);
    assert!(matches!(result, Err(Error::SourceChanged { .. })), "{result:?}");
    assert!(!output.exists());
}

/// Times are as fine as the kernel's tick, at worst: two states of a file lie further apart.
fn write_later(path: &Path, bytes: &[u8]) {
    std::thread::sleep(Duration::from_millis(20));
    FileStorage::open_writable(path).expect("opens").write_all_at(bytes, 0).expect("writes");
}

#[test]
fn a_source_that_changes_before_it_is_read_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, output) = (folder.path().join("source.raw"), folder.path().join("output"));
    let job = Job::new();
    let changed = |result: Result<(), Error>, what: &str| {
        assert!(matches!(result, Err(Error::SourceChanged { .. })), "{what}: {result:?}");
    };
    std::fs::write(&source, noise(1 << 20, 1)).expect("writes");
    let disk = diskport::open(&source).expect("opens");
    write_later(&source, b"other");
    changed(Convert::new(&disk).create(&output).map(|_| ()), "copy");
    changed(compare(&disk, &disk, &job).map(|_| ()), "compare");
    changed(digest(&disk, Digest::Sha256, &job).map(|_| ()), "digest");
    changed(Differences::between(&disk, &disk).try_for_each(|block| block.map(|_| ())), "differences");
    changed(Convert::new(&disk).plan().and_then(|plan| plan.write_to(Vec::new())).map(|_| ()), "plan");
    assert!(!output.exists());
    let disk = diskport::open(&source).expect("opens");
    Convert::new(&disk).create(&output).expect("what is opened again is another disk");
    assert!(std::fs::read(&source).expect("reads") == std::fs::read(&output).expect("reads"));
}

/// A mode, a link and a name are none of its content.
#[cfg(unix)]
#[test]
fn a_source_of_which_only_the_inode_changes_is_copied() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("source.raw"), noise(1 << 20, 1)).expect("writes");
    let changes: [&dyn Fn() -> io::Result<()>; 3] = [
        &|| std::fs::set_permissions(at("source.raw"), std::fs::Permissions::from_mode(0o600)),
        &|| std::fs::hard_link(at("source.raw"), at("link.raw")),
        &|| std::fs::rename(at("source.raw"), at("renamed.raw")),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let disk = diskport::open(at("source.raw")).expect("opens");
        std::thread::sleep(Duration::from_millis(20));
        change().expect("is ours");
        let output = at(&format!("output-{index}"));
        Convert::new(&disk).verify(true).create(&output).expect("copies");
        assert!(std::fs::read(&output).expect("reads") == noise(1 << 20, 1));
    }
}

#[test]
fn a_source_that_is_only_read_is_copied() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, output) = (folder.path().join("source"), folder.path().join("output"));
    let disk = restless(&source, 2, |_| {});
    Convert::new(&disk).verify(true).create(&output).expect("copies");
    assert!(std::fs::read(&source).expect("reads") == std::fs::read(&output).expect("reads"));
}

#[test]
fn an_update_notices_a_source_that_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, destination) = (folder.path().join("source"), folder.path().join("destination"));
    std::fs::write(&destination, vec![0; 5 << 20]).expect("writes");
    let change = |file: &FileStorage| file.write_all_at(b"other", 0).expect("writes");
    let source = restless(&source, 3, change);
    let into = Open::new().format(Format::Raw).open_writable(&destination).expect("opens");
    let result = update(&source, into, &Job::new());
    assert!(matches!(result, Err(Error::SourceChanged { .. })), "{result:?}");
}
