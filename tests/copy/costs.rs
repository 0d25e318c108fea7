//! What copying may cost, where it can be counted: calls, bytes and memory, not time.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::copy::{Convert, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::storage::{ReadAt, WriteAt};
use diskport::{Blocks, Data, Format, Open};

use crate::source::{PLAIN, Sparse, disk, noise};

const MIB: u64 = 1 << 20;

/// Counts the calls and bytes of a pipe.
#[derive(Default)]
struct Counter {
    calls: u64,
    bytes: u64,
}

impl Write for Counter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        self.bytes += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// qemu-img makes about 95,000 system calls for such a GiB.
#[test]
fn dense_data_are_read_in_long_reads() {
    let source = Arc::new(Sparse::new(64 * MIB, vec![(0, noise(64 << 20, 1))]).without_holes());
    let mut out = Counter::default();
    Convert::new(&disk(&source)).write_to(&mut out).expect("copies");
    assert_eq!(source.bytes.load(Ordering::Relaxed), 64 * MIB, "every byte is read once");
    let reads = source.reads.load(Ordering::Relaxed);
    assert!(reads <= 64 + 4, "{reads} reads for 64 MiB");
    assert!(out.calls <= 64 + 4, "{} writes for 64 MiB", out.calls);
    assert_eq!(out.bytes, 64 * MIB);
}

#[test]
fn only_what_exists_is_read() {
    let runs: Vec<_> = (0..100).map(|n| (n * 10_000 * MIB, noise(4096, n))).collect();
    let source = Arc::new(Sparse::new(1_000_000 * MIB, runs));
    let mut out = Counter::default();
    let stream = OutputFormat::Vmdk(Subformat::StreamOptimized);
    let report = Convert::new(&disk(&source)).to(stream).write_to(&mut out).expect("copies");
    assert_eq!(source.bytes.load(Ordering::Relaxed), 100 * 4096);
    assert_eq!(report.data_read, 100 * 65_536, "whole grains are compressed");
}

/// Tables and markers may add this much to payload that does not compress.
#[test]
fn sparse_formats_add_little() {
    let payload = 40 * MIB;
    let source = disk(&Arc::new(Sparse::new(64 * MIB, vec![(8 * MIB, noise(payload as usize, 2))])));
    let folder = tempfile::tempdir().expect("a folder");
    for subformat in [Subformat::MonolithicSparse, Subformat::StreamOptimized] {
        let path = folder.path().join(subformat.name());
        Convert::new(&source).to(OutputFormat::Vmdk(subformat)).sync(false).create(&path).expect("copies");
        let size = std::fs::metadata(&path).expect("is there").len();
        assert!(size as f64 <= payload as f64 * 1.01 + 128.0 * 1024.0, "{subformat}: {size} bytes");
    }
}

/// Buffers are used again: there are never more than are read ahead, plus the one in hand.
#[test]
fn a_block_stream_keeps_to_its_buffers() {
    let source = Arc::new(Sparse::new(64 * MIB, vec![(0, noise(64 << 20, 3))]));
    let mut addresses = std::collections::HashSet::new();
    for block in disk(&source).blocks(Blocks::of(MIB).read_ahead(3).threads(2)) {
        if let Data::Bytes(bytes) = &block.expect("reads").data {
            addresses.insert(bytes.as_ptr() as usize);
        }
    }
    // Three ahead, one being filled in exchange for the one in hand, one in hand.
    assert!(addresses.len() <= 5, "{} buffers", addresses.len());
}

/// Readers refuse grains that compression made much larger, and so do we.
#[test]
fn noise_does_not_grow_at_any_level() {
    let payload = 2 * MIB;
    let source = disk(&Arc::new(Sparse::new(payload, vec![(0, noise(payload as usize, 4))])));
    for level in 0..=9 {
        let mut out = Counter::default();
        let stream = OutputFormat::Vmdk(Subformat::StreamOptimized);
        Convert::new(&source).to(stream).level(level).write_to(&mut out).expect("copies");
        assert!(out.bytes <= payload + 64 * 1024 + 40 * 1024, "level {level}: {} bytes", out.bytes);
    }
}

