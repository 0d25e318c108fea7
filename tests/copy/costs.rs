//! What copying may cost, where it can be counted: calls, bytes and memory, not time.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use diskport::copy::{Copy, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::{Blocks, Data};

use crate::source::{Sparse, disk, noise};

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
    Copy::new(&disk(&source)).write_to(&mut out).expect("copies");
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
    let report = Copy::new(&disk(&source)).to(stream).write_to(&mut out).expect("copies");
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
        Copy::new(&source).to(OutputFormat::Vmdk(subformat)).sync(false).write_file(&path).expect("copies");
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
        Copy::new(&source).to(stream).level(level).write_to(&mut out).expect("copies");
        assert!(out.bytes <= payload + 64 * 1024 + 40 * 1024, "level {level}: {} bytes", out.bytes);
    }
}
