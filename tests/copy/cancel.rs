//! Whatever an operation waits for, it ends within a tenth of a second when it is cancelled.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diskport::compare::compare;
use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::job::Job;
use diskport::storage::{MemoryStorage, ReadAt, WriteAt};
use diskport::{Disk, Error, Format, Open, Result};

use crate::source::{PLAIN, Sparse, disk, noise};

/// What is promised.
const PROMISED: Duration = Duration::from_millis(100);
/// What a call of a slow storage takes.
const SLOW: Duration = Duration::from_secs(2);

/// A storage whose reads, or writes, take a long time.
struct Slow<S> {
    inner: S,
    reads: Duration,
    writes: Duration,
}

impl<S> Slow<S> {
    fn reading(inner: S) -> Self {
        Self { inner, reads: SLOW, writes: Duration::ZERO }
    }

    fn writing(inner: S) -> Self {
        Self { inner, reads: Duration::ZERO, writes: SLOW }
    }
}

impl<S: ReadAt> ReadAt for Slow<S> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::thread::sleep(self.reads);
        self.inner.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset)
    }
}

impl<S: WriteAt> WriteAt for Slow<S> {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        std::thread::sleep(self.writes);
        self.inner.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.inner.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

/// A pipe that takes a millisecond for whatever it is given.
struct Steady;

impl io::Write for Steady {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis(1));
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn raw(storage: impl ReadAt + 'static) -> Disk {
    Open::new().format(Format::Raw).open(storage).expect("any bytes are a raw disk")
}

/// Runs `work`, cancels it in its midst, and sees how soon it ends. The least of three times counts: the machine
/// may be busy with other tests.
#[track_caller]
fn ends_soon<T: std::fmt::Debug>(what: &str, work: impl Fn(&Job) -> Result<T>) {
    let delays = (0..3).map(|_| {
        let job = Job::new();
        let token = job.token().clone();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60));
            token.cancel();
            Instant::now()
        });
        let result = work(&job);
        let ended = Instant::now();
        assert!(matches!(result, Err(Error::Cancelled)), "{what}: {result:?}");
        ended.duration_since(other.join().expect("ends"))
    });
    let least = delays.min().expect("three times");
    println!("{what}: {least:?}");
    assert!(least < PROMISED, "{what}: {least:?}");
}

#[test]
fn a_slow_read_does_not_keep_a_copy() {
    for threads in [0, 1, 3] {
        ends_soon(&format!("a slow read, {threads} threads"), |job| {
            let disk = raw(Slow::reading(MemoryStorage::new(noise(8 << 20, 1))));
            let copy = Convert::new(&disk).to(OutputFormat::Vmdk(Subformat::StreamOptimized));
            copy.threads(threads).job(job).create(MemoryStorage::default())
        });
    }
}

#[test]
fn a_slow_write_does_not_keep_a_copy_nor_leave_a_file() {
    let disk = raw(MemoryStorage::new(noise(8 << 20, 2)));
    ends_soon("a slow write", |job| {
        let slow = Arc::new(Slow::writing(MemoryStorage::default()));
        Convert::new(&disk).job(job).create(slow)
    });
    let folder = tempfile::tempdir().expect("a folder");
    ends_soon("a slow read into a file", |job| {
        let disk = raw(Slow::reading(MemoryStorage::new(noise(8 << 20, 1))));
        let result = Convert::new(&disk).job(job).create(folder.path().join("out"));
        let mut names = std::fs::read_dir(folder.path()).expect("a folder");
        assert!(names.next().is_none(), "the temporary file is gone though its writer lives");
        result
    });
}

#[test]
fn a_slow_read_does_not_keep_a_verification() {
    let disk = raw(MemoryStorage::new(noise(1 << 20, 3)));
    ends_soon("verifying", |job| {
        let slow = Arc::new(Slow::reading(MemoryStorage::default()));
        Convert::new(&disk).to(OutputFormat::Vhd(Allocation::Fixed)).verify(true).job(job).create(slow)
    });
}

#[test]
fn a_slow_read_does_not_keep_a_comparison() {
    let (slow, quick) = (Slow::reading(MemoryStorage::new([7; 9000])), MemoryStorage::new([7; 9000]));
    let (slow, quick) = (raw(slow), raw(quick));
    ends_soon("comparing", |job| compare(&slow, &quick, job));
}

