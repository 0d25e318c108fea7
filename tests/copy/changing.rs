//! A source that is written to while it is copied is noticed, and no output appears.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diskport::copy::{Copy, OutputFormat, update};
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
    // Whoever sets the time back cannot hide the change from the inode's own time.
    #[cfg(unix)]
    let hides = |file: &FileStorage| {
        let modified = file.as_file().metadata().and_then(|m| m.modified()).expect("has a time");
        file.write_all_at(b"other", 0).expect("writes");
        file.as_file().set_modified(modified).expect("sets the time");
    };
    #[cfg(not(unix))]
    let hides = same_bytes;
    for change in [same_bytes as fn(&FileStorage), grows, hides] {
        for at in [1, 3] {
            for format in [OutputFormat::Raw, OutputFormat::Vmdk(Subformat::Vmfs)] {
                let disk = restless(&source, at, change);
                let result = Copy::new(&disk).to(format).sync(false).write_file(&output);
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
            let result = Copy::new(&disk).to(format).write_to(&mut stream);
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
    let result = Copy::new(&disk).sync(false).verify(true).write_file(&output);
    assert!(matches!(result, Err(Error::SourceChanged { .. })), "{result:?}");
    assert!(!output.exists());
}

#[test]
fn a_source_that_is_only_read_is_copied() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, output) = (folder.path().join("source"), folder.path().join("output"));
    let disk = restless(&source, 2, |_| {});
    Copy::new(&disk).verify(true).write_file(&output).expect("copies");
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
