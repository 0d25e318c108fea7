//! What an exFAT volume holds free: its allocation bitmap.
//!
//! Sections are those of Microsoft's "exFAT file system specification".

use std::ops::Range;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::Unknown;
use crate::disk::Disk;
use crate::error::Result;
use crate::leaves::ClearRuns;

/// The boot sector (3.1), up to what counts.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BootSector {
    jump_and_name: [u8; 11],
    zeros: [u8; 53],
    partition_offset: U64,
    volume_length: U64,
    fat_offset: U32,
    fat_length: U32,
    cluster_heap_offset: U32,
    cluster_count: U32,
    root: U32,
    serial: U32,
    revision: U16,
    flags: U16,
    sector_shift: u8,
    cluster_shift: u8,
    fats: u8,
}
const _: () = assert!(size_of::<BootSector>() == 111);

/// Bits of the flags: which FAT counts, a change under way, a medium that failed.
const ACTIVE_FAT: u16 = 1;
const DIRTY: u16 = 2;
const MEDIA_FAILURE: u16 = 4;

/// An entry of the root directory that says where an allocation bitmap lies (7.1).
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BitmapEntry {
    kind: u8,
    flags: u8,
    reserved: [u8; 18],
    first: U32,
    length: U64,
}
const BITMAP: u8 = 0x81;
const END_OF_DIRECTORY: u8 = 0;
const ENTRY: usize = size_of::<BitmapEntry>();

/// The first number of a cluster.
const FIRST: u64 = 2;
/// Windows formats clusters of up to 32 MiB.
const MAX_CLUSTER: u64 = 32 << 20;
/// The entry of the bitmap is among the first of its directory.
const LOOK: u64 = 1 << 20;
/// Bytes of the bitmap that are read at once: whole words.
const CHUNK: u64 = 64 << 10;

struct Volume<'d> {
    disk: &'d Disk,
    fat: u64,
    heap: u64,
    cluster: u64,
    clusters: u64,
}

/// Calls `visit` with the free runs of `volume` in bytes of it; or says why that is not known.
pub(super) fn free_runs(volume: &Disk, visit: &mut dyn FnMut(Range<u64>)) -> Result<(), Unknown> {
    let mut bytes = [0; 512];
    volume.read_at(&mut bytes, 0)?;
    let Ok((boot, _)) = BootSector::ref_from_prefix(&bytes) else {
        return Err(Unknown::damaged("boot sector"));
    };
    let flags = boot.flags.get();
    if flags & (DIRTY | MEDIA_FAILURE) != 0 {
        return Err(Unknown::unclean());
    }
    let sector = 1u64.checked_shl(boot.sector_shift.into()).unwrap_or(0);
    let cluster = sector.checked_shl(boot.cluster_shift.into()).unwrap_or(0);
    let clusters = u64::from(boot.cluster_count.get());
    let heap = u64::from(boot.cluster_heap_offset.get()).saturating_mul(sector);
    let fat = u64::from(flags & ACTIVE_FAT) * u64::from(boot.fat_length.get());
    let fat = (u64::from(boot.fat_offset.get()) + fat).saturating_mul(sector);
    let fits = (512..=4096).contains(&sector)
        && (sector..=MAX_CLUSTER).contains(&cluster)
        && clusters
            .checked_mul(cluster)
            .and_then(|len| heap.checked_add(len))
            .is_some_and(|end| end <= volume.size())
        && fat + (clusters + FIRST) * 4 <= heap
        && boot.fats > (flags & ACTIVE_FAT) as u8;
    if !fits {
        return Err(Unknown::damaged("boot sector"));
    }
    let root = u64::from(boot.root.get());
    let volume = Volume { disk: volume, fat, heap, cluster, clusters };
    let (first, len) = volume.bitmap(root, (flags & ACTIVE_FAT) as u8)?;
    if len < clusters.div_ceil(8) {
        return Err(Unknown::damaged("allocation bitmap"));
    }
    volume.runs(first, visit)
}

impl Volume<'_> {
    /// Where the bitmap that counts begins, and its bytes.
    fn bitmap(&self, root: u64, number: u8) -> Result<(u64, u64), Unknown> {
        for place in self.chain(root, LOOK)? {
            let mut bytes = vec![0; self.cluster.min(LOOK) as usize];
            self.disk.read_at(&mut bytes, place)?;
            for entry in bytes.chunks_exact(ENTRY) {
                match BitmapEntry::ref_from_bytes(entry) {
                    Ok(entry) if entry.kind == END_OF_DIRECTORY => {
                        return Err(Unknown::damaged("root directory"));
                    }
                    Ok(entry) if entry.kind == BITMAP && entry.flags & 1 == number => {
                        return Ok((entry.first.get().into(), entry.length.get()));
                    }
                    _ => {}
                }
            }
        }
        Err(Unknown::damaged("root directory"))
    }

    fn runs(&self, first: u64, visit: &mut dyn FnMut(Range<u64>)) -> Result<(), Unknown> {
        let len = self.clusters.div_ceil(8);
        let mut to_bytes =
            |run: Range<u64>| visit(self.heap + run.start * self.cluster..self.heap + run.end * self.cluster);
        let mut runs = ClearRuns::new(0..self.clusters);
        let mut at = 0;
        for place in self.chain(first, len)? {
            let end = (at + self.cluster).min(len);
            let mut from = place;
            while at < end {
                let mut bytes = vec![0; CHUNK.min(end - at) as usize];
                self.disk.read_at(&mut bytes, from)?;
                runs.feed(at * 8, &bytes, &mut to_bytes);
                at += bytes.len() as u64;
                from += bytes.len() as u64;
            }
        }
        if at < len {
            return Err(Unknown::damaged("allocation bitmap"));
        }
        if let Some(last) = runs.finish() {
            to_bytes(last);
        }
        Ok(())
    }

    /// Where the clusters from `first` on lie, as far as `len` bytes need them.
    fn chain(&self, first: u64, len: u64) -> Result<Vec<u64>, Unknown> {
        let mut places = Vec::new();
        let mut next = first;
        while (places.len() as u64) < len.div_ceil(self.cluster) && next <= self.clusters + 1 {
            if next < FIRST {
                return Err(Unknown::damaged("FAT"));
            }
            places.push(self.heap + (next - FIRST) * self.cluster);
            let mut entry = [0; 4];
            self.disk.read_at(&mut entry, self.fat + next * 4)?;
            next = u32::from_le_bytes(entry).into();
        }
        Ok(places)
    }
}
