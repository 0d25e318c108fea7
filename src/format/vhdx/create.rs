//! Writing VHDXs, from front to back.
//!
//! The layout is the one of Windows: header section, log, metadata region, BAT region, payload blocks in the order in
//! which they are needed. The file type identifier comes last, so that a cut file is no disk.

use uuid::Uuid;

use super::bat::PRESENT;
use super::layout::FileFlags;
use super::skeleton::{BAT_OFFSET, Skeleton};
use crate::MIB;
use crate::disk::sink::{Encoding, Packet, Place, Sink};
use crate::disk::table::TableWriter;
use crate::error::Result;
use crate::format::Allocation;
use crate::storage::WritableFile;

/// What Windows takes for a dynamic disk, and the only size that Citrix tests.
pub(crate) const DEFAULT_BLOCK_SIZE: u64 = 32 * MIB;
/// Entries of the BAT that are written at once.
const BAT_PAGE: u64 = 4096;
/// Runs of zeros of this many bytes stay holes of the file.
const GRAIN: u64 = 4096;

/// A VHDX being written.
pub(crate) struct Vhdx {
    file: WritableFile,
    allocation: Allocation,
    skeleton: Skeleton,
    bat: TableWriter,
    /// The block that data come for, and where it lies in the file.
    block: Option<(u64, u64)>,
    /// The first byte after what has its place.
    next: u64,
}

impl Vhdx {
    /// A disk of `size` bytes.
    pub(crate) fn new(
        file: WritableFile,
        allocation: Allocation,
        size: u64,
        sector_size: u32,
        block_size: u64,
    ) -> Result<Self> {
        let flags = match allocation {
            Allocation::Dynamic => FileFlags::empty(),
            Allocation::Fixed => FileFlags::LEAVE_BLOCKS_ALLOCATED,
        };
        let skeleton = Skeleton::new(size, sector_size, block_size, flags)?;
        let payload = skeleton.end();
        let next = match allocation {
            Allocation::Dynamic => payload,
            Allocation::Fixed => payload + skeleton.blocks() * block_size,
        };
        file.set_size(next)?;
        let bat = TableWriter::new(BAT_PAGE, 8, 0);
        Ok(Self { file, allocation, skeleton, bat, block: None, next })
    }

    /// Where `block` lies; a block of a dynamic disk that data come for first gets its place.
    fn place(&mut self, block: u64) -> Result<u64> {
        if let Some((current, place)) = self.block
            && current == block
        {
            return Ok(place);
        }
        let place = match self.allocation {
            Allocation::Fixed => self.skeleton.end() + block * self.skeleton.block_size,
            Allocation::Dynamic => {
                let place = self.next;
                self.next += self.skeleton.block_size;
                self.record(block, place)?;
                place
            }
        };
        self.block = Some((block, place));
        Ok(place)
    }

    /// Notes in the BAT that `block` is at `place`, which is a multiple of a MiB.
    fn record(&mut self, block: u64, place: u64) -> Result<()> {
        let index = self.skeleton.index(block);
        self.turn_to(Some(index))?;
        self.bat.set(index, &(place | PRESENT).to_le_bytes());
        Ok(())
    }

    /// Goes on to the page of the BAT that holds entry `index`, and writes the one that was left behind.
    fn turn_to(&mut self, index: Option<u64>) -> Result<()> {
        let file = &self.file;
        self.bat.turn_to(index, |page, bytes| file.write_all_at(bytes, BAT_OFFSET + page * BAT_PAGE * 8))
    }
}

impl Sink for Vhdx {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: GRAIN }
    }

    fn places(&self) -> Vec<Place> {
        match self.allocation {
            Allocation::Fixed => {
                let (offset, file) = (self.skeleton.end(), self.file.clone());
                vec![Place { start: 0, len: self.next - offset, file, offset }]
            }
            Allocation::Dynamic => Vec::new(),
        }
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        let file = self.file.clone();
        packet.write_blocks(&file, self.skeleton.block_size, |block| self.place(block))
    }

    fn finish(&mut self) -> Result<()> {
        if self.allocation == Allocation::Fixed {
            let payload = self.skeleton.end();
            for block in 0..self.skeleton.blocks() {
                self.record(block, payload + block * self.skeleton.block_size)?;
            }
        }
        self.turn_to(None)?;
        self.file.set_size(self.next)?;
        self.skeleton.write(&self.file, Uuid::new_v4(), None)
    }
}
