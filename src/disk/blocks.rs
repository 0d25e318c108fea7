//! The content of a disk as a stream of blocks, in order, read ahead by worker threads.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, PoisonError};

use super::Disk;
use super::pipeline::Pipeline;
use super::plan::{Item, Plan, Run, Span};
use crate::error::{Error, Result};

/// Blocks that are read ahead at most.
const MAX_AHEAD: usize = 1024;

/// How to stream a disk's content: block size, range, read-ahead, threads.
#[derive(Debug, Clone)]
pub struct Blocks {
    size: u64,
    /// Bytes of what is told apart within a block.
    grain: u64,
    start: u64,
    end: u64,
    read_ahead: usize,
    threads: usize,
    skip_holes: bool,
}

impl Blocks {
    /// Blocks of `size` bytes (at least 512 and at most 1 GiB), cut at multiples of it.
    pub fn of(size: u64) -> Self {
        let size = size.clamp(512, 1 << 30);
        Self { size, grain: size, start: 0, end: u64::MAX, read_ahead: 4, threads: 1, skip_holes: true }
    }

    /// Only this range. A stream that ended at some offset is taken up again from there.
    pub fn range(self, range: Range<u64>) -> Self {
        Self { start: range.start, end: range.end, ..self }
    }

    /// Tells bytes, zeros and what is absent apart sector by sector, instead of giving a block that is partly bytes as
    /// bytes. The block size is a whole number of sectors then.
    pub(crate) fn by_sector(self) -> Self {
        Self { grain: 512, ..self }
    }

    /// How many blocks are read ahead of the one that is being worked on. Memory is bounded by this many blocks,
    /// plus one for each that the caller keeps. 1024 at most.
    pub fn read_ahead(self, blocks: usize) -> Self {
        Self { read_ahead: blocks.min(MAX_AHEAD), ..self }
    }

    /// How many threads read ahead; with 0, or without read-ahead, the caller's own thread reads.
    /// 256 at most.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: threads.min(256), ..self }
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

impl From<Run> for Block {
    fn from(run: Run) -> Self {
        let data = if run.absent { Data::Absent(run.len) } else { Data::Zero(run.len) };
        Self { offset: run.start, data }
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

    /// The bytes, to grow or shrink.
    pub(crate) fn vec(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
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
pub(crate) struct Pool {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `len` bytes of whatever it held before.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
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
    pipeline: Pipeline<Span, Result<Block>>,
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

impl Disk {
    /// The content as a stream of blocks, in order, read ahead by worker threads.
    ///
    /// ```
    /// use diskport::{Blocks, Data, MIB};
    /// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
    /// let disk = diskport::open(image)?;
    /// let (mut bytes, mut zeros) = (0, 0);
    /// for block in disk.blocks(Blocks::of(2 * MIB).read_ahead(8)) {
    ///     match block?.data {
    ///         Data::Bytes(data) => bytes += data.len() as u64,
    ///         Data::Zero(len) | Data::Absent(len) => zeros += len,
    ///     }
    /// }
    /// assert_eq!(bytes + zeros, disk.size());
    /// # Ok::<(), diskport::Error>(())
    /// ```
    pub fn blocks(&self, options: Blocks) -> BlockReader {
        BlockReader::new(self.clone(), options)
    }
}

impl BlockReader {
    pub(super) fn new(disk: Disk, options: Blocks) -> Self {
        let threads = if options.read_ahead == 0 { 0 } else { options.threads };
        let pool = Arc::new(Pool::default());
        let reader = disk.clone();
        Self {
            plan: Plan::new(
                disk,
                options.start..options.end,
                options.grain,
                options.size,
                options.skip_holes,
            ),
            pipeline: Pipeline::new(threads, move |span: Span| {
                let mut buffer = pool.take(span.len as usize);
                span.read(&reader, &mut buffer)?;
                Ok(Block { offset: span.start, data: Data::Bytes(buffer) })
            }),
            order: VecDeque::new(),
            read_ahead: if threads == 0 { 0 } else { options.read_ahead },
            failed: false,
        }
    }

    /// Plans until enough blocks are under way.
    fn plan_ahead(&mut self) {
        while self.pipeline.pending() <= self.read_ahead && self.order.len() <= 2 * self.read_ahead {
            match self.plan.next() {
                Some(Ok(Item::Run(run))) => self.order.push_back(Planned::Ready(run.into())),
                Some(Ok(Item::Span(span))) => {
                    self.pipeline.push(span);
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
