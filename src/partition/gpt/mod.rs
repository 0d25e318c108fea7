//! GUID partition tables (UEFI Specification 2.10, chapter 5.3).

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::disk::{Disk, Patch};
use crate::error::{Error, Result};

const SIGNATURE: [u8; 8] = *b"EFI PART";
/// Bytes of the fields of a header; "the CRC is computed over HeaderSize bytes", which may be more.
const HEADER: usize = size_of::<Header>();
/// Bytes of a partition entry array that are accepted: 128 entries of 128 bytes are 16 KiB.
const MAX_ARRAY: u64 = 1 << 20;
/// The type of the protective MBR's partition.
const PROTECTIVE: u8 = 0xee;

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
    /// Reads the table of `disk`: the primary one, or else the backup at the end. `None` when there is no valid copy.
    ///
    /// # Errors
    ///
    /// What reading the disk gives rise to.
    pub fn read(disk: &Disk) -> Result<Option<Self>> {
        let sectors = disk.size() / u64::from(disk.logical_sector_size());
        if let Some(primary) = Self::read_copy(disk, 1, GptCopy::Primary)? {
            return Ok(Some(primary));
        }
        Self::read_copy(disk, sectors.saturating_sub(1), GptCopy::Backup)
    }

    /// Which copy it was read from.
    pub fn source(&self) -> GptCopy {
        self.source
    }

    /// The first sectors of the partitions.
    pub(super) fn partition_starts(&self) -> impl Iterator<Item = u64> {
        let size = self.header.size_of_partition_entry.get() as usize;
        let used = |entry: &&[u8]| entry.get(..16).is_some_and(|kind| kind != [0; 16]);
        let start =
            |entry: &[u8]| entry.get(32..40).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        self.array.chunks_exact(size).filter(used).filter_map(start)
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
        if entry < 128 || start.checked_add(bytes).is_none_or(|end| end > disk.size()) {
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

/// The header's checksum, over its bytes with the checksum's own taken for zero.
fn header_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..16]);
    hasher.update(&[0; 4]);
    hasher.update(&bytes[20..]);
    hasher.finalize()
}

/// What changes when `disk` is given `size` bytes, which are not fewer than it has: the backup table moves to the new end, both
/// headers and the protective MBR say so, and the old backup is wiped. `None` when the disk has no GPT.
///
/// # Errors
///
/// [`Error::OutputTooSmall`], [`Error::Unsupported`] for a size that is no whole number of sectors, [`Error::Layout`]
/// for a table that leaves no room for itself, and what reading the disk gives rise to.
pub fn grow_gpt(disk: &Disk, size: u64) -> Result<Option<Vec<Patch>>> {
    if size < disk.size() {
        return Err(Error::OutputTooSmall { needed: disk.size(), given: size });
    }
    let sector = u64::from(disk.logical_sector_size());
    if !size.is_multiple_of(sector) {
        let what = format!("a size of {size} bytes is not a whole number of sectors of {sector} bytes");
        return Err(Error::Unsupported { what });
    }
    let Some(gpt) = Gpt::read(disk)? else { return Ok(None) };
    let last = size / sector - 1;
    let array_sectors = (gpt.array.len() as u64).div_ceil(sector);
    let primary_array = match gpt.source {
        GptCopy::Primary => gpt.header.partition_entry_lba.get(),
        GptCopy::Backup => 2,
    };
    let first_usable = gpt.header.first_usable_lba.get();
    let last_usable = gpt.header.last_usable_lba.get();
    let backup_array = last.checked_sub(array_sectors).filter(|&array| array > last_usable);
    let room_in_front = primary_array >= 2 && primary_array + array_sectors <= first_usable;
    let (Some(backup_array), true) = (backup_array, room_in_front) else {
        let reason = format!(
            "the GPT leaves no room for its copies: partitions may use the sectors {first_usable} to {last_usable}, \
             the table itself takes {array_sectors} at {primary_array} and before the last sector, {last}"
        );
        return Err(Error::Layout { reason });
    };
    let places = |header: &mut Header, my: u64, alternate: u64, array: u64| {
        header.my_lba = my.into();
        header.alternate_lba = alternate.into();
        header.partition_entry_lba = array.into();
        header.last_usable_lba = (backup_array - 1).into();
    };
    let mut array = gpt.array.clone();
    array.resize((array_sectors * sector) as usize, 0);

    let mut patches = old_backups(disk, &gpt, backup_array)?;
    patches.extend(protective_mbr(disk, last)?);
    patches
        .push(Patch { offset: sector, bytes: gpt.sector(|header| places(header, 1, last, primary_array)) });
    if gpt.source == GptCopy::Backup {
        patches.push(Patch { offset: primary_array * sector, bytes: gpt.array.clone() });
    }
    patches.push(Patch { offset: backup_array * sector, bytes: array });
    patches.push(Patch {
        offset: last * sector,
        bytes: gpt.sector(|header| places(header, last, 1, backup_array)),
    });
    Ok(Some(patches))
}

/// Zeros over the backups that are left behind: the one at the disk's present end, and the one that the primary table
/// names, which is elsewhere on a disk that grew before. As far as the new one (from the sector `new` on) does not cover them.
fn old_backups(disk: &Disk, gpt: &Gpt, new: u64) -> Result<Vec<Patch>> {
    let sector = u64::from(disk.logical_sector_size());
    let last_usable = gpt.header.last_usable_lba.get();
    let mut places = [gpt.header.alternate_lba.get(), disk.size() / sector - 1];
    places.sort_unstable();
    let mut patches = Vec::new();
    let mut free = last_usable + 1;
    for old in places {
        // One that lies among the partitions is none of ours.
        if old < free || old >= disk.size() / sector {
            continue;
        }
        let Some(backup) = Gpt::read_copy(disk, old, GptCopy::Backup)? else { continue };
        let start = backup.header.partition_entry_lba.get();
        let start = if (free..old).contains(&start) { start } else { old };
        let end = (old + 1).min(new);
        let len = (end.saturating_sub(start) * sector).min(MAX_ARRAY + sector);
        patches.push(Patch { offset: start * sector, bytes: vec![0; len as usize] });
        free = old + 1;
    }
    Ok(patches)
}

/// The protective MBR with the partition's size up to the new last sector, if there is such a partition.
fn protective_mbr(disk: &Disk, last: u64) -> Result<Option<Patch>> {
    let mut mbr = [0; 512];
    disk.read_at(&mut mbr, 0)?;
    if mbr[510..] != [0x55, 0xaa] {
        return Ok(None);
    }
    // Table 5.4: SizeInLBA is the size of the disk minus one, or FFFFFFFF where that does not fit.
    let size = u32::try_from(last).unwrap_or(u32::MAX);
    let entry =
        (446..510).step_by(16).find(|&at| mbr[at + 4] == PROTECTIVE && mbr[at + 8..at + 12] == [1, 0, 0, 0]);
    Ok(entry.map(|at| {
        mbr[at + 12..at + 16].copy_from_slice(&size.to_le_bytes());
        Patch { offset: 0, bytes: mbr.to_vec() }
    }))
}
