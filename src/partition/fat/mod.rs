//! A FAT volume as it is, read-only: of 12, 16 or 32 bits.
//!
//! Sections are those of Microsoft's "FAT: General Overview of On-Disk Format", version 1.03. Volumes are made in
//! [`Fat32`](super::Fat32).

mod directory;

use std::ops::Range;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::FileSystem;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaves::ClearRuns;

/// The boot record (section "Boot Sector and BPB"), up to where FAT32 goes its own way.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BootRecord {
    jump_and_oem: [u8; 11],
    bytes_per_sector: U16,
    sectors_per_cluster: u8,
    reserved: U16,
    tables: u8,
    root_entries: U16,
    sectors_16: U16,
    media: u8,
    table_16: U16,
    geometry: [u8; 8],
    sectors_32: U32,
    /// Of a FAT32: sectors of a table. Of the others their extended boot record begins here.
    table_32: U32,
    flags: U16,
    version: U16,
    root: U32,
}
const _: () = assert!(size_of::<BootRecord>() == 0x30);

/// Of a FAT32: only the table of the number in the lower bits counts.
const NOT_MIRRORED: u16 = 0x80;
/// Where Windows marks a volume as dirty, in FAT32s and in the others; with one bit for "to be looked at".
const DIRTY: [usize; 2] = [0x41, 0x25];
const DIRTY_BITS: u8 = 3;
/// The first number of a cluster.
const FIRST: u64 = 2;
/// Bytes of a table that are read at once.
const CHUNK: u64 = 64 << 10;

/// A FAT volume.
#[derive(Debug, Clone)]
pub struct FatVolume {
    disk: Disk,
    width: Width,
    /// Bytes of a cluster.
    cluster: u64,
    /// Where the table that counts lies.
    table: Range<u64>,
    /// Where the directory lies that the others are below; in its own place but for FAT32s.
    root: Root,
    /// Where the first cluster lies.
    data: u64,
    clusters: u64,
    marked_dirty: bool,
}

#[derive(Debug, Clone)]
enum Root {
    At(Range<u64>),
    Cluster(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Bits12,
    Bits16,
    Bits32,
}

impl Width {
    /// From this number on an entry ends a file's clusters.
    fn end(self) -> u64 {
        match self {
            Width::Bits12 => 0xff8,
            Width::Bits16 => 0xfff8,
            Width::Bits32 => 0x0fff_fff8,
        }
    }

    /// The bits of the second entry that say "unmounted" and "no errors" (section "FAT Volume Initialization").
    fn clean(self) -> u64 {
        match self {
            Width::Bits12 => 0,
            Width::Bits16 => 0xc000,
            Width::Bits32 => 0x0c00_0000,
        }
    }
}

impl FatVolume {
    /// The FAT volume that `volume` is, a [slice](Disk::slice) of a disk or a whole one; `None` when it is none.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when its parts do not fit into it, and what reading the disk gives rise to.
    pub fn open(volume: &Disk) -> Result<Option<Self>> {
        let mut sector = [0; 512];
        if volume.size() < sector.len() as u64 {
            return Ok(None);
        }
        volume.read_at(&mut sector, 0)?;
        let (width, is_32) = match FileSystem::of_boot_sector(&sector, volume.size()) {
            Some(FileSystem::Fat12) => (Width::Bits12, false),
            Some(FileSystem::Fat16) => (Width::Bits16, false),
            Some(FileSystem::Fat32) => (Width::Bits32, true),
            _ => return Ok(None),
        };
        let Ok((record, _)) = BootRecord::ref_from_prefix(&sector) else { return Ok(None) };
        let bytes = u64::from(record.bytes_per_sector.get());
        let either = |short: U16, long: U32| match short.get() {
            0 => u64::from(long.get()),
            short => u64::from(short),
        };
        let table_len = either(record.table_16, record.table_32) * bytes;
        let tables = u64::from(record.reserved.get()) * bytes;
        let active = match record.flags.get() {
            flags if is_32 && flags & NOT_MIRRORED != 0 => u64::from(flags & 0xf),
            _ => 0,
        };
        let behind = tables + u64::from(record.tables) * table_len;
        let data = behind + (u64::from(record.root_entries.get()) * 32).next_multiple_of(bytes);
        let cluster = u64::from(record.sectors_per_cluster) * bytes;
        // No number leads beyond what the table has entries for.
        let end = (either(record.sectors_16, record.sectors_32) * bytes).min(volume.size());
        let entries = match width {
            Width::Bits12 => table_len * 2 / 3,
            Width::Bits16 => table_len / 2,
            Width::Bits32 => table_len / 4,
        };
        let clusters = (end.saturating_sub(data) / cluster).min(entries.saturating_sub(FIRST));
        if active >= u64::from(record.tables) || behind > end || clusters == 0 {
            return Err(damaged("tables and clusters within the volume", format!("{end} bytes in all")));
        }
        let root = if is_32 { Root::Cluster(record.root.get().into()) } else { Root::At(behind..data) };
        let table = tables + active * table_len;
        let marked_dirty = sector[DIRTY[usize::from(!is_32)]] & DIRTY_BITS != 0;
        let (disk, table) = (volume.clone(), table..table + table_len);
        Ok(Some(Self { disk, width, cluster, table, root, data, clusters, marked_dirty }))
    }