/// Counts the calls and bytes that a file would see, and keeps nothing.
#[derive(Default)]
struct Written {
    calls: AtomicU64,
    bytes: AtomicU64,
}

impl ReadAt for Written {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }
}

impl WriteAt for Written {
    fn write_all_at(&self, data: &[u8], _: u64) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn set_size(&self, _: u64) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// For 64 MiB, qemu-img makes about 24,000 system calls to a sparse VMDK, and 4000 to the others.
#[test]
fn all_formats_are_written_in_long_writes() {
    let payload = 64 * MIB;
    let bytes = noise(MIB as usize, 5);
    let source = disk(&Arc::new(Sparse::new(payload, (0..64).map(|n| (n * MIB, bytes.clone())).collect())));
    for format in PLAIN.into_iter().chain([OutputFormat::Vmdk(Subformat::StreamOptimized)]) {
        let written = Arc::new(Written::default());
        Convert::new(&source).to(format).create(written.clone()).expect("copies");
        let (calls, bytes) = (written.calls.load(Ordering::Relaxed), written.bytes.load(Ordering::Relaxed));
        assert!(calls <= 2 * 64 + 64, "{format}: {calls} calls");
        let more = bytes.saturating_sub(payload);
        assert!(bytes >= payload && more <= payload / 100 + 5 * MIB / 4, "{format}: {more} bytes more");
    }
}

/// A source that knows how much of it was read and is not yet written.
struct Live {
    size: u64,
    read: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

impl ReadAt for Live {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = buf.len().min(self.size.saturating_sub(offset) as usize);
        buf[..len].fill(1);
        let read = self.read.fetch_add(len as u64, Ordering::SeqCst) + len as u64;
        self.most.fetch_max(read - self.written.load(Ordering::SeqCst), Ordering::SeqCst);
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok((offset < self.size).then_some(offset..self.size))
    }
}

/// The slowest of pipes.
struct Slow(Arc<AtomicU64>);

impl Write for Slow {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        std::thread::sleep(std::time::Duration::from_millis(2));
        self.0.fetch_add(data.len() as u64, Ordering::SeqCst);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// However slow the output is, only so much is read ahead.
#[test]
fn what_is_in_memory_is_bounded_by_the_threads() {
    for threads in [0, 1, 2, 16] {
        let [read, written, most] = [(); 3].map(|()| Arc::<AtomicU64>::default());
        let live = Live { size: 64 * MIB, read, written: written.clone(), most: most.clone() };
        let source = Open::new().format(Format::Raw).open(live).expect("opens");
        Convert::new(&source).threads(threads).write_to(Slow(written)).expect("copies");
        let most = most.load(Ordering::SeqCst);
        assert!(most <= (threads as u64 + 1) * MIB, "{threads} threads: {most} bytes");
    }
}

/// A storage hands the system what it was told to at a time, and no less.
#[cfg(target_os = "linux")]
#[test]
fn a_file_is_written_in_pieces_of_the_size_chosen() {
    use diskport::storage::FileStorage;
    // proc(5): `syscw` counts the calls that write.
    let calls = || -> u64 {
        let io = std::fs::read_to_string("/proc/thread-self/io").expect("is told");
        let count = io.lines().find_map(|line| line.strip_prefix("syscw: ")).expect("a count");
        count.parse().expect("a number")
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = noise(1 << 20, 7);
    for (index, (size, expected)) in
        [(None, 16), (Some(1 << 20), 1), (Some(usize::MAX), 1), (Some(300_000), 4)].into_iter().enumerate()
    {
        let path = folder.path().join(index.to_string());
        let file = FileStorage::create_new(&path).expect("a file");
        let file = size.into_iter().fold(file, FileStorage::write_size);
        let before = calls();
        file.write_all_at(&data, 512).expect("writes");
        assert_eq!(calls() - before, expected, "{size:?}");
        assert!(std::fs::read(&path).expect("reads")[512..] == data);
    }
}
