//! The layout of a new VHDX.
//!
//! It is the one of Windows: header section, log, metadata region, BAT region, payload blocks.

use super::bat::PRESENT;
use super::layout::FileFlags;
use super::skeleton::{BAT_OFFSET, Guids, Skeleton};
use crate::error::Result;
use crate::format::tools::allocation::Allocation;
use crate::leaves::Ids;
use crate::leaves::MIB;
use crate::sink::blueprint::{Blueprint, HOLE, Metadata, Places, Put, put_table};

/// What Windows takes for a dynamic disk, and the only size that Citrix tests.
pub(crate) const DEFAULT_BLOCK_SIZE: u64 = 32 * MIB;

/// A disk of `size` bytes.
pub(crate) fn blueprint(
    allocation: Allocation,
    size: u64,
    sector_size: u32,
    block_size: u64,
    ids: &mut Ids,
) -> Result<Blueprint> {
    let flags = match allocation {
        Allocation::Dynamic => FileFlags::empty(),
        Allocation::Fixed => FileFlags::LEAVE_BLOCKS_ALLOCATED,
    };
    let skeleton = Skeleton::new(size, sector_size, block_size, flags)?;
    Ok(Blueprint {
        block_size,
        blocks: skeleton.blocks(),
        is_fixed: allocation == Allocation::Fixed,
        grain: HOLE,
        front: skeleton.end(),
        prefix: Vec::new(),
        first: skeleton.end(),
        stride: block_size,
        trailer: Vec::new(),
        metadata: Box::new(Fresh { guids: Guids::new(ids.guid(), ids), skeleton }),
    })
}

struct Fresh {
    skeleton: Skeleton,
    guids: Guids,
}

impl Metadata for Fresh {
    fn front(&self, places: &Places<'_>, put: &mut Put<'_>) -> Result<()> {
        let parts = self.skeleton.parts(&self.guids, None);
        parts.iter().try_for_each(|(offset, bytes)| put(*offset, bytes))?;
        let entry = |place: u64| (place | PRESENT).to_le_bytes();
        let entries = places.iter().map(|(block, place)| (self.skeleton.index(block), entry(place)));
        put_table((BAT_OFFSET, self.skeleton.end() - BAT_OFFSET), 0, entries, put)
    }

    /// The largest disk with all its tables is smaller than the largest file.
    fn check(&self, _: u64) -> Result<()> {
        Ok(())
    }
}
