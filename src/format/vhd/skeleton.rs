//! What new VHDs begin with, and the limits that they keep.

use std::ops::Range;

use zerocopy::FromZeros;

use super::layout::{
    DynamicHeader, EPOCH, FIXED, FOOTER_COOKIE, Features, Footer, HEADER_COOKIE, LARGEST, SECTOR, VERSION_1_0,
};
use crate::disk::Geometry;
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::leaves::Ids;
use crate::leaves::MIB;
use crate::storage::WritableFile;

/// The size that every tool knows.
pub(crate) const DEFAULT_BLOCK_SIZE: u64 = 2 * MIB;
/// What vDisks use at most.
const MAX_BLOCK_SIZE: u64 = 16 * MIB;
const MIN_BLOCK_SIZE: u64 = 512 << 10;

/// `size` as a whole number of sectors, if a VHD can have it.
pub(super) fn check_size(size: u64) -> Result<u64> {
    let sectors = size.checked_next_multiple_of(SECTOR).filter(|size| (SECTOR..=LARGEST).contains(size));
    sectors.ok_or_else(|| Error::SizeLimit {
        format: Format::Vhd,
        size,
        limit: format!("a disk has from {SECTOR} to {LARGEST} bytes"),
    })
}

/// Refuses a block size that no tool uses.
pub(super) fn check_block_size(size: u64) -> Result<()> {
    if size.is_power_of_two() && (MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&size) {
        return Ok(());
    }
    let what = format!("a block size of {size} bytes: a VHD takes a power of two from 512 KiB to 16 MiB");
    Err(Error::Unsupported { what })
}

/// The error for a dynamic disk whose file would have `size` bytes, beyond what the BAT can say.
pub(super) fn too_long(size: u64) -> Error {
    let limit = "the file of a dynamic disk cannot grow beyond 2 TiB; convert to a fixed one".to_owned();
    Error::SizeLimit { format: Format::Vhd, size, limit }
}

/// Fills `range` of the BAT with entries of blocks that are not there.
pub(super) fn unused(file: &WritableFile, range: Range<u64>) -> Result<()> {
    static UNUSED: [u8; 64 << 10] = [0xff; 64 << 10];
    for at in range.clone().step_by(UNUSED.len()) {
        let len = (range.end - at).min(UNUSED.len() as u64);
        file.write_all_at(&UNUSED[..len as usize], at)?;
    }
    Ok(())
}

/// The header of a new dynamic disk, sealed.
pub(super) fn header(blocks: u64, block_size: u64, table_offset: u64) -> DynamicHeader {
    let mut header = DynamicHeader::new_zeroed();
    header.cookie = HEADER_COOKIE;
    // "Currently, it is unused by existing formats and should be set to 0xFFFFFFFF", in all its eight bytes.
    header.data_offset = u64::MAX.into();
    header.table_offset = table_offset.into();
    header.header_version = VERSION_1_0.into();
    // Exactly as many as there are blocks: Azure and 7-Zip refuse more.
    header.max_table_entries = (blocks as u32).into();
    header.block_size = (block_size as u32).into();
    header.checksum = header.computed_checksum().into();
    header
}

/// The footer of a new disk, sealed.
pub(super) fn footer(disk_type: u32, size: u64, ids: &mut Ids) -> Footer {
    let mut footer = Footer::new_zeroed();
    footer.cookie = FOOTER_COOKIE;
    footer.features = Features::RESERVED.bits().into();
    footer.file_format_version = VERSION_1_0.into();
    footer.disk_type = disk_type.into();
    footer.data_offset = if disk_type == FIXED { u64::MAX } else { size_of::<Footer>() as u64 }.into();
    footer.time_stamp = (ids.time().saturating_sub(EPOCH.unsigned_abs()) as u32).into();
    // Of a creator that it does not know, qemu before version 10 takes the geometry for the size, which is
    // smaller. Of Windows every reader takes the current size.
    footer.creator_application = *b"win ";
    footer.creator_version = 0x000a_0000.into();
    footer.creator_host_os = *b"Wi2k";
    footer.original_size = size.into();
    footer.unique_id = ids.guid().into_bytes();
    resized(&footer, size)
}

/// The footer of the same disk with another size, sealed.
pub(super) fn resized(footer: &Footer, size: u64) -> Footer {
    let geometry = geometry(size);
    let mut footer = *footer;
    footer.current_size = size.into();
    footer.cylinders = (geometry.cylinders as u16).into();
    footer.heads = geometry.heads as u8;
    footer.sectors = geometry.sectors as u8;
    footer.checksum = footer.computed_checksum().into();
    footer
}

/// The geometry of a disk of `size` bytes: the specification's appendix "CHS Calculation", all divisions rounding
/// down, so that the geometry never says more than the size.
pub(super) fn geometry(size: u64) -> Geometry {
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