    /// Whether the volume was unmounted, without errors.
    ///
    /// # Errors
    ///
    /// What reading the disk gives rise to.
    pub fn is_clean(&self) -> Result<bool> {
        let clean = self.width.clean();
        Ok(!self.marked_dirty && self.entry(1)? & clean == clean)
    }

    /// Calls `visit` with the runs of bytes of the volume that are free, in order.
    ///
    /// # Errors
    ///
    /// What reading the disk gives rise to.
    pub fn free_runs(&self, mut visit: impl FnMut(Range<u64>)) -> Result<()> {
        let mut to_bytes = |run: Range<u64>| visit(self.place(run.start)..self.place(run.end));
        let end = FIRST + self.clusters;
        let mut runs = ClearRuns::new(FIRST..end);
        let step = match self.width {
            // Two entries lie in three bytes, which a sector may part.
            Width::Bits12 => {
                for number in FIRST..end {
                    runs.bit(number, self.entry(number)? != 0, &mut to_bytes);
                }
                0
            }
            Width::Bits16 => 2,
            Width::Bits32 => 4,
        };
        let mut number = if step == 0 { end } else { 0 };
        while number < end {
            let len = CHUNK.min((end - number) * step);
            let mut bytes = vec![0; len as usize];
            self.disk.read_at(&mut bytes, self.table.start + number * step)?;
            for entry in bytes.chunks_exact(step as usize) {
                // The upper four bits of 32 are reserved.
                let used = match *entry {
                    [a, b] => u16::from_le_bytes([a, b]) != 0,
                    [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) << 4 != 0,
                    _ => true,
                };
                runs.bit(number, used, &mut to_bytes);
                number += 1;
            }
        }
        if let Some(last) = runs.finish() {
            to_bytes(last);
        }
        Ok(())
    }

    /// Where a cluster lies on the volume.
    fn place(&self, number: u64) -> u64 {
        self.data + (number - FIRST) * self.cluster
    }

    /// What the table says of a cluster.
    fn entry(&self, number: u64) -> Result<u64> {
        let mut bytes = [0; 4];
        let (at, len) = match self.width {
            Width::Bits12 => (number * 3 / 2, 2),
            Width::Bits16 => (number * 2, 2),
            Width::Bits32 => (number * 4, 4),
        };
        self.disk.read_at(&mut bytes[..len], self.table.start + at)?;
        let entry = u32::from_le_bytes(bytes);
        Ok(u64::from(match self.width {
            Width::Bits12 if number % 2 == 1 => entry >> 4,
            Width::Bits12 => entry & 0xfff,
            Width::Bits16 => entry,
            Width::Bits32 => entry & 0x0fff_ffff,
        }))
    }

    /// The clusters from `first` on, as far as `len` bytes need them.
    fn chain(&self, first: u64, len: u64) -> Result<Vec<u64>> {
        let mut chain = Vec::new();
        let mut next = first;
        while (chain.len() as u64) < len.div_ceil(self.cluster) && next < self.width.end() {
            if !(FIRST..FIRST + self.clusters).contains(&next) {
                let expected = format!("a cluster from {FIRST} to {}", FIRST + self.clusters - 1);
                return Err(damaged(&expected, next.to_string()));
            }
            chain.push(next);
            next = self.entry(next)?;
        }
        Ok(chain)
    }
}

fn damaged(expected: &str, found: String) -> Error {
    Error::Damaged { structure: "FAT volume", offset: 0, expected: expected.to_owned(), found }
}