#[test]
fn a_long_run_of_zeros_ends() {
    // Holes that no one tells: terabytes are read.
    let silent = disk(&Arc::new(Sparse::new(1 << 45, Vec::new()).without_holes()));
    ends_soon("copying zeros", |job| {
        let copy = Convert::new(&silent).to(OutputFormat::Vhdx(Allocation::Dynamic));
        copy.job(job).create(MemoryStorage::default())
    });
    ends_soon("writing zeros", |job| {
        let disk = disk(&Arc::new(Sparse::new(1 << 45, Vec::new())));
        Convert::new(&disk).job(job).write_to(Steady)
    });
    ends_soon("comparing zeros", |job| compare(&silent, &silent, job));
}

#[cfg(feature = "digest")]
#[test]
fn a_digest_ends() {
    use diskport::digest::{Digest, digest};
    let zeros = disk(&Arc::new(Sparse::new(1 << 45, Vec::new())));
    let slow = raw(Slow::reading(MemoryStorage::new([7; 9000])));
    for algorithm in [Digest::Sha256, Digest::Md5, Digest::Blake3] {
        ends_soon("hashing zeros", |job| digest(&zeros, algorithm, job));
        ends_soon("hashing slowly", |job| digest(&slow, algorithm, job));
    }
}

#[test]
fn a_limited_copy_keeps_to_its_rate_and_ends() {
    let source = raw(MemoryStorage::new(noise(4 << 20, 4)));
    ends_soon("waiting for the rate", |job| {
        Convert::new(&source).job(&job.clone().rate_limit(1)).create(MemoryStorage::default())
    });
    let begun = Instant::now();
    let mut out = Vec::new();
    Convert::new(&source).job(&Job::new().rate_limit(10 << 20)).write_to(&mut out).expect("copies");
    let elapsed = begun.elapsed();
    assert_eq!(out, noise(4 << 20, 4));
    // 4 MiB at 10 MiB a second, but for the first piece, which passes at once.
    assert!(elapsed >= Duration::from_millis(250), "{elapsed:?}");
    // Zeros that are known do not count.
    let zeros = disk(&Arc::new(Sparse::new(1 << 30, Vec::new())));
    let begun = Instant::now();
    Convert::new(&zeros).job(&Job::new().rate_limit(1)).write_to(io::sink()).expect("copies");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// The first write waits until it is let go, and the cancellation falls into it.
#[derive(Default)]
struct Held {
    inner: MemoryStorage,
    writes: AtomicU64,
    is_held: AtomicBool,
    gate: Mutex<()>,
}

impl ReadAt for Held {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}

impl WriteAt for Held {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.is_held.store(true, Ordering::SeqCst);
        let _gate = self.gate.lock();
        self.inner.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_is_written_once_the_storage_was_given_back() {
    // Zeros between data, so that what is written at once takes more writes than the one that is held.
    let mut bytes = noise(8 << 20, 5);
    bytes.chunks_mut(128 << 10).for_each(|chunk| chunk[64 << 10..].fill(0));
    let source = raw(MemoryStorage::new(bytes));
    for format in PLAIN {
        let (storage, job) = (Arc::new(Held::default()), Job::new());
        let held = storage.gate.lock().expect("is free");
        let (seen, token) = (storage.clone(), job.token().clone());
        let canceller = std::thread::spawn(move || {
            while !seen.is_held.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            token.cancel();
        });
        let result = Convert::new(&source).to(format).job(&job).create(storage.clone());
        assert!(matches!(result, Err(Error::Cancelled)), "{format}: {result:?}");
        canceller.join().expect("ends");
        let before = storage.writes.load(Ordering::SeqCst);
        drop(held);
        // The copy that was left behind ends, and gives the storage up.
        while Arc::strong_count(&storage) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(storage.writes.load(Ordering::SeqCst), before, "{format}");
    }
}

#[test]
fn a_check_and_a_compaction_end() {
    let storage = Arc::new(MemoryStorage::default());
    let source = raw(MemoryStorage::new(noise(16 << 20, 6)));
    let copy = Convert::new(&source).to(OutputFormat::Vhdx(Allocation::Dynamic)).block_size(1 << 20);
    copy.create(storage.clone()).expect("copies");
    let slow = |bytes: Vec<u8>| Slow::reading(MemoryStorage::new(bytes));
    ends_soon("checking", |job| Open::new().job(job).check(slow(storage.to_vec())));
    // Stopped between two blocks, the image is closed properly, and whole.
    let job = Job::new();
    let disk = Open::new().job(&job).open_writable(storage.clone()).expect("opens");
    job.cancel();
    assert!(matches!(disk.compact(), Err(Error::Cancelled)));
    let checked = Open::new().check(storage.clone()).expect("checks");
    assert!(checked.is_clean(), "{checked:?}");
    let disk = Open::new().open(storage).expect("opens");
    assert!(!disk.chain()[0].info().dirty_log);
    assert!(compare(&disk, &source, &Job::new()).expect("reads").is_none());
}
