//! Into a file: blocks get their places as data come.

#[cfg(feature = "digest")]
use std::ops::Range;

use super::{BlockSet, Blueprint};
use crate::error::Result;
#[cfg(feature = "digest")]
use crate::sink::Seen;
use crate::sink::{Encoding, Packet, Place, Sink};
use crate::storage::WritableFile;

#[cfg(feature = "digest")]
/// Bytes that are read back at once.
const BUFFER: u64 = 1 << 20;

/// An image that is being written into a file, in one pass over its source.
pub(crate) struct BlueprintFile {
    file: WritableFile,
    blueprint: Blueprint,
    /// Those that data came for, unless all are in the file anyway.
    blocks: BlockSet,
    /// The block that data came for last, and where it lies.
    current: Option<(u64, u64)>,
}

impl BlueprintFile {
    pub(crate) fn new(file: WritableFile, blueprint: Blueprint) -> Result<Self> {
        let count = if blueprint.is_fixed { blueprint.blocks } else { 0 };
        blueprint.check(count)?;
        grow(&file, blueprint.len(count))?;
        Ok(Self { file, blueprint, blocks: BlockSet::default(), current: None })
    }

    /// Where the whole disk lies, whose first byte is `start` of a larger one; `None` where that depends on the data.
    pub(crate) fn whole(&self, start: u64) -> Option<Place> {
        let Blueprint { is_fixed, block_size, stride, blocks, first, .. } = self.blueprint;
        let place = Place { start, len: blocks * block_size, file: self.file.clone(), offset: first };
        (is_fixed && stride == block_size).then_some(place)
    }

    /// Writes the next data.
    pub(crate) fn put(&mut self, mut offset: u64, mut data: &[u8]) -> Result<()> {
        let block_size = self.blueprint.block_size;
        while !data.is_empty() {
            let (block, within) = (offset / block_size, offset % block_size);
            let place = self.place(block)?;
            let mut len = (block_size - within).min(data.len() as u64);
            // Blocks that follow one another in the file go out in one write.
            while self.blueprint.stride == block_size && len < data.len() as u64 {
                self.place((offset + len) / block_size)?;
                len = (len + block_size).min(data.len() as u64);
            }
            let (now, later) = data.split_at(len as usize);
            self.file.write_all_at(now, place + within)?;
            offset += len;
            data = later;
        }
        Ok(())
    }

    #[cfg(feature = "digest")]
    /// Takes back the data of `range`, and shows them to `seen`.
    pub(crate) fn take_back(&mut self, range: Range<u64>, seen: &mut Seen<'_>) -> Result<()> {
        let block_size = self.blueprint.block_size;
        let mut buffer = vec![0; BUFFER.min(range.end - range.start) as usize];
        let mut offset = range.start;
        while offset < range.end {
            let within = offset % block_size;
            let place = self.place(offset / block_size)?;
            // What ends within a block may be all that there was of it.
            grow(&self.file, place + block_size)?;
            let len = (block_size - within).min(range.end - offset).min(BUFFER);
            let bytes = &mut buffer[..len as usize];
            self.file.read_exact_at(bytes, place + within)?;
            seen(offset..offset + len, bytes);
            offset += len;
        }
        Ok(())
    }

    /// Where `block` lies. One that data come for first gets its place, and what stands in front of it.
    fn place(&mut self, block: u64) -> Result<u64> {
        if let Some((current, place)) = self.current
            && current == block
        {
            return Ok(place);
        }
        let rank = if self.blueprint.is_fixed { block } else { self.blocks.len() };
        let place = self.blueprint.place(rank);
        if !self.blueprint.is_fixed {
            self.blueprint.check(rank + 1)?;
            self.blocks.insert(block);
        }
        let prefix = &self.blueprint.prefix;
        if !prefix.is_empty() {
            self.file.write_all_at(prefix, place - prefix.len() as u64)?;
        }
        self.current = Some((block, place));
        Ok(place)
    }
}

impl Sink for BlueprintFile {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: self.blueprint.grain }
    }

    fn places(&self) -> Vec<Place> {
        self.whole(0).into_iter().collect()
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        packet.iter().try_for_each(|(offset, data)| self.put(offset, data))
    }

    #[cfg(feature = "digest")]
    fn take_back(&mut self, range: Range<u64>, seen: &mut Seen<'_>) -> Result<bool> {
        self.take_back(range, seen).map(|()| true)
    }

    fn finish(&mut self) -> Result<()> {
        self.blueprint.seal(&self.file, &self.blocks)
    }
}

/// Makes the file `size` bytes long, unless it is longer: an earlier run may have begun it.
fn grow(file: &WritableFile, size: u64) -> Result<()> {
    if file.size()? < size { file.set_size(size) } else { Ok(()) }
}
