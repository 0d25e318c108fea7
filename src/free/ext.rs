//! What an ext2, ext3 or ext4 volume holds free: the block bitmaps of its groups.
//!
//! Sections are those of the kernel's documentation, "ext4 Data Structures and Algorithms".

use std::ops::Range;

use super::Unknown;
use crate::disk::Disk;
use crate::error::Result;
use crate::leaves::ClearRuns;

const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_LEN: usize = 1024;
/// Groups whose descriptors are read at once.
const GROUPS_AT_ONCE: u64 = 512;

/// Bits of the state: unmounted cleanly, errors seen.
const VALID: u16 = 1;
const ERRORS: u16 = 2;
mod compat {
    pub const SPARSE_SUPER2: u32 = 0x200;
}
mod incompat {
    /// Needs its journal replayed.
    pub const RECOVER: u32 = 0x4;
    pub const META_BG: u32 = 0x10;
    pub const WIDE: u32 = 0x80;
    /// What changes nothing of where blocks are kept: file types, extents, 64 bits, multiple mount protection, flexible groups,
    /// large extended attributes, data in directory entries, checksum seeds, large directories, data in inodes, encryption, case folding.
    pub const KNOWN: u32 =
        0x2 | 0x40 | WIDE | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 | 0x2_0000;
}
mod ro_compat {
    pub const SPARSE_SUPER: u32 = 0x1;
    pub const GDT_CSUM: u32 = 0x10;
    pub const BIGALLOC: u32 = 0x200;
    pub const METADATA_CSUM: u32 = 0x400;
    /// Files that were deleted while open wait to be cleaned up.
    pub const ORPHANS: u32 = 0x1_0000;
}
/// A group's bitmap was never written: but for what the group itself consists of, it is free.
const BLOCK_UNINIT: u16 = 2;

/// The superblock ("Super Block"), checked.
struct Volume<'d> {
    disk: &'d Disk,
    block: u64,
    blocks: u64,
    first_block: u64,
    per_group: u64,
    groups: u64,
    descriptor: u64,
    /// Blocks of a group's table of inodes.
    inode_table: u64,
    /// Blocks of the group descriptors, with those that are kept for more.
    descriptors: u64,
    bytes: Fields,
}

/// Little-endian fields at their offsets.
struct Fields(Vec<u8>);

