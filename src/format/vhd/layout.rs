//! On-disk structures. All integers are big-endian.

use std::mem::offset_of;

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a sector, whatever the disk.
pub(super) const SECTOR: u64 = 512;
/// The largest disk: 2040 GiB, beyond which the BAT's 32-bit sector numbers do not reach.
pub(super) const LARGEST: u64 = 0xFF00_0000 * SECTOR;
/// "This field is used to uniquely identify the original creator of the hard disk image."
pub(super) const FOOTER_COOKIE: [u8; 8] = *b"conectix";
/// What XenServer's tools put in its place while they change the image's size.
pub(super) const POISON_COOKIE: [u8; 8] = *b"v_poison";
/// What this library puts into the reserved bytes while it changes the size of a fixed disk.
const RESIZING: [u8; 8] = *b"resizing";
pub(super) const HEADER_COOKIE: [u8; 8] = *b"cxsparse";
/// What follows the BAT in XenServer's images.
pub(super) const BATMAP_COOKIE: [u8; 8] = *b"tdbatmap";
/// Version 1.0 of both the file format and the dynamic disk header: major in the upper half, minor in the lower.
pub(super) const VERSION_1_0: u32 = 0x0001_0000;
/// A BAT entry of a block that is not in the file.
pub(super) const UNUSED: u32 = 0xFFFF_FFFF;
/// Seconds from 1970 to 2000, the epoch of the format's timestamps.
pub(super) const EPOCH: i64 = 946_684_800;

pub(super) const FIXED: u32 = 2;
pub(super) const DYNAMIC: u32 = 3;
pub(super) const DIFFERENCING: u32 = 4;

bitflags::bitflags! {
    /// The footer's features.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Features: u32 {
        const TEMPORARY = 1;
        /// "This bit must always be set to 1."
        const RESERVED = 2;
    }
}

/// "Hard Disk Footer Format"; a dynamic or differencing disk begins with a copy of it.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Footer {
    pub(super) cookie: [u8; 8],
    pub(super) features: U32,
    pub(super) file_format_version: U32,
    pub(super) data_offset: U64,
    pub(super) time_stamp: U32,
    pub(super) creator_application: [u8; 4],
    pub(super) creator_version: U32,
    pub(super) creator_host_os: [u8; 4],
    pub(super) original_size: U64,
    pub(super) current_size: U64,
    pub(super) cylinders: U16,
    pub(super) heads: u8,
    pub(super) sectors: u8,
    pub(super) disk_type: U32,
    pub(super) checksum: U32,
    pub(super) unique_id: [u8; 16],
    pub(super) saved_state: u8,
    /// XenServer's mark of an image that is not to be shown; reserved in the specification.
    pub(super) hidden: u8,
    pub(super) reserved: [u8; 426],
}

/// "Dynamic Disk Header Format".
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct DynamicHeader {
    pub(super) cookie: [u8; 8],
    pub(super) data_offset: U64,
    pub(super) table_offset: U64,
    pub(super) header_version: U32,
    pub(super) max_table_entries: U32,
    pub(super) block_size: U32,
    pub(super) checksum: U32,
    pub(super) parent_unique_id: [u8; 16],
    pub(super) parent_time_stamp: U32,
    pub(super) reserved1: U32,
    /// UTF-16BE.
    pub(super) parent_unicode_name: [u8; 512],
    pub(super) parent_locators: [ParentLocator; 8],
    pub(super) reserved2: [u8; 256],
}

/// A parent locator entry of the dynamic disk header.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub(super) struct ParentLocator {
    pub(super) platform_code: [u8; 4],
    /// Sectors by the specification, bytes by most writers: nothing to rely on.
    pub(super) platform_data_space: U32,
    pub(super) platform_data_length: U32,
    pub(super) reserved: U32,
    pub(super) platform_data_offset: U64,
}

/// What begins XenServer's map of the blocks that are wholly written (blktap, `include/vhd.h`).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct BatmapHeader {
    pub(super) cookie: [u8; 8],
    pub(super) batmap_offset: U64,
    /// In sectors.
    pub(super) batmap_size: U32,
    pub(super) batmap_version: U32,
    pub(super) checksum: U32,
    pub(super) reserved: [u8; 484],
}

const _: () = assert!(size_of::<BatmapHeader>() == 512);
const _: () = assert!(size_of::<Footer>() == 512);
const _: () = assert!(size_of::<DynamicHeader>() == 1024);
const _: () = assert!(size_of::<ParentLocator>() == 24);

impl Footer {
    /// The checksum that the other fields give.
    pub(super) fn computed_checksum(&self) -> u32 {
        checksum(self.as_bytes(), offset_of!(Self, checksum))
    }

    /// The same with the mark of a fixed disk whose size is being changed: what the file holds beyond the disk is no
    /// one's. The mark lies in reserved bytes, for as long as the change takes, and names the place `at` of the footer.
    pub(super) fn marked(mut self, at: u64) -> Self {
        self.reserved[..8].copy_from_slice(&RESIZING);
        self.reserved[8..16].copy_from_slice(&at.to_be_bytes());
        self
    }

    /// The same without that mark.
    pub(super) fn unmarked(mut self) -> Self {
        if self.mark().is_some() {
            self.reserved[..16].fill(0);
        }
        self
    }

    /// The place that the mark names, if there is one.
    pub(super) fn mark(&self) -> Option<u64> {
        let (mark, rest) = self.reserved.split_first_chunk()?;
        let at = rest.first_chunk().map(|at| u64::from_be_bytes(*at));
        at.filter(|_| *mark == RESIZING && self.disk_type == FIXED)
    }

    /// Whether XenServer's tools made the image.
    pub(super) fn is_tap(&self) -> bool {
        self.creator_application.starts_with(b"tap")
    }
}

impl DynamicHeader {
    /// The checksum that the other fields give.
    pub(super) fn computed_checksum(&self) -> u32 {
        checksum(self.as_bytes(), offset_of!(Self, checksum))
    }
}

/// "Checksum": the one's complement of the sum of all bytes but those of the checksum field itself.
fn checksum(structure: &[u8], field: usize) -> u32 {
    let bytes = structure.iter().enumerate().filter(|(at, _)| !(field..field + 4).contains(at));
    !bytes.map(|(_, &byte)| u32::from(byte)).sum::<u32>()
}
