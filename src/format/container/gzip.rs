//! A gzip stream (RFC 1952) whose blocks are compressed by several threads.
//!
//! Each block ends with an empty stored block, as zlib's sync flush leaves it, so that it ends on a byte and the blocks stand
//! one behind the other in one deflate stream; no block looks back into the one before. Their checksums are combined.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::disk::pipeline::Pipeline;
use crate::error::{Error, Result};
use crate::leaves::ZEROS;
use crate::sink::SinkStream;

/// Bytes of a block.
const BLOCK: usize = 256 << 10;
/// The header: deflate, no flags, no time, no system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The last block of the deflate stream, with nothing in it.
const LAST: [u8; 2] = [3, 0];

/// A gzip stream being written.
pub(super) struct Gzip<'w> {
    out: SinkStream<'w>,
    pipeline: Pipeline<Job, Result<Arc<Block>>>,
    threads: usize,
    /// What is not yet a block.
    buffer: Vec<u8>,
    crc: crc32fast::Hasher,
    len: u64,
}

enum Job {
    Bytes(Vec<u8>),
    /// A whole block of them.
    Zeros,
}

struct Block {
    compressed: Vec<u8>,
    crc: crc32fast::Hasher,
}

/// What the threads share.
struct Work {
    level: u32,
    /// Compressors that wait to be used again.
    free: Mutex<Vec<Compress>>,
    /// The block of zeros, compressed once.
    zeros: OnceLock<Arc<Block>>,
}

impl<'w> Gzip<'w> {
    /// Begins a stream that `threads` threads compress, or the caller's with 0. The bytes do not depend on how many.
    pub(super) fn new(mut out: SinkStream<'w>, level: u32, threads: usize) -> Result<Self> {
        out.write_all(&HEADER)?;
        let work = Work { level, free: Mutex::default(), zeros: OnceLock::new() };
        let pipeline = Pipeline::new(threads, move |job| work.run(&job));
        let (buffer, crc) = (Vec::with_capacity(BLOCK), crc32fast::Hasher::new());
        Ok(Self { out, pipeline, threads, buffer, crc, len: 0 })
    }

    /// Bytes that were put in.
    pub(super) fn position(&self) -> u64 {
        self.len + self.buffer.len() as u64
    }

    pub(super) fn write_all(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(BLOCK - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            data = later;
            if self.buffer.len() == BLOCK {
                self.end_block()?;
            }
        }
        Ok(())
    }

    /// Writes `count` zeros. What fills whole blocks is compressed once.
    pub(super) fn write_zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            if self.buffer.is_empty() && count >= BLOCK as u64 {
                self.push(Job::Zeros, BLOCK as u64)?;
                count -= BLOCK as u64;
            } else {
                let part = count.min((BLOCK - self.buffer.len()).min(ZEROS.len()) as u64);
                self.write_all(&ZEROS[..part as usize])?;
                count -= part;
            }
        }
        Ok(())
    }

    /// Writes what ends the stream.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.end_block()?;
        while self.pop()? {}
        self.out.write_all(&LAST)?;
        self.out.write_all(&self.crc.clone().finalize().to_le_bytes())?;
        // "ISIZE: the size of the original input data modulo 2^32".
        self.out.write_all(&(self.len as u32).to_le_bytes())?;
        self.out.flush()
    }

    fn end_block(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.buffer, Vec::with_capacity(BLOCK));
        let len = block.len() as u64;
        self.push(Job::Bytes(block), len)
    }

    fn push(&mut self, job: Job, len: u64) -> Result<()> {
        self.pipeline.push(job);
        self.len += len;
        while self.pipeline.pending() > 2 * self.threads {
            self.pop()?;
        }
        Ok(())
    }

    /// Writes the oldest block, if there is one.
    fn pop(&mut self) -> Result<bool> {
        let Some(block) = self.pipeline.pop().transpose()? else { return Ok(false) };
        self.crc.combine(&block.crc);
        self.out.write_all(&block.compressed)?;
        Ok(true)
    }
}

impl Work {
    fn run(&self, job: &Job) -> Result<Arc<Block>> {
        match job {
            Job::Bytes(bytes) => self.compress(bytes).map(Arc::new),
            Job::Zeros => match self.zeros.get() {
                Some(block) => Ok(block.clone()),
                None => {
                    let block = Arc::new(self.compress(&vec![0; BLOCK])?);
                    Ok(self.zeros.get_or_init(|| block).clone())
                }
            },
        }
    }

    fn compress(&self, bytes: &[u8]) -> Result<Block> {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let pop = free().pop();
        let mut compress = pop.unwrap_or_else(|| Compress::new(Compression::new(self.level), false));
        compress.reset();
        let mut compressed = Vec::with_capacity(bytes.len() / 2);
        let failed = |e| Error::io("compress", "a block", std::io::Error::other(e));
        // The flush is whole when it leaves room.
        while {
            let done = compress.total_in() as usize;
            compressed.reserve(BLOCK / 4);
            let status = compress
                .compress_vec(&bytes[done..], &mut compressed, FlushCompress::Sync)
                .map_err(failed)?;
            status == Status::Ok && compressed.len() == compressed.capacity()
        } {}
        free().push(compress);
        let mut crc = crc32fast::Hasher::new();
        crc.update(bytes);
        Ok(Block { compressed, crc })
    }
}
