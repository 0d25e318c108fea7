//! The layout of a new VHD.

use zerocopy::IntoBytes;

use super::layout::{DYNAMIC, DynamicHeader, FIXED, Footer, SECTOR, UNUSED};
use super::pending::ALIGNMENT;
use super::skeleton;
use crate::error::{Error, Result};
use crate::format::tools::allocation::Allocation;
use crate::leaves::Ids;
use crate::sink::blueprint::{Blueprint, HOLE, Metadata, Places, Put, put_table};

/// The BAT follows the footer's copy and the header.
const BAT_OFFSET: u64 = (size_of::<Footer>() + size_of::<DynamicHeader>()) as u64;

/// A disk of `size` bytes; `block_size` is that of a dynamic one.
pub(crate) fn blueprint(
    allocation: Allocation,
    size: u64,
    sector_size: u32,
    block_size: u64,
    ids: &mut Ids,
) -> Result<Blueprint> {
    if u64::from(sector_size) != SECTOR {
        let reason = format!("a VHD has sectors of 512 bytes, and the disk has sectors of {sector_size}");
        return Err(Error::Layout { reason });
    }
    let size = skeleton::check_size(size)?;
    match allocation {
        Allocation::Fixed => {
            Ok(Blueprint::flat(size, skeleton::footer(FIXED, size, ids).as_bytes().to_vec()))
        }
        Allocation::Dynamic => {
            skeleton::check_block_size(block_size)?;
            Ok(Dynamic::new(size, block_size, ids).blueprint())
        }
    }
}

/// A dynamic disk.
struct Dynamic {
    footer: Footer,
    block_size: u64,
    blocks: u64,
    bitmap_size: u64,
    bat_size: u64,
}

impl Dynamic {
    fn new(size: u64, block_size: u64, ids: &mut Ids) -> Self {
        let blocks = size.div_ceil(block_size);
        Self {
            footer: skeleton::footer(DYNAMIC, size, ids),
            block_size,
            blocks,
            bitmap_size: (block_size / SECTOR / 8).next_multiple_of(SECTOR),
            // "The BAT is always extended to a sector boundary".
            bat_size: (blocks * 4).next_multiple_of(SECTOR),
        }
    }

    fn blueprint(self) -> Blueprint {
        let front = BAT_OFFSET + self.bat_size;
        Blueprint {
            block_size: self.block_size,
            blocks: self.blocks,
            is_fixed: false,
            grain: HOLE,
            front,
            // Every sector of a block is in the file: zeros where nothing is written.
            prefix: vec![0xff; self.bitmap_size as usize],
            first: (front + self.bitmap_size).next_multiple_of(ALIGNMENT),
            stride: self.bitmap_size.next_multiple_of(ALIGNMENT) + self.block_size,
            trailer: self.footer.as_bytes().to_vec(),
            metadata: Box::new(self),
        }
    }
}

impl Metadata for Dynamic {
    fn front(&self, places: &Places<'_>, put: &mut Put<'_>) -> Result<()> {
        put(0, self.footer.as_bytes())?;
        let header = skeleton::header(self.blocks, self.block_size, BAT_OFFSET);
        put(self.footer.data_offset.get(), header.as_bytes())?;
        let entry = |place: u64| (((place - self.bitmap_size) / SECTOR) as u32).to_be_bytes();
        let entries = places.iter().map(|(block, place)| (block, entry(place)));
        put_table((BAT_OFFSET, self.bat_size), UNUSED as u8, entries, put)
    }

    fn check(&self, end: u64) -> Result<()> {
        let last = end.saturating_sub(self.block_size + self.bitmap_size) / SECTOR;
        if last < UNUSED.into() { Ok(()) } else { Err(skeleton::too_long(end)) }
    }
}
