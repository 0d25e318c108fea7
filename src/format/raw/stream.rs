//! A raw disk that comes out of a pipe.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use crate::disk::{Block, Data, Disk, LayerInfo, Pool};
use crate::error::{Error, Result};
use crate::leaves::Format;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// Reads a raw disk strictly forwards, from a pipe or any other [`Read`]. It yields the disk's blocks in order.
///
/// Nothing in a raw disk says how large it is: a stream that is shorter or longer than the disk ends with an error.
///
/// ```
/// use diskport::copy::{Convert, OutputFormat};
/// use diskport::format::vmdk::Subformat;
/// use diskport::format::raw;
///
/// # let pipe = &[7; 4096][..];
/// let disk = raw::RawStream::new(pipe, 4096).into_disk()?;
/// let mut out = Vec::new();
/// Convert::new(&disk).to(OutputFormat::Vmdk(Subformat::StreamOptimized)).write_to(&mut out)?;
/// # Ok::<(), diskport::Error>(())
/// ```
pub struct RawStream<R> {
    input: R,
    size: u64,
    at: u64,
    ended: bool,
    buffers: Arc<Pool>,
}

impl<R: Read> RawStream<R> {
    /// A disk of `size` bytes.
    pub fn new(input: R, size: u64) -> Self {
        Self { input, size, at: 0, ended: false, buffers: Arc::default() }
    }

    /// The disk, to copy it. It can be read once, forwards: what reads it twice is refused.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn into_disk(self) -> Result<Disk>
    where
        R: Send + 'static,
    {
        Disk::forward(LayerInfo::new(Format::Raw, "raw", self.size), self)
    }

    fn step(&mut self) -> Result<Option<Block>> {
        let offset = self.at;
        if offset == self.size {
            if !self.ended && self.fill(&mut [0])? > 0 {
                let reason = format!("the stream goes on behind the {} bytes that the disk has", self.size);
                return Err(Error::Layout { reason });
            }
            self.ended = true;
            return Ok(None);
        }
        let mut bytes = self.buffers.take((self.size - offset).min(PIECE) as usize);
        let len = self.fill(&mut bytes)?;
        self.at += len as u64;
        if len < bytes.len() {
            // As it does when the sender died: what would follow is not known to be zeros.
            let cut = format!("it ended after {} of {} bytes", self.at, self.size);
            return Err(Error::io("read", "(stream)", io::Error::new(io::ErrorKind::UnexpectedEof, cut)));
        }
        Ok(Some(Block { offset, data: Data::Bytes(bytes) }))
    }

    /// Reads until `buf` is full or the stream ends, and gives how much that was.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut len = 0;
        while len < buf.len() {
            match self.input.read(&mut buf[len..]) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", "(stream)", e)),
            }
        }
        Ok(len)
    }
}

impl<R: Read> Iterator for RawStream<R> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step();
        if item.is_err() {
            (self.ended, self.at) = (true, self.size);
        }
        item.transpose()
    }
}

impl<R> fmt::Debug for RawStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawStream").field("size", &self.size).field("at", &self.at).finish_non_exhaustive()
    }
}
