//! A sparse source in memory that counts what is asked of it.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::copy::OutputFormat;
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::ReadAt;
use diskport::{Disk, Format, Open};
use proptest::prelude::*;

/// One of each kind that is one file, written at any offset.
pub const PLAIN: [OutputFormat; 6] = [
    OutputFormat::Raw,
    OutputFormat::Vhd(Allocation::Fixed),
    OutputFormat::Vhd(Allocation::Dynamic),
    OutputFormat::Vhdx(Allocation::Fixed),
    OutputFormat::Vhdx(Allocation::Dynamic),
    OutputFormat::Vmdk(Subformat::MonolithicSparse),
];

/// Data runs in a sea of holes.
#[derive(Debug, Default)]
pub struct Sparse {
    size: u64,
    /// In order, not overlapping.
    runs: Vec<(u64, Vec<u8>)>,
    /// Whether it tells holes from data.
    tells_holes: bool,
    /// Whether it says that there are no holes.
    claims_data: bool,
    pub reads: AtomicU64,
    pub bytes: AtomicU64,
}

impl Sparse {
    pub fn new(size: u64, mut runs: Vec<(u64, Vec<u8>)>) -> Self {
        runs.sort_by_key(|run| run.0);
        Self { size, runs, tells_holes: true, ..Self::default() }
    }

    pub fn without_holes(self) -> Self {
        Self { tells_holes: false, ..self }
    }

    pub fn claiming_data(self) -> Self {
        Self { claims_data: true, ..self }
    }
}

impl ReadAt for Sparse {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let len = buf.len().min(self.size.saturating_sub(offset) as usize);
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        let buf = &mut buf[..len];
        buf.fill(0);
        let end = offset + len as u64;
        for (start, bytes) in &self.runs {
            let (from, to) = (offset.max(*start), end.min(start + bytes.len() as u64));
            if from < to {
                let part = &bytes[(from - start) as usize..(to - start) as usize];
                buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
            }
        }
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        if !self.tells_holes {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if self.claims_data {
            return Ok((offset < self.size).then_some(offset..self.size));
        }
        let next = self
            .runs
            .iter()
            .map(|(start, bytes)| *start..start + bytes.len() as u64)
            .find(|r| r.end > offset);
        Ok(next.map(|run| run.start.max(offset)..run.end))
    }
}

/// The source as a raw disk.
pub fn disk(source: &Arc<Sparse>) -> Disk {
    Open::new().format(Format::Raw).open(source.clone()).expect("any bytes are a raw disk")
}

/// Deterministic bytes that do not compress.
pub fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    (0..len)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        })
        .collect()
}

/// Sources of a few MiB with data, zeros among data, and holes, at odd places.
pub fn any_source() -> impl Strategy<Value = Sparse> {
    let run = (0..12_u64 << 20, 1..300_000_usize, any::<u64>(), 0..4_u8);
    (proptest::collection::vec(run, 0..12), 1..13_u64 << 11, any::<bool>()).prop_map(
        |(runs, sectors, holes)| {
            let size = sectors * 512;
            let mut at = 0;
            let mut kept = Vec::new();
            let mut runs = runs;
            runs.sort_by_key(|run| run.0);
            for (start, len, seed, kind) in runs {
                // Aligned starts and ends are as likely as odd ones.
                let start = if seed % 2 == 0 { start / 65_536 * 65_536 } else { start };
                let start = start.max(at);
                if start >= size {
                    break;
                }
                let len = len.min((size - start) as usize);
                let bytes = match kind {
                    0 => vec![0; len],
                    1 => b"the same words again and again. ".iter().copied().cycle().take(len).collect(),
                    _ => noise(len, seed),
                };
                at = start + len as u64;
                kept.push((start, bytes));
            }
            let source = Sparse::new(size, kept);
            if holes { source } else { source.without_holes() }
        },
    )
}

/// The whole content.
pub fn content(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).expect("reads");
    bytes
}
