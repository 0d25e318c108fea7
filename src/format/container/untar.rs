//! Reading back the disk in a compressed tar of ours, to verify it.
//!
//! The map of the sparse file stands before all data, and may be larger than memory should be: two readers go through the archive, one
//! behind the other, the first in the data and the second in the map.

use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::tar;
use crate::disk::{Block, Data, Disk, LayerInfo, Pool};
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::storage::{ReadAt, read_some};

/// Bytes that are inflated at once, and read of the archive.
const PIECE: u64 = 256 << 10;

/// The disk in `archive`. It can be read once, forwards; what is not as it was written is told by [`Error::VerifyFailed`].
pub(crate) fn disk_in_tar_gz(archive: &Arc<dyn ReadAt>) -> Result<Disk> {
    let map = Map::open(archive).map_err(|e| failed(e, 0))?;
    let mut passed = Map::open(archive).map_err(|e| failed(e, 0))?;
    while passed.next().map_err(|e| failed(e, 0))?.is_some() {}
    let (size, buffers) = (map.size, Arc::default());
    let blocks = Unpacked { map, data: passed.archive, at: 0, run: 0..0, is_whole: false, buffers };
    Disk::forward(LayerInfo::new(Format::Raw, "raw", size), blocks)
}

/// What does not inflate, or is no such archive, is not what was written.
fn failed(e: io::Error, offset: u64) -> Error {
    match e.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Error::VerifyFailed { offset }
        }
        _ => Error::io("read", "the tar.gz", e),
    }
}

type Archive = MultiGzDecoder<BufReader<Input>>;

/// A storage, read forwards.
struct Input {
    storage: Arc<dyn ReadAt>,
    at: u64,
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = read_some(&*self.storage, buf, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// The map of the sparse file, as far as it was read.
struct Map {
    archive: Archive,
    /// Bytes of the file.
    size: u64,
    block: [u8; tar::BLOCK as usize],
    /// Where the next entry lies in the block, and how many follow there.
    at: usize,
    left: usize,
}

impl Map {
    fn open(archive: &Arc<dyn ReadAt>) -> io::Result<Self> {
        let input = Input { storage: archive.clone(), at: 0 };
        let mut archive = MultiGzDecoder::new(BufReader::with_capacity(PIECE as usize, input));
        let mut block = [0; tar::BLOCK as usize];
        archive.read_exact(&mut block)?;
        let size = tar::value(&block[483..495]);
        Ok(Self { archive, size, block, at: tar::MAP, left: tar::ENTRIES })
    }

    /// The next range of the file that is stored. The last entry, which is empty, is none.
    fn next(&mut self) -> io::Result<Option<Range<u64>>> {
        if self.left == 0 {
            self.archive.read_exact(&mut self.block)?;
            (self.at, self.left) = (0, tar::MORE_ENTRIES);
        }
        let entry = &self.block[self.at..self.at + tar::ENTRY];
        let (start, len) = entry.split_at(tar::ENTRY / 2);
        let (start, len) = (tar::value(start), tar::value(len));
        (self.at, self.left) = (self.at + tar::ENTRY, self.left - 1);
        let end = start.checked_add(len).filter(|&end| end <= self.size).ok_or(io::ErrorKind::InvalidData)?;
        Ok((len > 0).then_some(start..end))
    }
}

/// The blocks of the file.
struct Unpacked {
    map: Map,
    data: Archive,
    at: u64,
    /// What of a stored range is still to come.
    run: Range<u64>,
    /// Whether the archive was read to its end, which tells its checksum.
    is_whole: bool,
    buffers: Arc<Pool>,
}

impl Unpacked {
    fn step(&mut self) -> io::Result<Option<Block>> {
        if self.run.is_empty() && self.at < self.map.size {
            self.run = self.map.next()?.unwrap_or(self.map.size..self.map.size);
            if self.run.start < self.at {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let offset = self.at;
        if offset < self.run.start {
            self.at = self.run.start;
            return Ok(Some(Block { offset, data: Data::Absent(self.at - offset) }));
        }
        if self.run.is_empty() {
            if !std::mem::replace(&mut self.is_whole, true) {
                io::copy(&mut self.data, &mut io::sink())?;
            }
            return Ok(None);
        }
        let end = self.run.end.min((offset / PIECE + 1) * PIECE);
        let mut bytes = self.buffers.take((end - offset) as usize);
        self.data.read_exact(&mut bytes)?;
        (self.at, self.run.start) = (end, end);
        Ok(Some(Block { offset, data: Data::Bytes(bytes) }))
    }
}

impl Iterator for Unpacked {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.at;
        self.step().map_err(|e| failed(e, offset)).transpose()
    }
}
