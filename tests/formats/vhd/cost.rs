//! What images of very many blocks may cost: time, memory, reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::Open;
use diskport::storage::{ReadAt, WriteAt};

use super::builder::{SECTOR, Vhd};
use crate::support::within_limits;

/// Bytes of the file from one to the next: a bitmap, a sector of data, a sector that nothing uses.
const STRIDE: u64 = 3 * SECTOR as u64;

/// An image in blocks of 512 bytes, all of them in the file, none of which touches another. The bitmaps are clear, and the
/// data are zeros but for a byte in some blocks. It counts the reads.
#[derive(Clone)]
struct Scattered(Arc<Parts>);

struct Parts {
    /// From the copy of the footer to the BAT.
    head: Vec<u8>,
    footer: Vec<u8>,
    footer_at: u64,
    /// Where the bytes lie that are no zeros, in order.
    hidden: Vec<u64>,
    calls: AtomicU64,
}

impl Scattered {
    /// Block `n` is in place `n * step`, round about. In each of `hidden`, the last byte of the data is not zero.
    fn new(blocks: u64, step: u64, hidden: &[u64]) -> Self {
        let mut built = Vhd::dynamic(blocks * SECTOR as u64, SECTOR).build();
        let footer = built.bytes.split_off(built.footer);
        let first = built.bytes.len() as u64;
        let place = |block: u64| first + block * step % blocks * STRIDE;
        (0..blocks).for_each(|block| {
            built.set_entry(block as usize, (place(block) / SECTOR as u64) as u32);
        });
        let mut hidden: Vec<_> = hidden.iter().map(|&block| place(block) + 2 * SECTOR as u64 - 1).collect();
        hidden.sort_unstable();
        let footer_at = first + blocks * STRIDE;
        Self(Arc::new(Parts { head: built.bytes, footer, footer_at, hidden, calls: AtomicU64::new(0) }))
    }

    /// How many reads `work` takes.
    fn calls(&self, work: impl FnOnce()) -> u64 {
        let before = self.0.calls.load(Ordering::Relaxed);
        work();
        self.0.calls.load(Ordering::Relaxed) - before
    }
}

impl ReadAt for Scattered {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        let parts = &self.0;
        let len = buf.len().min(self.size()?.saturating_sub(offset) as usize);
        let buf = &mut buf[..len];
        buf.fill(0);
        for (start, bytes) in [(0, &parts.head), (parts.footer_at, &parts.footer)] {
            let (from, to) = (offset.max(start), (offset + len as u64).min(start + bytes.len() as u64));
            if from < to {
                buf[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
            }
        }
        let within = parts.hidden.iter().filter(|&&at| (offset..offset + len as u64).contains(&at));
        within.for_each(|at| buf[(at - offset) as usize] = 7);
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.footer_at + SECTOR as u64)
    }
}

impl WriteAt for Scattered {
    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_size(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn opening_millions_of_blocks_for_writing_takes_little_memory() {
    let file = Scattered::new(15 << 17, 1, &[]);
    let calls = file.calls(|| {
        within_limits(|| Open::new().open_writable(file.clone()).expect("opens"));
    });
    assert!(calls < 2000, "{calls} reads");
}

#[test]
fn checking_small_blocks_reads_many_at_once() {
    let blocks = 1 << 18;
    let hidden = [5, 6, 100_000, blocks - 1];
    // In the order of the disk, and in one that has nothing to do with it.
    for step in [1, 1_000_003] {
        let file = Scattered::new(blocks, step, &hidden);
        let calls = file.calls(|| {
            let checked = within_limits(|| Open::new().check(file.clone()).expect("checks"));
            let data = checked.findings.iter().filter(|finding| finding.defect.structure == "data");
            let found: Vec<_> = data.map(|finding| &finding.defect.expected).collect();
            let expected = hidden.map(|block| format!("zeros in block {block} where its bitmap is clear"));
            assert!(found.into_iter().eq(&expected), "{:#?}", checked.findings);
        });
        assert!(calls < 1000, "{calls} reads");
    }
}
