//! The on-disk structures of [MS-VHDX], field by field. All numbers are little-endian.

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A GUID as it stands on disk; see [`uuid::Uuid::from_bytes_le`].
pub(crate) type Guid = [u8; 16];

/// File type identifier, 2.2.1.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct FileTypeIdentifier {
    pub(crate) signature: [u8; 8],
    pub(crate) creator: [U16; 256],
}

/// Header, 2.2.2. Two of them: one is current.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) signature: [u8; 4],
    pub(crate) checksum: U32,
    pub(crate) sequence_number: U64,
    pub(crate) file_write_guid: Guid,
    pub(crate) data_write_guid: Guid,
    pub(crate) log_guid: Guid,
    pub(crate) log_version: U16,
    pub(crate) version: U16,
    pub(crate) log_length: U32,
    pub(crate) log_offset: U64,
    pub(crate) reserved: [u8; 4016],
}

/// Region table header, 2.2.3.1.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RegionTableHeader {
    pub(crate) signature: [u8; 4],
    pub(crate) checksum: U32,
    pub(crate) entry_count: U32,
    pub(crate) reserved: U32,
}

/// Region table entry, 2.2.3.2.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RegionTableEntry {
    pub(crate) guid: Guid,
    pub(crate) file_offset: U64,
    pub(crate) length: U32,
    pub(crate) required: U32,
}

/// Log entry header, 2.3.1.1.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct LogEntryHeader {
    pub(crate) signature: [u8; 4],
    pub(crate) checksum: U32,
    pub(crate) entry_length: U32,
    pub(crate) tail: U32,
    pub(crate) sequence_number: U64,
    pub(crate) descriptor_count: U32,
    pub(crate) reserved: U32,
    pub(crate) log_guid: Guid,
    pub(crate) flushed_file_offset: U64,
    pub(crate) last_file_offset: U64,
}

/// Log descriptor, 2.3.1.2 and 2.3.1.3: a data descriptor ("desc") or a zero descriptor ("zero").
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct LogDescriptor {
    pub(crate) signature: [u8; 4],
    /// The last four bytes of the sector, in a data descriptor.
    pub(crate) trailing_bytes: [u8; 4],
    /// The first eight bytes of the sector in a data descriptor; ZeroLength in a zero descriptor.
    pub(crate) leading_bytes: [u8; 8],
    pub(crate) file_offset: U64,
    pub(crate) sequence_number: U64,
}

/// Log data sector, 2.3.1.4.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct LogDataSector {
    pub(crate) signature: [u8; 4],
    pub(crate) sequence_high: U32,
    pub(crate) data: [u8; 4084],
    pub(crate) sequence_low: U32,
}

/// Metadata table header, 2.6.1.1.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct MetadataTableHeader {
    pub(crate) signature: [u8; 8],
    pub(crate) reserved: U16,
    pub(crate) entry_count: U16,
    pub(crate) reserved2: [u8; 20],
}

/// Metadata table entry, 2.6.1.2.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct MetadataTableEntry {
    pub(crate) item_id: Guid,
    pub(crate) offset: U32,
    pub(crate) length: U32,
    pub(crate) flags: U32,
    pub(crate) reserved: U32,
}

bitflags! {
    /// The flags of a metadata table entry.
    #[derive(Clone, Copy)]
    pub(crate) struct ItemFlags: u32 {
        const IS_USER = 1;
        const IS_VIRTUAL_DISK = 1 << 1;
        const IS_REQUIRED = 1 << 2;
        const _ = !0;
    }
}

/// File parameters, 2.6.2.1.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct FileParameters {
    pub(crate) block_size: U32,
    pub(crate) flags: U32,
}

bitflags! {
    /// The flags of the file parameters.
    #[derive(Clone, Copy)]
    pub(crate) struct FileFlags: u32 {
        const LEAVE_BLOCKS_ALLOCATED = 1;
        const HAS_PARENT = 1 << 1;
        const _ = !0;
    }
}

/// Parent locator header, 2.6.2.6.1.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ParentLocatorHeader {
    pub(crate) locator_type: Guid,
    pub(crate) reserved: U16,
    pub(crate) key_value_count: U16,
}

/// Parent locator entry, 2.6.2.6.2. Offsets count from the locator's first byte.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ParentLocatorEntry {
    pub(crate) key_offset: U32,
    pub(crate) value_offset: U32,
    pub(crate) key_length: U16,
    pub(crate) value_length: U16,
}

const _: () = {
    assert!(size_of::<FileTypeIdentifier>() == 520);
    assert!(size_of::<Header>() == 4096);
    assert!(size_of::<RegionTableHeader>() == 16);
    assert!(size_of::<RegionTableEntry>() == 32);
    assert!(size_of::<LogEntryHeader>() == 64);
    assert!(size_of::<LogDescriptor>() == 32);
    assert!(size_of::<LogDataSector>() == 4096);
    assert!(size_of::<MetadataTableHeader>() == 32);
    assert!(size_of::<MetadataTableEntry>() == 32);
    assert!(size_of::<FileParameters>() == 8);
    assert!(size_of::<ParentLocatorHeader>() == 20);
    assert!(size_of::<ParentLocatorEntry>() == 12);
};
