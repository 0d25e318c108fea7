//! Strictly forwards: which blocks hold data is known beforehand.

use std::iter::Peekable;

#[cfg(feature = "shards")]
use super::Part;
use super::{BlockSet, Blueprint};
use crate::error::{Error, Result};
use crate::sink::{Encoding, Packet, Sink, SinkStream};

/// Takes bytes strictly forwards.
pub(crate) trait Forwards: Send {
    fn write_all(&mut self, data: &[u8]) -> Result<()>;

    /// Everything up to `position` that was not written is zeros.
    fn zeros_to(&mut self, position: u64) -> Result<()>;

    /// Nothing more comes.
    fn flush(&mut self) -> Result<()>;
}

impl Forwards for SinkStream<'_> {
    fn write_all(&mut self, data: &[u8]) -> Result<()> {
        self.write_all(data)
    }

    fn zeros_to(&mut self, position: u64) -> Result<()> {
        self.zeros_to(position)
    }

    fn flush(&mut self) -> Result<()> {
        self.flush()
    }
}

/// An image, or a part of one, that is being written forwards.
pub(crate) struct BlueprintStream<O> {
    out: O,
    blueprint: Blueprint,
    /// The blocks in the file, from the one that comes next.
    blocks: Peekable<Box<dyn Iterator<Item = u64> + Send>>,
    /// The block at hand, and where it lies.
    current: Option<(u64, u64)>,
    /// How many blocks were begun.
    begun: u64,
    len: u64,
    /// How messages call the source.
    source: String,
}

impl<O: Forwards> BlueprintStream<O> {
    /// Begins an image with data in `blocks`.
    pub(crate) fn new(mut out: O, blueprint: Blueprint, blocks: BlockSet, source: String) -> Result<Self> {
        let count = blueprint.count(&blocks);
        blueprint.check(count)?;
        blueprint.put_front(&blocks, &mut |offset, bytes| {
            out.zeros_to(offset)?;
            out.write_all(bytes)
        })?;
        let len = blueprint.len(count);
        let blocks = all(&blueprint, blocks).peekable();
        Ok(Self { out, blueprint, blocks, current: None, begun: 0, len, source })
    }

    /// Begins a part of it, without anything around the blocks.
    #[cfg(feature = "shards")]
    pub(crate) fn part(
        out: O,
        mut blueprint: Blueprint,
        blocks: BlockSet,
        part: &Part,
        source: String,
    ) -> Self {
        let (begun, count) = (part.ranks.start, part.ranks.end - part.ranks.start);
        let blocks: Box<dyn Iterator<Item = u64> + Send> =
            Box::new(all(&blueprint, blocks).skip(begun as usize).take(count as usize));
        blueprint.trailer.clear();
        Self { out, blueprint, blocks: blocks.peekable(), current: None, begun, len: part.file.end, source }
    }

    /// What took the bytes.
    #[cfg(feature = "shards")]
    pub(crate) fn into_out(self) -> O {
        self.out
    }

    /// Where `block` lies, when all that comes before it is written.
    fn place(&mut self, block: u64) -> Result<u64> {
        while self.current.is_none_or(|(current, _)| current < block) {
            self.begin_next()?;
        }
        match self.current {
            Some((current, place)) if current == block => Ok(place),
            _ => Err(self.changed()),
        }
    }

    /// Goes on to the next block in the file.
    fn begin_next(&mut self) -> Result<()> {
        let Some(block) = self.blocks.next() else { return Err(self.changed()) };
        let place = self.blueprint.place(self.begun);
        self.out.zeros_to(place - self.blueprint.prefix.len() as u64)?;
        self.out.write_all(&self.blueprint.prefix)?;
        self.current = Some((block, place));
        self.begun += 1;
        Ok(())
    }

    /// Data came for a block that held none.
    fn changed(&self) -> Error {
        Error::SourceChanged { path: self.source.clone() }
    }
}

/// All blocks that are in the file.
fn all(blueprint: &Blueprint, blocks: BlockSet) -> Box<dyn Iterator<Item = u64> + Send> {
    if blueprint.is_fixed { Box::new(0..blueprint.blocks) } else { Box::new(blocks.into_iter()) }
}

impl<O: Forwards> Sink for BlueprintStream<O> {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: self.blueprint.grain }
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        let block_size = self.blueprint.block_size;
        for (mut offset, mut data) in packet.iter() {
            while !data.is_empty() {
                let within = offset % block_size;
                let place = self.place(offset / block_size)?;
                let (now, later) = data.split_at((block_size - within).min(data.len() as u64) as usize);
                self.out.zeros_to(place + within)?;
                self.out.write_all(now)?;
                offset += now.len() as u64;
                data = later;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        while self.blocks.peek().is_some() {
            self.begin_next()?;
        }
        self.out.zeros_to(self.len - self.blueprint.trailer.len() as u64)?;
        self.out.write_all(&self.blueprint.trailer)?;
        self.out.flush()
    }
}
