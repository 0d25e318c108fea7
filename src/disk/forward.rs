//! A disk that comes as a stream of blocks: what copies it reads each byte once, in about this order.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::layer::{FileIndex, Layer, LayerInfo, Mapping, Sealed};
use super::{Block, Buffer, Data, Disk};
use crate::error::{Error, Result};
use crate::storage::{FileRole, ImageFile, ReadAt};

impl Disk {
    /// The disk that `info` tells of, with the content of `blocks`, which come in order and without gaps. It can be
    /// read once, forwards.
    pub(crate) fn forward(
        info: LayerInfo,
        blocks: impl Iterator<Item = Result<Block>> + Send + 'static,
    ) -> Result<Self> {
        let blocks = Box::new(blocks);
        let coming =
            Coming { blocks, last: Last { start: 0, end: 0, is_data: false }, kept: VecDeque::new() };
        let stream = Arc::new(Stream { size: info.size, coming: Mutex::new(coming) });
        let files = [ImageFile::new(stream.clone(), "(stream)", FileRole::Image)?];
        Ok(Self::new(vec![Arc::new(ForwardLayer { info, files, stream })], None, Vec::new()))
    }

    /// Whether it comes out of a stream, so that it can be read once, forwards.
    pub(crate) fn reads_once(&self) -> bool {
        self.chain().iter().any(|layer| layer.reads_once())
    }

    /// Refuses a disk that can be read once, where it would be read twice, for `purpose`.
    pub(crate) fn check_reads_again(&self, purpose: &str) -> Result<()> {
        if self.reads_once() {
            let what =
                format!("{purpose} reads the source twice, and a stream is read once: put it into a file");
            return Err(Error::Unsupported { what });
        }
        Ok(())
    }
}

/// The map asks for blocks as it gets on, and they are kept until their bytes were read.
struct ForwardLayer {
    info: LayerInfo,
    files: [ImageFile; 1],
    stream: Arc<Stream>,
}

struct Stream {
    size: u64,
    coming: Mutex<Coming>,
}

struct Coming {
    blocks: Box<dyn Iterator<Item = Result<Block>> + Send>,
    last: Last,
    /// In order.
    kept: VecDeque<Kept>,
}

/// The block that came last.
#[derive(Clone, Copy)]
struct Last {
    start: u64,
    end: u64,
    is_data: bool,
}

/// A block that came.
struct Kept {
    start: u64,
    /// Given back when all of them were read.
    bytes: Option<Buffer>,
    unread: usize,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Coming {
    /// Takes the next block, and what comes behind the last one.
    fn take(&mut self, size: u64) -> Result<()> {
        let cut = || Error::io("read", "(stream)", io::ErrorKind::UnexpectedEof.into());
        let block = self.blocks.next().ok_or_else(cut)??;
        self.last =
            Last { start: block.offset, end: block.end(), is_data: matches!(block.data, Data::Bytes(_)) };
        if let Data::Bytes(bytes) = block.data {
            let unread = bytes.len();
            self.kept.push_back(Kept { start: block.offset, bytes: Some(bytes), unread });
        }
        if self.last.end >= size {
            // A stream is whole when it says so.
            self.blocks.next().transpose()?;
        }
        Ok(())
    }
}

impl Sealed for ForwardLayer {}

impl Layer for ForwardLayer {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let mut coming = self.stream.lock();
        while coming.last.end <= offset {
            coming.take(self.info.size)?;
        }
        let Last { start, end, is_data } = coming.last;
        if offset < start {
            return Err(Error::Unsupported { what: READ_ONCE.to_owned() });
        }
        let len = limit.min(end - offset);
        Ok(if is_data { Mapping::stored(len, FileIndex(0), offset) } else { Mapping::absent(len) })
    }

    fn reads_once(&self) -> bool {
        true
    }
}

const READ_ONCE: &str = "a stream is read once, forwards";

impl ReadAt for Stream {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut coming = self.lock();
        let index = coming.kept.partition_point(|kept| kept.start <= offset).checked_sub(1);
        let kept = index.and_then(|index| coming.kept.get_mut(index));
        let once = || io::Error::new(io::ErrorKind::Unsupported, READ_ONCE);
        let Kept { start, bytes: Some(bytes), unread } = kept.ok_or_else(once)? else { return Err(once()) };
        let rest = bytes.get((offset - *start) as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        *unread = unread.saturating_sub(len);
        if *unread == 0 {
            coming.kept[index.unwrap_or_default()].bytes = None;
            while coming.kept.front().is_some_and(|kept| kept.bytes.is_none()) {
                coming.kept.pop_front();
            }
        }
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}
