//! Writing VHDXs, from front to back.
//!
//! The layout is the one of Windows: header section, log, metadata region, BAT region, payload blocks in the order in
//! which they are needed. The file type identifier comes last, so that a cut file is no disk.

use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;
use zerocopy::{FromZeros, IntoBytes};

use super::header::{self, HEADER_SECTION};
use super::layout::{
    FileFlags, FileParameters, FileTypeIdentifier, Header, ItemFlags, MetadataTableEntry,
    MetadataTableHeader, RegionTableEntry, RegionTableHeader,
};
use super::metadata::{self, MAX_BLOCK, MAX_SIZE, MIN_BLOCK};
use super::region;
use crate::MIB;
use crate::disk::sink::{Encoding, Packet, Sink};
use crate::disk::table::TableWriter;
use crate::error::{Error, Result};
use crate::format::Allocation;
use crate::storage::WritableFile;

/// What Windows takes for a dynamic disk, and the only size that Citrix tests.
pub(crate) const DEFAULT_BLOCK_SIZE: u64 = 32 * MIB;
const LOG_LENGTH: u64 = MIB;
const METADATA_OFFSET: u64 = HEADER_SECTION + LOG_LENGTH;
const METADATA_LENGTH: u64 = MIB;
const BAT_OFFSET: u64 = METADATA_OFFSET + METADATA_LENGTH;
/// Entries of the BAT that are written at once.
const BAT_PAGE: u64 = 4096;
/// Runs of zeros of this many bytes stay holes of the file.
const GRAIN: u64 = 4096;
/// PAYLOAD_BLOCK_FULLY_PRESENT.
const FULLY_PRESENT: u64 = 6;

/// A VHDX being written.
pub(crate) struct Vhdx {
    file: WritableFile,
    allocation: Allocation,
    size: u64,
    sector_size: u32,
    block_size: u64,
    /// Payload blocks of a chunk.
    chunk_ratio: u64,
    bat_length: u64,
    bat: TableWriter,
    /// The block that data come for, and where it lies in the file.
    block: Option<(u64, u64)>,
    /// The first byte after what has its place.
    next: u64,
}

