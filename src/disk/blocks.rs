//! The content of a disk as a stream of blocks, in order, read ahead by worker threads.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, PoisonError};

use super::layer::MappingKind;
use super::pipeline::Pipeline;
use super::read::read_extent;
use super::{Disk, Extent, SkipHoles};
use crate::error::{Error, Result};

/// How to stream a disk's content: block size, range, read-ahead, threads.
#[derive(Debug, Clone)]
pub struct Blocks {
    size: u64,
    start: u64,
    end: u64,
    read_ahead: usize,
    threads: usize,
    skip_holes: bool,
}

impl Blocks {
    /// Blocks of `size` bytes (at least 512 and at most 1 GiB), cut at multiples of it.
    pub fn of(size: u64) -> Self {
        Self {
            size: size.clamp(512, 1 << 30),
            start: 0,
            end: u64::MAX,
            read_ahead: 4,
            threads: 1,
            skip_holes: true,
        }
    }

    /// Only this range. A stream that ended at some offset is taken up again from there.
    pub fn range(self, range: Range<u64>) -> Self {
        Self { start: range.start, end: range.end, ..self }
    }

    /// How many blocks are read ahead of the one that is being worked on. Memory is bounded by this many blocks,
    /// plus one for each that the caller keeps.
    pub fn read_ahead(self, blocks: usize) -> Self {
        Self { read_ahead: blocks, ..self }
    }

    /// How many threads read ahead; with 0, or without read-ahead, the caller's own thread reads.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Whether holes of sparse files are taken for zeros without reading them; they are by default.
    pub fn skip_holes(self, skip: bool) -> Self {
        Self { skip_holes: skip, ..self }
    }
}

/// A part of a disk's content.
#[derive(Debug)]
pub struct Block {
    /// First byte of the virtual disk.
    pub offset: u64,
    /// What is there.
    pub data: Data,
}

/// What a block holds.
#[derive(Debug)]
pub enum Data {
    /// Bytes: at most one block of the grid.
    Bytes(Buffer),
    /// This many zeros: any number of blocks, of which nothing was read.
    Zero(u64),
    /// This many bytes of which no layer says anything; they read as zeros.
    Absent(u64),
}

impl Block {
    /// Bytes of the virtual disk.
    pub fn len(&self) -> u64 {
        match &self.data {
            Data::Bytes(bytes) => bytes.len() as u64,
            Data::Zero(len) | Data::Absent(len) => *len,
        }
    }

    /// Whether the block covers nothing; the stream yields no such blocks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first byte after the block.
    pub fn end(&self) -> u64 {
        self.offset + self.len()
    }
}

/// Bytes in a buffer that goes back to its stream's pool when it is dropped.
pub struct Buffer {
    bytes: Vec<u8>,
    pool: Option<Arc<Pool>>,
}

impl Buffer {
    /// A buffer of the caller's own.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, pool: None }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.lock().push(std::mem::take(&mut self.bytes));
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes.len())
    }
}

/// Buffers that wait to be used again. There are never more than were in use at one time.
#[derive(Default)]
struct Pool {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let mut bytes = self.lock().pop().unwrap_or_default();
        bytes.resize(len, 0);
        Buffer { bytes, pool: Some(self.clone()) }
    }
}

/// Iterates over the blocks of a disk; see [`Disk::blocks`].
///
/// Zeros come as runs of any length. Blocks of bytes never cross a multiple of the block size; a block that is
/// partly zeros comes as bytes.
pub struct BlockReader {
    plan: Plan,
    pipeline: Pipeline<Cell, Result<Block>>,
    /// What comes out, in order: runs without bytes, and places of the pipeline's results.
    order: VecDeque<Planned>,
    read_ahead: usize,
    failed: bool,
}

enum Planned {
    Ready(Block),
    Pending,
    Failed(Error),
}

impl BlockReader {
    pub(super) fn new(disk: Disk, options: Blocks) -> Self {
        let threads = if options.read_ahead == 0 { 0 } else { options.threads };
        let pool = Arc::new(Pool::default());
        let reader = disk.clone();
        Self {
            plan: Plan::new(disk, &options),
            pipeline: Pipeline::new(threads, move |cell: Cell| cell.read(&reader, &pool)),
            order: VecDeque::new(),
            read_ahead: if threads == 0 { 0 } else { options.read_ahead },
            failed: false,
        }
    }

