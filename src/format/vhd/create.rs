//! Writing VHDs, from front to back.

use std::time::SystemTime;

use uuid::Uuid;
use zerocopy::{FromZeros, IntoBytes};

use super::layout::{
    DYNAMIC, DynamicHeader, EPOCH, FIXED, FOOTER_COOKIE, Features, Footer, HEADER_COOKIE, SECTOR, UNUSED,
    VERSION_1_0,
};
use crate::MIB;
use crate::disk::Geometry;
use crate::disk::flat::FlatFile;
use crate::disk::sink::{Encoding, Packet, Sink};
use crate::disk::table::TableWriter;
use crate::error::{Error, Result};
use crate::format::Allocation;
use crate::storage::WritableFile;

/// "The maximum size of a virtual hard disk is 2040 GB".
const MAX_SIZE: u64 = 2040 << 30;
/// The size that every tool knows.
pub(crate) const DEFAULT_BLOCK_SIZE: u64 = 2 * MIB;
/// What vDisks use at most.
const MAX_BLOCK_SIZE: u64 = 16 * MIB;
const MIN_BLOCK_SIZE: u64 = 512 << 10;
/// Data begin at multiples of this in the file, as Windows places them: guests write 4 KiB at a time.
const ALIGNMENT: u64 = 4096;
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
        let refuse = |what: String| Err(Error::Unsupported { what });
        if u64::from(sector_size) != SECTOR {
            return refuse(format!(
                "a VHD has sectors of 512 bytes, and the disk has sectors of {sector_size}"
            ));
        }
        let size = size.next_multiple_of(SECTOR);
        if size > MAX_SIZE {
            return refuse(format!("a VHD holds at most {MAX_SIZE} bytes, and the disk has {size}"));
        }
        let footer = footer(allocation, size);
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
                self.file.write_all_at(body.header().as_bytes(), self.footer.data_offset.get())?;
                // The copy that readers look for first comes last.
                self.file.write_all_at(self.footer.as_bytes(), 0)
            }
        }
    }
}

impl Dynamic {
    fn new(file: &WritableFile, size: u64, block_size: u64) -> Result<Self> {
        if !block_size.is_power_of_two() || !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) {
            return Err(Error::Unsupported {
                what: format!(
                    "a block size of {block_size} bytes: a VHD takes a power of two from 512 KiB to 16 MiB"
                ),
            });
        }
        let blocks = size.div_ceil(block_size);
        let bitmap_size = (block_size / SECTOR / 8).next_multiple_of(SECTOR);
        // "The BAT is always extended to a sector boundary"; entries that are not used are all ones.
        let bat_size = (blocks * 4).next_multiple_of(SECTOR);
        let unused = [0xff; 64 << 10];
        for at in (0..bat_size).step_by(unused.len()) {
            let len = (bat_size - at).min(unused.len() as u64);
            file.write_all_at(&unused[..len as usize], BAT_OFFSET + at)?;
        }
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
        let sector = sector.ok_or_else(|| Error::Unsupported {
            what: "a dynamic VHD file cannot grow beyond 2 TiB; convert to a fixed one".to_owned(),
        })?;
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

    fn header(&self) -> DynamicHeader {
        let mut header = DynamicHeader::new_zeroed();
        header.cookie = HEADER_COOKIE;
        // "Currently, it is unused by existing formats and should be set to 0xFFFFFFFF", in all its eight bytes.
        header.data_offset = u64::MAX.into();
        header.table_offset = BAT_OFFSET.into();
        header.header_version = VERSION_1_0.into();
        // Exactly as many as there are blocks: Azure and 7-Zip refuse more.
        header.max_table_entries = (self.blocks as u32).into();
        header.block_size = (self.block_size as u32).into();
        header.checksum = header.computed_checksum().into();
        header
    }
}

fn footer(allocation: Allocation, size: u64) -> Footer {
    let geometry = geometry(size);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut footer = Footer::new_zeroed();
    footer.cookie = FOOTER_COOKIE;
    footer.features = Features::RESERVED.bits().into();
    footer.file_format_version = VERSION_1_0.into();
    (footer.data_offset, footer.disk_type) = match allocation {
        Allocation::Fixed => (u64::MAX.into(), FIXED.into()),
        Allocation::Dynamic => ((size_of::<Footer>() as u64).into(), DYNAMIC.into()),
    };
    footer.time_stamp = (now.saturating_sub(EPOCH.unsigned_abs()) as u32).into();
    // Of a creator that it does not know, qemu before version 10 takes the geometry for the size, which is
    // smaller. Of Windows every reader takes the current size.
    footer.creator_application = *b"win ";
    footer.creator_version = 0x000a_0000.into();
    footer.creator_host_os = *b"Wi2k";
    footer.original_size = size.into();
    footer.current_size = size.into();
    footer.cylinders = (geometry.cylinders as u16).into();
    footer.heads = geometry.heads as u8;
    footer.sectors = geometry.sectors as u8;
    footer.unique_id = Uuid::new_v4().into_bytes();
    footer.checksum = footer.computed_checksum().into();
    footer
}

/// The geometry of a disk of `size` bytes: the specification's appendix "CHS Calculation", all divisions rounding
/// down, so that the geometry never says more than the size.
fn geometry(size: u64) -> Geometry {
    let total = (size / SECTOR).min(65535 * 16 * 255) as u32;
    let shape = |heads, sectors| Geometry { cylinders: total / sectors / heads, heads, sectors };
    if total >= 65535 * 16 * 63 {
        return shape(16, 255);
    }
    let fits = |heads: u32, sectors: u32| total / sectors < heads * 1024 && heads <= 16;
    let heads = (total / 17).div_ceil(1024).max(4);
    match () {
        () if fits(heads, 17) => shape(heads, 17),
        () if fits(16, 31) => shape(16, 31),
        () => shape(16, 63),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Windows, Virtual PC and qemu wrote for these sizes (the images of the corpus).
    #[test]
    fn geometry_is_that_of_the_specification() {
        let of = |size| {
            let Geometry { cylinders, heads, sectors } = geometry(size);
            (cylinders, heads, sectors)
        };
        assert_eq!(of(4_194_304), (120, 4, 17));
        assert_eq!(of(136_365_211_648), (65278, 16, 255));
        assert_eq!(of(209_715_200), (825, 16, 31));
        assert_eq!(of(16_777_216), (481, 4, 17));
        assert_eq!(of(u64::MAX), (65535, 16, 255));
        for size in (0..200_000).map(|n| n * 1_000_003) {
            assert!(geometry(size).size() <= size.max(1));
        }
    }
}