impl Fields {
    fn u16(&self, at: usize) -> u16 {
        self.0.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    fn u32(&self, at: usize) -> u32 {
        self.0.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    fn compat(&self) -> u32 {
        self.u32(0x5c)
    }

    fn incompat(&self) -> u32 {
        self.u32(0x60)
    }

    fn ro_compat(&self) -> u32 {
        self.u32(0x64)
    }

    /// A number whose upper half lies elsewhere, and counts in descriptors of 64 bytes.
    fn wide(&self, low: u32, high: Option<u32>) -> u64 {
        u64::from(high.unwrap_or(0)) << 32 | u64::from(low)
    }
}

/// Calls `visit` with the free runs of `volume` in bytes of it; or says why that is not known.
pub(super) fn free_runs(volume: &Disk, visit: &mut dyn FnMut(Range<u64>)) -> Result<(), Unknown> {
    let volume = Volume::open(volume)?;
    let mut number = 0;
    while number < volume.groups {
        let count = GROUPS_AT_ONCE.min(volume.groups - number);
        let mut bytes = vec![0; (count * volume.descriptor) as usize];
        let table = (volume.first_block + 1) * volume.block;
        volume.disk.read_at(&mut bytes, table + number * volume.descriptor)?;
        for descriptor in bytes.chunks_exact(volume.descriptor as usize) {
            volume.group(number, &Fields(descriptor.to_vec()), visit)?;
            number += 1;
        }
    }
    Ok(())
}

impl<'d> Volume<'d> {
    fn open(disk: &'d Disk) -> Result<Self, Unknown> {
        let mut bytes = vec![0; SUPERBLOCK_LEN];
        disk.read_at(&mut bytes, SUPERBLOCK)?;
        let bytes = Fields(bytes);
        let (state, incompat, ro_compat) = (bytes.u16(0x3a), bytes.incompat(), bytes.ro_compat());
        let last_orphan = bytes.u32(0xe8);
        if state & VALID == 0
            || state & ERRORS != 0
            || incompat & incompat::RECOVER != 0
            || ro_compat & ro_compat::ORPHANS != 0
            || last_orphan != 0
        {
            return Err(Unknown::unclean());
        }
        if incompat & !incompat::KNOWN != 0 || ro_compat & ro_compat::BIGALLOC != 0 {
            let odd =
                if incompat & incompat::META_BG != 0 { "meta_bg" } else { "features that are not known" };
            let odd = if ro_compat & ro_compat::BIGALLOC != 0 { "bigalloc" } else { odd };
            return Err(Unknown::Told(format!("it has {odd}")));
        }
        let damaged = || Unknown::damaged("superblock");
        let block = 1024u64.checked_shl(bytes.u32(0x18)).filter(|block| (1024..=65536).contains(block));
        let block = block.ok_or_else(damaged)?;
        let wide = incompat & incompat::WIDE != 0;
        let blocks = bytes.wide(bytes.u32(0x4), wide.then(|| bytes.u32(0x150)));
        let (first_block, per_group) = (u64::from(bytes.u32(0x14)), u64::from(bytes.u32(0x20)));
        let descriptor = if wide { u64::from(bytes.u16(0xfe)) } else { 32 };
        let inode_size = if bytes.u32(0x4c) == 0 { 128 } else { u64::from(bytes.u16(0x58)) };
        let fits = blocks.checked_mul(block).is_some_and(|len| len <= disk.size())
            && first_block == u64::from(block == 1024)
            && first_block < blocks
            && (8..=block * 8).contains(&per_group)
            && per_group.is_multiple_of(8)
            && descriptor.is_power_of_two()
            && (32..=block).contains(&descriptor);
        if !fits {
            return Err(damaged());
        }
        let groups = (blocks - first_block).div_ceil(per_group);
        let inode_table = (u64::from(bytes.u32(0x28)) * inode_size).div_ceil(block);
        let descriptors = (groups * descriptor).div_ceil(block) + u64::from(bytes.u16(0xce));
        Ok(Self {
            disk,
            block,
            blocks,
            first_block,
            per_group,
            groups,
            descriptor,
            inode_table,
            descriptors,
            bytes,
        })
    }

    fn group(
        &self,
        number: u64,
        descriptor: &Fields,
        visit: &mut dyn FnMut(Range<u64>),
    ) -> Result<(), Unknown> {
        let first = self.first_block + number * self.per_group;
        let len = self.per_group.min(self.blocks - first);
        let wide = self.descriptor >= 64;
        let at = |low: usize, high: usize| {
            descriptor.wide(descriptor.u32(low), wide.then(|| descriptor.u32(high)))
        };
        let places = [at(0x0, 0x20), at(0x4, 0x24), at(0x8, 0x28)];
        let high = if wide { u64::from(descriptor.u16(0x2c)) << 16 } else { 0 };
        let free = high | u64::from(descriptor.u16(0xc));
        let has_flags = self.bytes.ro_compat() & (ro_compat::GDT_CSUM | ro_compat::METADATA_CSUM) != 0;
        let mut counted = 0;
        let mut found = Vec::new();
        let mut take = |run: Range<u64>| {
            counted += run.end - run.start;
            found.push((first + run.start) * self.block..(first + run.end) * self.block);
        };
        let mut runs = ClearRuns::new(0..len);
        if has_flags && descriptor.u16(0x12) & BLOCK_UNINIT != 0 {
            let mut used = self.own(number, first, &places);
            used.retain(|own| own.start < len);
            used.sort_unstable_by_key(|own| own.start);
            let mut at = 0;
            for own in used {
                if at < own.start {
                    take(at..own.start);
                }
                at = at.max(own.end);
            }
            if at < len {
                take(at..len);
            }
        } else {
            let [bitmap, ..] = places;
            if bitmap >= self.blocks {
                return Err(Unknown::Told(format!("the bitmap of group {number} lies beyond its end")));
            }
            let mut bytes = vec![0; (self.per_group / 8) as usize];
            self.disk.read_at(&mut bytes, bitmap * self.block)?;
            runs.feed(0, &bytes, &mut take);
            if let Some(last) = runs.finish() {
                take(last);
            }
        }
        if counted != free {
            return Err(Unknown::Told(format!(
                "group {number} has {counted} free blocks by its bitmap and {free} by its descriptor"
            )));
        }
        found.into_iter().for_each(visit);
        Ok(())
    }

    /// What a group consists of itself, in blocks from its first on: copies of the superblock and of the descriptors, its
    /// bitmaps and its table of inodes where those lie in it ("Block and Inode Bitmaps", "Flexible Block Groups").
    fn own(&self, number: u64, first: u64, [bitmap, inode_bitmap, inodes]: &[u64; 3]) -> Vec<Range<u64>> {
        let mut own = Vec::new();
        if self.has_superblock(number) {
            own.push(0..1 + self.descriptors);
        }
        for (place, len) in [(bitmap, 1), (inode_bitmap, 1), (inodes, self.inode_table)] {
            if (first..first + self.per_group).contains(place) {
                own.push(place - first..place - first + len);
            }
        }
        own
    }

    fn has_superblock(&self, group: u64) -> bool {
        let is_power = |base: u64| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        if group == 0 {
            return true;
        }
        if self.bytes.compat() & compat::SPARSE_SUPER2 != 0 {
            return [0x24c, 0x250].iter().any(|&at| u64::from(self.bytes.u32(at)) == group);
        }
        let sparse = self.bytes.ro_compat() & ro_compat::SPARSE_SUPER != 0;
        !sparse || group == 1 || [3, 5, 7].into_iter().any(is_power)
    }
}
