//! Writing VHDs, from front to back.

use zerocopy::IntoBytes;

use super::fresh;
use super::layout::{DYNAMIC, DynamicHeader, FIXED, Footer, SECTOR, UNUSED};
use super::pending::ALIGNMENT;
use crate::disk::flat::FlatFile;
use crate::disk::sink::{Encoding, Packet, Place, Sink};
use crate::disk::table::TableWriter;
use crate::error::{Error, Result};
use crate::format::Allocation;
use crate::storage::WritableFile;

/// Runs of zeros of this many bytes stay holes of the file.
const GRAIN: u64 = 4096;
/// Entries of the BAT that are written at once.
const BAT_PAGE: u64 = 1024;
/// The BAT follows the footer's copy and the header.
const BAT_OFFSET: u64 = (size_of::<Footer>() + size_of::<DynamicHeader>()) as u64;

/// A VHD being written.
pub(crate) struct Vhd {
    file: WritableFile,
    footer: Footer,
    body: Body,
}

enum Body {
    Fixed(FlatFile),
    Dynamic(Dynamic),
}

struct Dynamic {
    block_size: u64,
    blocks: u64,
    bitmap_size: u64,
    bat: TableWriter,
    /// The block that data come for, and where its data lie in the file.
    block: Option<(u64, u64)>,
    /// The first byte after what has its place.
    next: u64,
}

impl Vhd {
    /// A disk of `size` bytes; `block_size` is that of a dynamic one.
    pub(crate) fn new(
        file: WritableFile,
        allocation: Allocation,
        size: u64,
        sector_size: u32,
        block_size: u64,
    ) -> Result<Self> {
        let refuse = |reason: String| Err(Error::Layout { reason });
        if u64::from(sector_size) != SECTOR {
            return refuse(format!(
                "a VHD has sectors of 512 bytes, and the disk has sectors of {sector_size}"
            ));
        }
        let size = fresh::check_size(size)?;
        let disk_type = match allocation {
            Allocation::Fixed => FIXED,
            Allocation::Dynamic => DYNAMIC,
        };
        let footer = fresh::footer(disk_type, size);
        let body = match allocation {
            Allocation::Fixed => Body::Fixed(FlatFile::new(file.clone(), size)?),
            Allocation::Dynamic => Body::Dynamic(Dynamic::new(&file, size, block_size)?),
        };
        Ok(Self { file, footer, body })
    }
}

impl Sink for Vhd {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: GRAIN }
    }

    fn places(&self) -> Vec<Place> {
        match &self.body {
            Body::Fixed(body) => body.places(),
            Body::Dynamic(_) => Vec::new(),
        }
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        match &mut self.body {
            Body::Fixed(body) => body.write(packet),
            Body::Dynamic(body) => {
                let file = &self.file;
                packet.write_blocks(file, body.block_size, |block| body.place(file, block))
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        match &mut self.body {
            Body::Fixed(body) => {
                body.finish()?;
                self.file.write_all_at(self.footer.as_bytes(), self.footer.current_size.get())
            }
            Body::Dynamic(body) => {
                body.turn_to(&self.file, None)?;
                self.file.write_all_at(self.footer.as_bytes(), body.next)?;
                let header = fresh::header(body.blocks, body.block_size, BAT_OFFSET);
                self.file.write_all_at(header.as_bytes(), self.footer.data_offset.get())?;
                // The copy that readers look for first comes last.
                self.file.write_all_at(self.footer.as_bytes(), 0)
            }
        }
    }
}

impl Dynamic {
    fn new(file: &WritableFile, size: u64, block_size: u64) -> Result<Self> {
        fresh::check_block_size(block_size)?;
        let blocks = size.div_ceil(block_size);
        let bitmap_size = (block_size / SECTOR / 8).next_multiple_of(SECTOR);
        // "The BAT is always extended to a sector boundary".
        let bat_size = (blocks * 4).next_multiple_of(SECTOR);
        fresh::unused(file, BAT_OFFSET..BAT_OFFSET + bat_size)?;
        Ok(Self {
            block_size,
            blocks,
            bitmap_size,
            bat: TableWriter::new(BAT_PAGE, 4, UNUSED as u8),
            block: None,
            next: BAT_OFFSET + bat_size,
        })
    }

    /// Where the data of `block` lie; a block that data come for first gets its place and its bitmap.
    fn place(&mut self, file: &WritableFile, block: u64) -> Result<u64> {
        if let Some((current, place)) = self.block
            && current == block
        {
            return Ok(place);
        }
        let place = (self.next + self.bitmap_size).next_multiple_of(ALIGNMENT);
        let bitmap = place - self.bitmap_size;
        // Every sector of the block is in the file: zeros where nothing is written.
        file.write_all_at(&vec![0xff; self.bitmap_size as usize], bitmap)?;
        self.turn_to(file, Some(block))?;
        let sector = u32::try_from(bitmap / SECTOR).ok().filter(|&sector| sector != UNUSED);
        let sector = sector.ok_or_else(|| fresh::too_long(place + self.block_size))?;
        self.bat.set(block, &sector.to_be_bytes());
        self.next = place + self.block_size;
        self.block = Some((block, place));
        Ok(place)
    }

    /// Goes on to the page of the BAT that holds `block`, and writes the one that the data have passed.
    fn turn_to(&mut self, file: &WritableFile, block: Option<u64>) -> Result<()> {
        let blocks = self.blocks;
        self.bat.turn_to(block, |page, bytes| {
            let first = page * BAT_PAGE;
            let entries = (blocks - first).min(BAT_PAGE);
            file.write_all_at(&bytes[..entries as usize * 4], BAT_OFFSET + first * 4)
        })
    }
}
