//! A new file without payload.

use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;
use zerocopy::{FromZeros, IntoBytes};

use super::bat;
use super::header::{self, HEADER_SECTION};
use super::layout::{
    FileFlags, FileParameters, FileTypeIdentifier, Header, ItemFlags, MetadataTableEntry,
    MetadataTableHeader, RegionTableEntry, RegionTableHeader,
};
use super::metadata::{self, MAX_BLOCK, MAX_SIZE, MIN_BLOCK};
use super::region;
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::leaves::Ids;
use crate::leaves::MIB;

const LOG_LENGTH: u64 = MIB;
const METADATA_OFFSET: u64 = HEADER_SECTION + LOG_LENGTH;
const METADATA_LENGTH: u64 = MIB;
pub(super) const BAT_OFFSET: u64 = METADATA_OFFSET + METADATA_LENGTH;

/// The identifiers of a new file.
pub(super) struct Guids {
    disk: Uuid,
    file_write: Uuid,
    data_write: Uuid,
}

impl Guids {
    /// Those of a file of the virtual disk `disk`.
    pub(super) fn new(disk: Uuid, ids: &mut Ids) -> Self {
        Self { disk, file_write: ids.guid(), data_write: ids.guid() }
    }
}

/// The shape of a new file.
pub(super) struct Skeleton {
    pub(super) size: u64,
    pub(super) block_size: u64,
    sector_size: u32,
    pub(super) physical_sector_size: u32,
    flags: FileFlags,
    bat_length: u64,
}

impl Skeleton {
    /// A file for a disk of `size` bytes, rounded up to whole sectors.
    pub(super) fn new(size: u64, sector_size: u32, block_size: u64, flags: FileFlags) -> Result<Self> {
        let size = check_size(size, sector_size)?;
        if !block_size.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block_size) {
            return Err(Error::Unsupported {
                what: format!(
                    "a block size of {block_size} bytes: a VHDX takes a power of two from 1 to 256 MiB"
                ),
            });
        }
        // Guests of 512-byte disks are told to write 4 KiB at a time, as by Windows.
        let physical_sector_size = 4096;
        let mut skeleton = Self { size, block_size, sector_size, physical_sector_size, flags, bat_length: 0 };
        skeleton.leave_room_for(size);
        Ok(skeleton)
    }

    /// Makes the BAT region large enough for a disk of `size` bytes.
    pub(super) fn leave_room_for(&mut self, size: u64) {
        let (block_shift, sector_shift) =
            (self.block_size.trailing_zeros(), self.sector_size.trailing_zeros());
        let entries =
            bat::entries(size, block_shift, sector_shift, self.flags.contains(FileFlags::HAS_PARENT));
        self.bat_length = (entries * 8).next_multiple_of(MIB);
    }

    /// The number of payload blocks.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block_size)
    }

    /// The index of a payload block's entry in the BAT.
    pub(super) fn index(&self, block: u64) -> u64 {
        block + block / ((1 << 23) * u64::from(self.sector_size) / self.block_size)
    }

    /// The first byte behind all of it.
    pub(super) fn end(&self) -> u64 {
        BAT_OFFSET + self.bat_length
    }

    /// All but BAT and payload, in the order of the file; the first part makes the file a VHDX.
    pub(super) fn parts(&self, guids: &Guids, locator: Option<&[u8]>) -> Vec<(u64, Vec<u8>)> {
        let mut parts = vec![(0, identifier())];
        parts.extend(headers(guids));
        let regions = self.regions();
        parts.extend(region::OFFSETS.into_iter().map(|offset| (offset, regions.clone())));
        parts.push((METADATA_OFFSET, self.metadata(guids.disk, locator)));
        parts
    }

    fn metadata(&self, id: Uuid, locator: Option<&[u8]>) -> Vec<u8> {
        // Packed one after the other, as Windows does. The flags: 2.6.1.2 and the items' own sections.
        let virtual_disk = ItemFlags::IS_VIRTUAL_DISK | ItemFlags::IS_REQUIRED;
        let parameters =
            FileParameters { block_size: (self.block_size as u32).into(), flags: self.flags.bits().into() };
        let sector_size = self.sector_size.to_le_bytes();
        let physical = self.physical_sector_size.to_le_bytes();
        let id = id.to_bytes_le();
        let size = self.size.to_le_bytes();
        let mut items: Vec<(Uuid, ItemFlags, &[u8])> = vec![
            (metadata::FILE_PARAMETERS.id, ItemFlags::IS_REQUIRED, parameters.as_bytes()),
            (metadata::VIRTUAL_DISK_SIZE.id, virtual_disk, &size),
            (metadata::LOGICAL_SECTOR_SIZE.id, virtual_disk, &sector_size),
            (metadata::PHYSICAL_SECTOR_SIZE.id, virtual_disk, &physical),
            (metadata::VIRTUAL_DISK_ID.id, virtual_disk, &id),
        ];
        items.extend(locator.map(|locator| (metadata::PARENT_LOCATOR.id, ItemFlags::IS_REQUIRED, locator)));
        let mut table = MetadataTableHeader::new_zeroed();
        table.signature = *b"metadata";
        table.entry_count = (items.len() as u16).into();
        let mut bytes = table.as_bytes().to_vec();
        let mut content = Vec::new();
        for (id, flags, item) in items {
            let entry = MetadataTableEntry {
                item_id: id.to_bytes_le(),
                offset: (metadata::TABLE as u32 + content.len() as u32).into(),
                length: (item.len() as u32).into(),
                flags: flags.bits().into(),
                reserved: 0.into(),
            };
            bytes.extend_from_slice(entry.as_bytes());
            content.extend_from_slice(item);
        }
        bytes.resize(metadata::TABLE as usize, 0);
        bytes.extend_from_slice(&content);
        bytes
    }

    fn regions(&self) -> Vec<u8> {
        // Both marked as required: VirtualBox refuses files in which they are not.
        let region = |guid: Uuid, offset: u64, length: u64| RegionTableEntry {
            guid: guid.to_bytes_le(),
            file_offset: offset.into(),
            length: (length as u32).into(),
            required: 1.into(),
        };
        let entries = [
            region(region::BAT, BAT_OFFSET, self.bat_length),
            region(region::METADATA, METADATA_OFFSET, METADATA_LENGTH),
        ];
        let mut table = RegionTableHeader::new_zeroed();
        table.signature = *b"regi";
        table.entry_count = (entries.len() as u32).into();
        let mut bytes = table.as_bytes().to_vec();
        entries.iter().for_each(|entry| bytes.extend_from_slice(entry.as_bytes()));
        bytes.resize(region::TABLE, 0);
        let crc = crc32c::crc32c(&bytes);
        LittleEndian::write_u32(&mut bytes[4..8], crc);
        bytes
    }
}

