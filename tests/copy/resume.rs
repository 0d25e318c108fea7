//! A copy that was interrupted at any moment goes on, and gives the same bytes.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diskport::copy::{BegunAgain, Convert, OutputFormat, Report};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::job::Job;
use diskport::storage::{Fault, FaultyStorage, MemoryStorage, OutputFile, ReadAt};
use diskport::{Disk, Error, Format, Open, Result};

use crate::source::noise;

const VHD: OutputFormat = OutputFormat::Vhd(Allocation::Dynamic);
const STREAM: OutputFormat = OutputFormat::Vmdk(Subformat::StreamOptimized);
/// Bytes between checkpoints: less than a batch, so that each is followed by one.
const INTERVAL: u64 = 64 << 10;

fn formats() -> Vec<OutputFormat> {
    let both = [Allocation::Dynamic, Allocation::Fixed];
    let mut all = vec![OutputFormat::Raw];
    all.extend(both.map(OutputFormat::Vhd));
    all.extend(both.map(OutputFormat::Vhdx));
    all.extend(Subformat::ALL.map(OutputFormat::Vmdk));
    all
}

/// Data, zeros among data and runs of zeros, at odd places; the end is no whole block of any format.
fn content() -> Vec<u8> {
    let mut bytes = vec![0; (9 << 20) + 512];
    let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
    put(0, &noise(1_300_000, 1));
    put(1_310_720, &[b'x'; 700_000]);
    (40..60).for_each(|n| put(n * 65_536 + 5000, &noise(n * 700, n as u64)));
    put((5 << 20) + 4096, &noise(3 << 20, 2));
    put(9 << 20, &noise(512, 3));
    bytes
}

fn raw(storage: impl ReadAt + 'static) -> Disk {
    Open::new().format(Format::Raw).open(storage).expect("any bytes are a raw disk")
}

fn copy(disk: &Disk, format: OutputFormat) -> Convert {
    let copy = Convert::new(disk).to(format).seed(7).sync(false);
    copy.resumable(true).checkpoint_interval(INTERVAL)
}

/// The files in a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut files: Vec<_> = entries
        .map(|entry| {
            (entry.file_name().into_string().expect("a name"), fs::read(entry.path()).expect("reads"))
        })
        .collect();
    files.sort();
    files
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_iter().map(|(name, _)| name).collect()
}

/// What a copy that nothing interrupts gives.
fn whole(disk: &Disk, format: OutputFormat) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().expect("a folder");
    Convert::new(disk).to(format).seed(7).sync(false).create(folder.path().join("out.vmdk")).expect("copies");
    files(folder.path())
}

/// That nothing is in the folder but what belongs to a copy that is not whole, and that no one takes that for a disk.
fn check_left(folder: &Path, format: OutputFormat, when: &str) {
    let left = files(folder);
    for (name, _) in &left {
        let is_ours = name.starts_with(".out")
            && (name.ends_with(".diskport-partial") || name.contains(".diskport-checkpoint"));
        assert!(is_ours, "{format}, {when}: {name}");
    }
    let partial = folder.join(".out.vmdk.diskport-partial");
    if format != OutputFormat::Raw && partial.exists() {
        let opened = Open::new().format(format.format()).open(&partial);
        assert!(opened.is_err(), "{format}, {when}: an output that is not whole is taken for a disk");
    }
}