impl Vhdx {
    /// A disk of `size` bytes.
    pub(crate) fn new(
        file: WritableFile,
        allocation: Allocation,
        size: u64,
        sector_size: u32,
        block_size: u64,
    ) -> Result<Self> {
        let refuse = |what: String| Err(Error::Unsupported { what });
        let size = size.next_multiple_of(sector_size.into());
        if !(1..=MAX_SIZE).contains(&size) {
            return refuse(format!("a VHDX holds 1 to {MAX_SIZE} bytes, and the disk has {size}"));
        }
        if !block_size.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block_size) {
            return refuse(format!(
                "a block size of {block_size} bytes: a VHDX takes a power of two from 1 to 256 MiB"
            ));
        }
        // 2.5: the chunk ratio, and an entry of a sector bitmap block after each full chunk.
        let chunk_ratio = (1 << 23) * u64::from(sector_size) / block_size;
        let blocks = size.div_ceil(block_size);
        let entries = blocks + (blocks - 1) / chunk_ratio;
        let bat_length = (entries * 8).next_multiple_of(MIB);
        let payload = BAT_OFFSET + bat_length;
        let next = match allocation {
            Allocation::Dynamic => payload,
            Allocation::Fixed => payload + blocks * block_size,
        };
        file.set_size(next)?;
        let bat = TableWriter::new(BAT_PAGE, 8, 0);
        Ok(Self {
            file,
            allocation,
            size,
            sector_size,
            block_size,
            chunk_ratio,
            bat_length,
            bat,
            block: None,
            next,
        })
    }

    /// The index of a payload block's entry.
    fn index(&self, block: u64) -> u64 {
        block + block / self.chunk_ratio
    }

    /// Where `block` lies; a block of a dynamic disk that data come for first gets its place.
    fn place(&mut self, block: u64) -> Result<u64> {
        if let Some((current, place)) = self.block
            && current == block
        {
            return Ok(place);
        }
        let place = match self.allocation {
            Allocation::Fixed => BAT_OFFSET + self.bat_length + block * self.block_size,
            Allocation::Dynamic => {
                let place = self.next;
                self.next += self.block_size;
                self.record(block, place)?;
                place
            }
        };
        self.block = Some((block, place));
        Ok(place)
    }

    /// Notes in the BAT that `block` is at `place`, which is a multiple of a MiB.
    fn record(&mut self, block: u64, place: u64) -> Result<()> {
        let index = self.index(block);
        self.turn_to(Some(index))?;
        self.bat.set(index, &(place | FULLY_PRESENT).to_le_bytes());
        Ok(())
    }

    /// Goes on to the page of the BAT that holds entry `index`, and writes the one that was left behind.
    fn turn_to(&mut self, index: Option<u64>) -> Result<()> {
        let file = &self.file;
        self.bat.turn_to(index, |page, bytes| file.write_all_at(bytes, BAT_OFFSET + page * BAT_PAGE * 8))
    }

    fn write_metadata(&self) -> Result<()> {
        // Packed one after the other, as Windows does. The flags: 2.6.1.2 and the items' own sections.
        let virtual_disk = ItemFlags::IS_VIRTUAL_DISK | ItemFlags::IS_REQUIRED;
        let flags = match self.allocation {
            Allocation::Fixed => FileFlags::LEAVE_BLOCKS_ALLOCATED,
            Allocation::Dynamic => FileFlags::empty(),
        };
        let parameters =
            FileParameters { block_size: (self.block_size as u32).into(), flags: flags.bits().into() };
        let sector_size = self.sector_size.to_le_bytes();
        // Guests of 512-byte disks are told to write 4 KiB at a time, as by Windows.
        let physical = 4096_u32.to_le_bytes();
        let id = Uuid::new_v4().to_bytes_le();
        let size = self.size.to_le_bytes();
        let items: [(Uuid, ItemFlags, &[u8]); 5] = [
            (metadata::FILE_PARAMETERS.id, ItemFlags::IS_REQUIRED, parameters.as_bytes()),
            (metadata::VIRTUAL_DISK_SIZE.id, virtual_disk, &size),
            (metadata::LOGICAL_SECTOR_SIZE.id, virtual_disk, &sector_size),
            (metadata::PHYSICAL_SECTOR_SIZE.id, virtual_disk, &physical),
            (metadata::VIRTUAL_DISK_ID.id, virtual_disk, &id),
        ];
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
        self.file.write_all_at(&bytes, METADATA_OFFSET)
    }

    fn write_regions(&self) -> Result<()> {
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
        region::OFFSETS.into_iter().try_for_each(|offset| self.file.write_all_at(&bytes, offset))
    }

    /// Two valid headers with different sequence numbers; the log is empty.
    fn write_headers(&self) -> Result<()> {
        let (file_write, data_write) = (Uuid::new_v4().to_bytes_le(), Uuid::new_v4().to_bytes_le());
        (1_u64..).zip(header::OFFSETS).try_for_each(|(sequence_number, offset)| {
            let mut header = Header::new_zeroed();
            header.signature = *b"head";
            header.sequence_number = sequence_number.into();
            header.file_write_guid = file_write;
            header.data_write_guid = data_write;
            header.version = header::VERSION.into();
            header.log_length = (LOG_LENGTH as u32).into();
            header.log_offset = HEADER_SECTION.into();
            header.checksum = crc32c::crc32c(header.as_bytes()).into();
            self.file.write_all_at(header.as_bytes(), offset)
        })
    }

    fn write_identifier(&self) -> Result<()> {
        let mut identifier = FileTypeIdentifier::new_zeroed();
        identifier.signature = *header::SIGNATURE;
        let creator = concat!("diskport ", env!("CARGO_PKG_VERSION"));
        identifier.creator.iter_mut().zip(creator.encode_utf16()).for_each(|(to, unit)| *to = unit.into());
        self.file.write_all_at(identifier.as_bytes(), 0)
    }
}

impl Sink for Vhdx {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: GRAIN }
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        let file = self.file.clone();
        packet.write_blocks(&file, self.block_size, |block| self.place(block))
    }

    fn finish(&mut self) -> Result<()> {
        if self.allocation == Allocation::Fixed {
            let payload = BAT_OFFSET + self.bat_length;
            for block in 0..self.size.div_ceil(self.block_size) {
                self.record(block, payload + block * self.block_size)?;
            }
        }
        self.turn_to(None)?;
        self.file.set_size(self.next)?;
        self.write_metadata()?;
        self.write_regions()?;
        self.write_headers()?;
        self.write_identifier()
    }
}