    /// Plans until enough blocks are under way.
    fn plan_ahead(&mut self) {
        while self.pipeline.pending() <= self.read_ahead && self.order.len() <= 2 * self.read_ahead {
            match self.plan.next() {
                Some(Ok(Item::Run(block))) => self.order.push_back(Planned::Ready(block)),
                Some(Ok(Item::Cell(cell))) => {
                    self.pipeline.push(cell);
                    self.order.push_back(Planned::Pending);
                }
                Some(Err(e)) => self.order.push_back(Planned::Failed(e)),
                None => return,
            }
        }
    }
}

impl Iterator for BlockReader {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        self.plan_ahead();
        let item = match self.order.pop_front()? {
            Planned::Ready(block) => Ok(block),
            Planned::Pending => self.pipeline.pop()?,
            Planned::Failed(e) => Err(e),
        };
        self.failed = item.is_err();
        Some(item)
    }
}

/// Cuts the extents of a disk into cells of the block grid.
struct Plan {
    extents: Source,
    /// The rest of the last extent.
    rest: Option<Extent>,
    block: u64,
    end: u64,
    failed: bool,
}

/// Extents with or without a look at the holes of the files.
enum Source {
    Plain(super::Extents),
    SkipHoles(SkipHoles),
}

impl Source {
    fn next(&mut self) -> Option<Result<Extent>> {
        match self {
            Source::Plain(extents) => extents.next(),
            Source::SkipHoles(extents) => extents.next(),
        }
    }
}

enum Item {
    Run(Block),
    Cell(Cell),
}

/// A part of the block grid that holds bytes.
struct Cell {
    start: u64,
    len: u64,
    parts: Vec<Extent>,
}

impl Cell {
    fn read(self, disk: &Disk, pool: &Arc<Pool>) -> Result<Block> {
        let mut buffer = pool.take(self.len as usize);
        for part in &self.parts {
            let start = (part.start - self.start) as usize;
            read_extent(disk, part, &mut buffer[start..start + part.len as usize])?;
        }
        Ok(Block { offset: self.start, data: Data::Bytes(buffer) })
    }
}

impl Plan {
    fn new(disk: Disk, options: &Blocks) -> Self {
        let end = options.end.min(disk.size());
        let extents = disk.extents(options.start..end);
        let extents =
            if options.skip_holes { Source::SkipHoles(extents.skip_holes()) } else { Source::Plain(extents) };
        Self { extents, rest: None, block: options.size, end, failed: false }
    }

    /// The next extent, at most up to `end`.
    fn take(&mut self, end: u64) -> Result<Option<Extent>> {
        let extent = match self.rest.take() {
            Some(extent) => extent,
            None => match self.extents.next() {
                Some(extent) => extent?,
                None => return Ok(None),
            },
        };
        if extent.start >= end {
            self.rest = Some(extent);
            return Ok(None);
        }
        if extent.end() > end {
            self.rest = Some(extent.slice(end - extent.start, u64::MAX));
        }
        Ok(Some(extent.slice(0, end - extent.start)))
    }

    fn item(&mut self) -> Result<Option<Item>> {
        let Some(first) = self.take(u64::MAX)? else { return Ok(None) };
        let start = first.start;
        let cell_end = (start / self.block + 1) * self.block;
        if !first.is_data() && first.end() >= cell_end.min(self.end) {
            // Whole blocks without bytes; a block in which they end is looked at as a cell.
            let end = if first.end() == self.end { self.end } else { first.end() / self.block * self.block };
            if end < first.end() {
                self.rest = Some(first.slice(end - start, u64::MAX));
            }
            return Ok(Some(Item::Run(run(start, end, first.kind == MappingKind::Absent))));
        }
        self.rest = Some(first);
        let mut parts = Vec::new();
        let mut at = start;
        while let Some(part) = self.take(cell_end)? {
            at = part.end();
            parts.push(part);
        }
        Ok(Some(if parts.iter().any(Extent::is_data) {
            Item::Cell(Cell { start, len: at - start, parts })
        } else {
            Item::Run(run(start, at, false))
        }))
    }
}

fn run(start: u64, end: u64, absent: bool) -> Block {
    let len = end - start;
    Block { offset: start, data: if absent { Data::Absent(len) } else { Data::Zero(len) } }
}

impl Iterator for Plan {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.item().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}