#[test]
fn a_copy_goes_on_after_an_error_at_any_read() {
    let bytes = content();
    let good = raw(MemoryStorage::new(bytes.clone()));
    for format in formats() {
        let expected = whole(&good, format);
        let is_usual = [VHD, STREAM].contains(&format);
        for threads in if is_usual { vec![0, 2] } else { vec![0] } {
            let (mut failures, mut resumed) = (0, 0);
            for at in 1.. {
                let folder = tempfile::tempdir().expect("a folder");
                let path = folder.path().join("out.vmdk");
                let fault = Fault::Error(io::ErrorKind::Other);
                let bad = raw(FaultyStorage::new(MemoryStorage::new(bytes.clone()), at, fault));
                match copy(&bad, format).threads(threads).create(&path) {
                    Err(Error::Io { .. }) => failures += 1,
                    Err(other) => panic!("{other}"),
                    Ok(_) => break,
                }
                check_left(folder.path(), format, &format!("read {at}"));
                let had_checkpoint = folder.path().join(".out.vmdk.diskport-checkpoint").exists();
                assert!(had_checkpoint || names(folder.path()).is_empty(), "{format}, read {at}");
                let report = copy(&good, format).threads(threads).verify(true).create(&path);
                let report = report.expect("goes on");
                assert_eq!(report.resumed_at.is_some(), had_checkpoint, "{format}, read {at}");
                assert_eq!(report.begun_again, None, "{format}, read {at}");
                assert!(files(folder.path()) == expected, "{format}, read {at}");
                resumed += u32::from(had_checkpoint);
            }
            assert!(failures >= 8 && resumed >= 5, "{format}: {resumed} of {failures} went on");
        }
    }
}

/// A source that, when it is read for the time `at`, takes a copy of a folder as it is then: what is left when the process
/// is killed at that moment.
struct Witness {
    bytes: Vec<u8>,
    reads: AtomicU64,
    at: u64,
    from: PathBuf,
    to: PathBuf,
}

