//! A new image in one file: where its blocks lie, and what lies around them.
//!
//! Once it is known which blocks hold data, every byte of the file but the data themselves is known, too. So an image
//! goes forwards into a pipe as well as into a file in which blocks get their places as data come, and both hold the
//! same bytes.

mod blocks;
mod file;
#[cfg(feature = "shards")]
mod part;
mod stream;

pub(crate) use blocks::BlockSet;
pub(crate) use file::BlueprintFile;
#[cfg(feature = "shards")]
pub(crate) use part::Part;
pub(crate) use stream::BlueprintStream;
#[cfg(feature = "shards")]
pub(crate) use stream::Forwards;

use crate::error::Result;
use crate::storage::WritableFile;

/// Runs of zeros of this many bytes stay holes of the file: what file systems allocate at least.
pub(crate) const HOLE: u64 = 4096;
/// Bytes of a table that are handed out at once.
const PAGE: u64 = 16 * 1024;

/// Where everything lies in the file of a new image.
pub(crate) struct Blueprint {
    /// Bytes of the disk in a block.
    pub(crate) block_size: u64,
    /// Blocks of the disk.
    pub(crate) blocks: u64,
    /// Whether all blocks are in the file, or only those that hold data.
    pub(crate) is_fixed: bool,
    /// Runs of zeros of this many bytes are left out.
    pub(crate) grain: u64,
    /// The first byte after what comes before all blocks.
    pub(crate) front: u64,
    /// What stands right in front of each block.
    pub(crate) prefix: Vec<u8>,
    /// Where the first block in the file lies.
    pub(crate) first: u64,
    /// From one block in the file to the next.
    pub(crate) stride: u64,
    /// What stands behind the last block.
    pub(crate) trailer: Vec<u8>,
    pub(crate) metadata: Box<dyn Metadata>,
}

/// Takes bytes of a file, with their offset.
pub(crate) type Put<'a> = dyn FnMut(u64, &[u8]) -> Result<()> + 'a;

/// What a format writes in front of the blocks.
pub(crate) trait Metadata: Send {
    /// Hands it out in the order of the file; what is not handed out is zeros. The first piece makes the file an image.
    fn front(&self, places: &Places<'_>, put: &mut Put<'_>) -> Result<()>;

    /// Refuses a file whose last block ends at `end`, if it is too long for the format.
    fn check(&self, end: u64) -> Result<()>;
}

/// The blocks that are in the file, with their places.
pub(crate) struct Places<'a> {
    blueprint: &'a Blueprint,
    blocks: &'a BlockSet,
}

impl Places<'_> {
    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        let blueprint = self.blueprint;
        let fixed = if blueprint.is_fixed { 0..blueprint.blocks } else { 0..0 };
        fixed.chain(self.blocks.iter()).zip(0..).map(|(block, rank)| (block, blueprint.place(rank)))
    }
}

impl Blueprint {
    /// A disk of `size` bytes and nothing else, but for a `trailer`.
    pub(crate) fn flat(size: u64, trailer: Vec<u8>) -> Self {
        Self {
            block_size: size,
            blocks: 1,
            is_fixed: true,
            grain: HOLE,
            front: 0,
            prefix: Vec::new(),
            first: 0,
            stride: size,
            trailer,
            metadata: Box::new(Nothing),
        }
    }

    /// Where the block lies before which `rank` others are in the file.
    pub(crate) fn place(&self, rank: u64) -> u64 {
        self.first + rank * self.stride
    }

    /// Bytes of a file that holds `count` blocks.
    pub(crate) fn len(&self, count: u64) -> u64 {
        self.payload_end(count) + self.trailer.len() as u64
    }

    /// The first byte after `count` blocks.
    fn payload_end(&self, count: u64) -> u64 {
        count.checked_sub(1).map_or(self.front, |last| self.place(last) + self.block_size)
    }

    /// How many blocks are in the file when data are in `blocks`.
    pub(crate) fn count(&self, blocks: &BlockSet) -> u64 {
        if self.is_fixed { self.blocks } else { blocks.len() }
    }

    /// Refuses a file that holds `count` blocks, if it is too long for the format.
    pub(crate) fn check(&self, count: u64) -> Result<()> {
        self.metadata.check(self.payload_end(count))
    }

    /// Makes `file`, which holds the blocks, an image: writes what lies around them.
    pub(crate) fn seal(&self, file: &WritableFile, blocks: &BlockSet) -> Result<()> {
        self.check(self.count(blocks))?;
        let len = self.len(self.count(blocks));
        file.set_size(len)?;
        let mut first = None;
        self.put_front(blocks, &mut |offset, bytes| {
            if first.is_some() {
                return file.write_all_at(bytes, offset);
            }
            first = Some((offset, bytes.to_vec()));
            Ok(())
        })?;
        if !self.trailer.is_empty() {
            file.write_all_at(&self.trailer, len - self.trailer.len() as u64)?;
        }
        // Until now, the file is no image.
        first.map_or(Ok(()), |(offset, bytes)| file.write_all_at(&bytes, offset))
    }

    /// Hands out what comes before all blocks.
    fn put_front(&self, blocks: &BlockSet, put: &mut Put<'_>) -> Result<()> {
        self.metadata.front(&Places { blueprint: self, blocks }, put)
    }
}

/// Around the bytes of a disk as they are, there is nothing.
struct Nothing;

impl Metadata for Nothing {
    fn front(&self, _: &Places<'_>, _: &mut Put<'_>) -> Result<()> {
        Ok(())
    }

    fn check(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

/// Hands out a table of `len` bytes at `at`, whose bytes are `fill` but for the entries given, which come in order. Of a
/// table of zeros, pages without entries are left out.
pub(crate) fn put_table<const N: usize>(
    (at, len): (u64, u64),
    fill: u8,
    entries: impl Iterator<Item = (u64, [u8; N])>,
    put: &mut Put<'_>,
) -> Result<()> {
    let mut entries = entries.map(|(index, entry)| (index * N as u64, entry)).peekable();
    let mut page = vec![fill; PAGE as usize];
    let mut start = 0;
    while start < len {
        if fill == 0 {
            match entries.peek() {
                Some((next, _)) if *next < len => start = next / PAGE * PAGE,
                _ => break,
            }
        }
        let end = (start + PAGE).min(len);
        while let Some((within, entry)) = entries.next_if(|(next, _)| *next < end) {
            let within = (within - start) as usize;
            page[within..within + N].copy_from_slice(&entry);
        }
        put(at + start, &page[..(end - start) as usize])?;
        page.fill(fill);
        start = end;
    }
    Ok(())
}