/// The virtual size rounded up to whole sectors, if a VHDX can be so large.
pub(super) fn check_size(size: u64, sector_size: u32) -> Result<u64> {
    let whole = size.checked_next_multiple_of(sector_size.into()).unwrap_or(u64::MAX);
    if (1..=MAX_SIZE).contains(&whole) {
        return Ok(whole);
    }
    Err(Error::SizeLimit { format: Format::Vhdx, size, limit: format!("it takes 1 to {MAX_SIZE} bytes") })
}

/// Two valid headers with different sequence numbers; the log is empty.
fn headers(guids: &Guids) -> impl Iterator<Item = (u64, Vec<u8>)> {
    (1_u64..).zip(header::OFFSETS).map(|(sequence_number, offset)| {
        let mut header = Header::new_zeroed();
        header.signature = *b"head";
        header.sequence_number = sequence_number.into();
        header.file_write_guid = guids.file_write.to_bytes_le();
        header.data_write_guid = guids.data_write.to_bytes_le();
        header.version = header::VERSION.into();
        header.log_length = (LOG_LENGTH as u32).into();
        header.log_offset = HEADER_SECTION.into();
        header.checksum = crc32c::crc32c(header.as_bytes()).into();
        (offset, header.as_bytes().to_vec())
    })
}

fn identifier() -> Vec<u8> {
    let mut identifier = FileTypeIdentifier::new_zeroed();
    identifier.signature = *header::SIGNATURE;
    let creator = concat!("diskport ", env!("CARGO_PKG_VERSION"));
    identifier.creator.iter_mut().zip(creator.encode_utf16()).for_each(|(to, unit)| *to = unit.into());
    identifier.as_bytes().to_vec()
}