impl ReadAt for Witness {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.reads.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            for (name, bytes) in files(&self.from) {
                fs::write(self.to.join(name), bytes)?;
            }
        }
        let rest = &self.bytes[(offset as usize).min(self.bytes.len())..];
        let len = buf.len().min(rest.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn next_data(&self, _: u64) -> io::Result<Option<Range<u64>>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[test]
fn a_copy_goes_on_after_the_process_was_killed_at_any_read() {
    let bytes = content();
    let good = raw(MemoryStorage::new(bytes.clone()));
    for format in formats() {
        let expected = whole(&good, format);
        let mut resumed = 0;
        for at in 1.. {
            let (running, killed) =
                (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
            let (from, to) = (running.path().to_owned(), killed.path().to_owned());
            let witness = Witness { bytes: bytes.clone(), reads: AtomicU64::new(0), at, from, to };
            let witness = Arc::new(witness);
            copy(&raw(witness.clone()), format).create(running.path().join("out.vmdk")).expect("copies");
            if witness.reads.load(Ordering::Relaxed) < at {
                break;
            }
            check_left(killed.path(), format, &format!("killed at read {at}"));
            let report = copy(&good, format).create(killed.path().join("out.vmdk")).expect("goes on");
            assert_eq!(report.begun_again, None);
            assert!(files(killed.path()) == expected, "{format}, killed at read {at}");
            resumed += u32::from(report.resumed_at.is_some());
        }
        assert!(resumed >= 5, "{format}: went on {resumed} times");
    }
}

/// A copy in `folder` that was broken off near its end.
fn interrupted(folder: &Path, bytes: &[u8], format: OutputFormat) -> Result<Report> {
    let bad = FaultyStorage::new(MemoryStorage::new(bytes), 8, Fault::Error(io::ErrorKind::Other));
    let result = copy(&raw(bad), format).create(folder.join("out.vmdk"));
    assert!(folder.join(".out.vmdk.diskport-checkpoint").exists());
    result
}

#[test]
fn what_was_damaged_is_copied_again() {
    let bytes = content();
    let good = raw(MemoryStorage::new(bytes.clone()));
    for format in formats() {
        let expected = whole(&good, format);
        let data = if expected.len() > 1 { expected[0].0.clone() } else { "out.vmdk".to_owned() };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.vmdk");
        let partial = folder.path().join(format!(".{data}.diskport-partial"));
        let checkpoint = folder.path().join(".out.vmdk.diskport-checkpoint");
        let damages: [(&dyn Fn(), BegunAgain); 4] = [
            (
                &|| {
                    // Some byte of the first data, wherever the format has them.
                    let mut file = fs::read(&partial).expect("reads");
                    let at = file.windows(64).position(|part| part == &bytes[100_000..100_064]);
                    let at = at.unwrap_or(70_000);
                    file[at] ^= 1;
                    fs::write(&partial, file).expect("writes");
                },
                BegunAgain::Damaged,
            ),
            (&|| fs::write(&partial, b"short").expect("writes"), BegunAgain::Damaged),
            (&|| fs::remove_file(&partial).expect("goes"), BegunAgain::Damaged),
            (&|| fs::write(&checkpoint, b"no checkpoint at all").expect("writes"), BegunAgain::Unreadable),
        ];
        for (damage, why) in damages {
            interrupted(folder.path(), &bytes, format).expect_err("is broken off");
            damage();
            let report = copy(&good, format).create(&path).expect("begins again");
            assert_eq!((report.resumed_at, report.begun_again), (None, Some(why)), "{format}");
            assert!(files(folder.path()) == expected, "{format}");
            expected.iter().for_each(|(name, _)| fs::remove_file(folder.path().join(name)).expect("goes"));
        }
    }
}

/// As a better encoder of the same version would leave it, or a file system after a cut.
#[test]
fn what_lies_behind_the_end_goes_away() {
    let bytes = content();
    let good = raw(MemoryStorage::new(bytes.clone()));
    for format in formats() {
        let expected = whole(&good, format);
        let folder = tempfile::tempdir().expect("a folder");
        interrupted(folder.path(), &bytes, format).expect_err("is broken off");
        for (name, _) in files(folder.path()).iter().filter(|(name, _)| name.ends_with("-partial")) {
            let file = fs::File::options().write(true).open(folder.path().join(name)).expect("opens");
            let size = file.metadata().expect("a size").len();
            file.set_len(size + (64 << 20)).expect("grows");
        }
        let report = copy(&good, format).create(folder.path().join("out.vmdk")).expect("goes on");
        assert!(report.resumed_at.is_some(), "{format}");
        assert!(files(folder.path()) == expected, "{format}");
    }
}

#[test]
fn the_file_to_go_on_with_is_no_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let partial = folder.path().join(".out.vmdk.diskport-partial");
    fs::write(&partial, content()).expect("writes");
    let source = Open::new().format(diskport::Format::Raw).open(&partial).expect("opens");
    let result = copy(&source, OutputFormat::Raw).create(folder.path().join("out.vmdk"));
    assert!(matches!(result, Err(Error::OutputIsSource { .. })), "{result:?}");
    assert!(fs::read(&partial).expect("reads") == content());
    assert_eq!(names(folder.path()), [".out.vmdk.diskport-partial"]);
}

#[test]
fn a_copy_that_does_not_go_on_leaves_nothing_of_one_that_was_to() {
    let bytes = content();
    let good = raw(MemoryStorage::new(bytes.clone()));
    for format in formats() {
        let folder = tempfile::tempdir().expect("a folder");
        interrupted(folder.path(), &bytes, format).expect_err("is broken off");
        copy(&good, format).resumable(false).create(folder.path().join("out.vmdk")).expect("copies");
        assert!(files(folder.path()) == whole(&good, format), "{format}");
    }
    // But for what another run writes just now, and for its own source.
    let folder = tempfile::tempdir().expect("a folder");
    interrupted(folder.path(), &bytes, VHD).expect_err("is broken off");
    let path = folder.path().join("out.vmdk");
    let running = OutputFile::resume(&path, false).expect("is free");
    copy(&good, VHD).resumable(false).create(&path).expect("copies");
    let kept = [".out.vmdk.diskport-checkpoint", ".out.vmdk.diskport-partial", "out.vmdk"];
    assert_eq!(names(folder.path()), kept);
    drop(running);
    let partial = folder.path().join(kept[1]);
    fs::write(&partial, &bytes).expect("writes");
    let source = Open::new().format(Format::Raw).open(&partial).expect("opens");
    copy(&source, VHD).resumable(false).overwrite(true).create(&path).expect("copies");
    assert_eq!(names(folder.path()), kept);
}

#[test]
fn other_options_begin_again() {
    let bytes = content();
    let good = raw(MemoryStorage::new(bytes.clone()));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.vmdk");
    let others =
        [copy(&good, STREAM).level(1), copy(&good, VHD).block_size(1 << 20), copy(&good, VHD).seed(8)];
    for (other, format) in others.into_iter().zip([STREAM, VHD, VHD]) {
        interrupted(folder.path(), &bytes, format).expect_err("is broken off");
        let report = other.overwrite(true).create(&path).expect("begins again");
        assert_eq!(report.begun_again, Some(BegunAgain::OtherOptions));
        assert_eq!(names(folder.path()), ["out.vmdk"]);
        fs::remove_file(&path).expect("goes");
    }
    // What does not change the output does not matter.
    interrupted(folder.path(), &bytes, VHD).expect_err("is broken off");
    let report = copy(&good, VHD).threads(3).verify(true).create(&path).expect("goes on");
    assert!(report.resumed_at.is_some());
}

#[test]
fn without_a_seed_the_identifiers_are_kept_all_the_same() {
    let bytes = content();
    let good = raw(MemoryStorage::new(bytes.clone()));
    let unseeded = |disk: &Disk| {
        let copy = Convert::new(disk).to(VHD).sync(false);
        copy.resumable(true).checkpoint_interval(INTERVAL)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.vhd");
    let bad = FaultyStorage::new(MemoryStorage::new(bytes.clone()), 8, Fault::Error(io::ErrorKind::Other));
    unseeded(&raw(bad)).create(&path).expect_err("is broken off");
    let report = unseeded(&good).digest(diskport::digest::Digest::Sha256).verify(true).create(&path);
    let report = report.expect("goes on");
    assert!(report.resumed_at.is_some());
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(report.digests, [(diskport::digest::Digest::Sha256, hex)], "of all of it, not of the rest");
}

/// A copy of a file that is slow enough to be met in its midst.
fn slow(source: &Path, job: &Job) -> Convert {
    copy(&diskport::open(source).expect("opens"), VHD).job(&job.clone().rate_limit(8 << 20))
}

fn wait_for(path: &Path) {
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_source_that_has_changed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source.raw");
    fs::write(&source, content()).expect("writes");
    let path = folder.path().join("out.vhd");
    let checkpoint = folder.path().join(".out.vhd.diskport-checkpoint");
    let job = Job::new();
    let running = std::thread::spawn({
        let (copy, path) = (slow(&source, &job), path.clone());
        move || copy.create(path)
    });
    wait_for(&checkpoint);
    let second = slow(&source, &Job::new()).create(&path);
    assert!(matches!(second, Err(Error::Locked { .. })), "two at once: {second:?}");
    job.cancel();
    assert!(matches!(running.join().expect("ends"), Err(Error::Cancelled)));
    let kept = [".out.vhd.diskport-checkpoint", ".out.vhd.diskport-partial", "source.raw"];
    assert_eq!(names(folder.path()), kept);
    // One byte is another, and the size is the same.
    let mut changed = content();
    changed[0] ^= 1;
    fs::write(&source, &changed).expect("writes");
    let disk = diskport::open(&source).expect("opens");
    let result = copy(&disk, VHD).create(&path);
    assert!(matches!(result, Err(Error::StaleCheckpoint { .. })), "{result:?}");
    assert_eq!(names(folder.path()), kept);
    fs::remove_file(&checkpoint).expect("goes");
    let report = copy(&disk, VHD).verify(true).create(&path).expect("begins anew");
    assert_eq!((report.resumed_at, report.begun_again), (None, None));
    assert_eq!(names(folder.path()), ["out.vhd", "source.raw"]);
}
