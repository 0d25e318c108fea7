//! GUID partition tables (UEFI Specification 2.10, chapter 5.3).

mod ends;
mod entries;
mod write;

pub use ends::{GptMove, grow_gpt, move_gpt};
pub(super) use write::Room;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::mbr::Mbr;
use crate::disk::Disk;
use crate::error::Result;

const SIGNATURE: [u8; 8] = *b"EFI PART";
/// Bytes of the fields of a header; "the CRC is computed over HeaderSize bytes", which may be more.
const HEADER: usize = size_of::<Header>();
/// Bytes of a partition entry array that are accepted: 128 entries of 128 bytes are 16 KiB.
const MAX_ARRAY: u64 = 1 << 20;
/// Bytes of an entry at least; the specification allows this by powers of two.
const ENTRY: usize = 128;

/// The header: table 5.5.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    signature: [u8; 8],
    revision: U32,
    header_size: U32,
    header_crc32: U32,
    reserved: U32,
    my_lba: U64,
    alternate_lba: U64,
    first_usable_lba: U64,
    last_usable_lba: U64,
    disk_guid: [u8; 16],
    partition_entry_lba: U64,
    number_of_partition_entries: U32,
    size_of_partition_entry: U32,
    partition_entry_array_crc32: U32,
}
const _: () = assert!(HEADER == 92);

/// A partition table, as one of its two copies gives it.
#[derive(Debug, Clone)]
pub struct Gpt {
    header: Header,
    /// The header's whole sector.
    sector: Vec<u8>,
    array: Vec<u8>,
    source: GptCopy,
}

/// The copies of a GUID partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GptCopy {
    /// At the beginning of the disk.
    Primary,
    /// At its end.
    Backup,
}

impl Gpt {
    /// Reads the table of `disk`: the primary one, or else the backup at the end. `None` when there is no valid copy, or
    /// when there is an MBR that names partitions and does not protect a GPT.
    ///
    /// # Errors
    ///
    /// What reading the disk gives rise to.
    pub fn read(disk: &Disk) -> Result<Option<Self>> {
        match Mbr::read(disk)? {
            Some(mbr) if !mbr.is_protective() && !mbr.is_empty() => Ok(None),
            _ => Self::read_either(disk),
        }
    }

    /// Reads it whatever the MBR says.
    pub(super) fn read_either(disk: &Disk) -> Result<Option<Self>> {
        let sectors = disk.size() / u64::from(disk.logical_sector_size());
        if let Some(primary) = Self::read_copy(disk, 1, GptCopy::Primary)? {
            return Ok(Some(primary));
        }
        Self::read_copy(disk, sectors.saturating_sub(1), GptCopy::Backup)
    }

    /// Whether the copy at the disk's end is there, and says the same.
    pub(super) fn has_backup(&self, disk: &Disk) -> Result<bool> {
        let last = (disk.size() / u64::from(disk.logical_sector_size())).saturating_sub(1);
        let backup = Self::read_copy(disk, last, GptCopy::Backup)?;
        Ok(backup.is_some_and(|it| it.header.disk_guid == self.header.disk_guid && it.array == self.array))
    }

    /// Which copy it was read from.
    pub fn source(&self) -> GptCopy {
        self.source
    }

    /// The first sectors of the partitions.
    pub(super) fn partition_starts(&self) -> impl Iterator<Item = u64> {
        self.used_entries().filter_map(|entry| lba_at(entry, 32))
    }

    /// The sectors behind the partitions.
    fn partition_ends(&self) -> impl Iterator<Item = u64> {
        self.used_entries().filter_map(|entry| lba_at(entry, 40)).map(|last| last.saturating_add(1))
    }

    fn used_entries(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.header.size_of_partition_entry.get() as usize;
        self.array.chunks_exact(size).filter(|entry| entry.get(..16).is_some_and(|kind| kind != [0; 16]))
    }

    fn read_copy(disk: &Disk, lba: u64, source: GptCopy) -> Result<Option<Self>> {
        let sector_size = u64::from(disk.logical_sector_size());
        let mut sector = vec![0; sector_size as usize];
        if lba >= disk.size() / sector_size {
            return Ok(None);
        }
        disk.read_at(&mut sector, lba * sector_size)?;
        let Ok((header, _)) = Header::read_from_prefix(&sector) else { return Ok(None) };
        let header_size = header.header_size.get() as usize;
        if header.signature != SIGNATURE
            || !(HEADER..=sector.len()).contains(&header_size)
            || header.my_lba != lba
            || header.header_crc32 != header_crc(&sector[..header_size])
        {
            return Ok(None);
        }
        let entry = u64::from(header.size_of_partition_entry.get());
        let bytes = u64::from(header.number_of_partition_entries.get()).checked_mul(entry);
        let start = header.partition_entry_lba.get().checked_mul(sector_size);
        let (Some(bytes), Some(start)) = (bytes.filter(|&n| n <= MAX_ARRAY), start) else { return Ok(None) };
        if entry < ENTRY as u64 || start.checked_add(bytes).is_none_or(|end| end > disk.size()) {
            return Ok(None);
        }
        let mut array = vec![0; bytes as usize];
        disk.read_at(&mut array, start)?;
        if header.partition_entry_array_crc32 != crc32fast::hash(&array) {
            return Ok(None);
        }
        Ok(Some(Self { header, sector, array, source }))
    }

    /// The sector of a header with other places, checksummed.
    fn sector(&self, change: impl FnOnce(&mut Header)) -> Vec<u8> {
        let mut header = self.header;
        change(&mut header);
        header.header_crc32 = 0.into();
        let mut sector = self.sector.clone();
        sector[..HEADER].copy_from_slice(header.as_bytes());
        let crc = header_crc(&sector[..header.header_size.get() as usize]);
        header.header_crc32 = crc.into();
        sector[..HEADER].copy_from_slice(header.as_bytes());
        sector
    }
}

/// A sector's number in an entry.
fn lba_at(entry: &[u8], at: usize) -> Option<u64> {
    entry.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
}

/// The header's checksum, over its bytes with the checksum's own taken for zero.
fn header_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..16]);
    hasher.update(&[0; 4]);
    hasher.update(&bytes[20..]);
    hasher.finalize()
}
