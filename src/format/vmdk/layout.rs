//! On-disk structures of the sparse extents.
//!
//! Hosted sparse and COWD extents: "Virtual Disk Format 5.0" (VMware), sections "Hosted Sparse Extents", "Stream
//! Optimized Compressed Sparse Extents" and "ESX Server Sparse Extents". seSparse has no public specification;
//! the names are those of qemu's `block/vmdk.c`. Everything is little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a sector: the unit of every offset and size in these structures.
pub(crate) const SECTOR: u64 = 512;

/// The first bytes of a hosted sparse extent.
pub(crate) const KDMV: [u8; 4] = *b"KDMV";
/// What open-vmdk writes in their place until the file is whole: each letter with bit 5 flipped.
pub(crate) const KDMV_UNFINISHED: [u8; 4] = *b"kdmv";
/// The first bytes of an ESX sparse extent.
pub(crate) const COWD: [u8; 4] = *b"COWD";
/// The first eight bytes of an seSparse extent.
pub(crate) const SESPARSE: u64 = 0xcafe_babe;
/// The first eight bytes of its volatile header.
pub(crate) const SESPARSE_VOLATILE: u64 = 0xcafe_cafe;
/// Major version 2, minor version 1: the only one seen.
pub(crate) const SESPARSE_VERSION: u64 = 0x2_0000_0001;

/// `gdOffset` of a streamOptimized extent whose grain directory is found through the footer.
pub(crate) const GD_AT_END: u64 = u64::MAX;
/// A grain table entry of a grain that is not stored.
pub(crate) const GTE_UNALLOCATED: u32 = 0;
/// A grain table entry of a grain of zeros, where [`HeaderFlags::ZEROED_GRAINS`] is set.
pub(crate) const GTE_ZEROED: u32 = 1;
/// Entries of a hosted extent's grain table, as every writer has it.
pub(crate) const GTES_PER_GT: u32 = 512;
/// Entries of a COWD extent's grain table.
pub(crate) const COWD_GTES_PER_GT: u32 = 4096;
/// The value of `compressAlgorithm` for grains as they are.
pub(crate) const COMPRESSION_NONE: u16 = 0;
/// The value of `compressAlgorithm` for RFC 1950 (zlib).
pub(crate) const COMPRESSION_DEFLATE: u16 = 1;
/// `singleEndLineChar`, `nonEndLineChar`, `doubleEndLineChar1` and `2`: a transfer in text mode changes them.
pub(crate) const NEWLINE_TEST: [u8; 4] = *b"\n \r\n";

bitflags::bitflags! {
    /// The flags of a hosted sparse extent's header.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct HeaderFlags: u32 {
        /// The newline test bytes are valid.
        const NEWLINE_TEST = 1;
        /// The redundant grain directory and its tables are used.
        const REDUNDANT_TABLES = 1 << 1;
        /// A grain table entry of 1 means a grain of zeros.
        const ZEROED_GRAINS = 1 << 2;
        /// Grains are compressed.
        const COMPRESSED = 1 << 16;
        /// Grains and tables are preceded by markers.
        const MARKERS = 1 << 17;
    }
}

/// Flags that a reader must know: those not among [`HeaderFlags`] are incompatible.
pub(crate) const INCOMPATIBLE_FLAGS: u32 = 0xffff_0000;

/// The header, and the footer, of a hosted sparse extent. Offsets and sizes are in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SparseExtentHeader {
    pub(crate) magic: [u8; 4],
    pub(crate) version: U32,
    pub(crate) flags: U32,
    pub(crate) capacity: U64,
    pub(crate) grain_size: U64,
    pub(crate) descriptor_offset: U64,
    pub(crate) descriptor_size: U64,
    pub(crate) num_gtes_per_gt: U32,
    pub(crate) rgd_offset: U64,
    pub(crate) gd_offset: U64,
    pub(crate) over_head: U64,
    pub(crate) unclean_shutdown: u8,
    pub(crate) newline_test: [u8; 4],
    pub(crate) compress_algorithm: U16,
    pub(crate) pad: [u8; 433],
}
const _: () = assert!(size_of::<SparseExtentHeader>() as u64 == SECTOR);

/// What stands before each grain, table and footer of a streamOptimized extent.
///
/// Of a compressed grain (`size` not 0), `value` is its first virtual sector, and the compressed bytes begin where
/// `kind` is: only the first [`GRAIN_MARKER`] bytes are the marker. Of everything else `size` is 0, `value` counts
/// the sectors that follow, and the marker fills its sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Marker {
    pub(crate) value: U64,
    pub(crate) size: U32,
    pub(crate) kind: U32,
    pub(crate) pad: [u8; 496],
}
const _: () = assert!(size_of::<Marker>() as u64 == SECTOR);

/// Bytes of a marker before the compressed grain.
pub(crate) const GRAIN_MARKER: u64 = 12;

/// [`Marker::kind`]: nothing follows.
pub(crate) const MARKER_END_OF_STREAM: u32 = 0;
/// A grain table follows.
pub(crate) const MARKER_GRAIN_TABLE: u32 = 1;
/// The grain directory follows.
pub(crate) const MARKER_GRAIN_DIRECTORY: u32 = 2;
/// The footer follows.
pub(crate) const MARKER_FOOTER: u32 = 3;
/// Progress of the writer, of which nothing follows; not in the specification, written by vSphere.
pub(crate) const MARKER_PROGRESS: u32 = 4;

/// The header of an ESX sparse extent (vmfsSparse). Offsets and sizes are in sectors.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct CowdHeader {
    pub(crate) magic: [u8; 4],
    pub(crate) version: U32,
    pub(crate) flags: U32,
    pub(crate) num_sectors: U32,
    pub(crate) grain_size: U32,
    pub(crate) gd_offset: U32,
    pub(crate) num_gd_entries: U32,
    pub(crate) free_sector: U32,
    /// Geometry of a root, or file name and generation of a child's parent.
    pub(crate) parent: [u8; 1028],
    pub(crate) generation: U32,
    pub(crate) name: [u8; 60],
    pub(crate) description: [u8; 512],
    pub(crate) saved_generation: U32,
    pub(crate) reserved: [u8; 8],
    pub(crate) unclean_shutdown: U32,
    pub(crate) pad: [u8; 396],
}
const _: () = assert!(size_of::<CowdHeader>() == 2048);

/// A part of an seSparse extent, in sectors.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SeSparseArea {
    pub(crate) offset: U64,
    pub(crate) size: U64,
}

/// The constant header of an seSparse extent. Offsets and sizes are in sectors.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SeSparseHeader {
    pub(crate) magic: U64,
    pub(crate) version: U64,
    pub(crate) capacity: U64,
    pub(crate) grain_size: U64,
    pub(crate) grain_table_size: U64,
    pub(crate) flags: U64,
    pub(crate) reserved: [U64; 4],
    pub(crate) volatile_header: SeSparseArea,
    pub(crate) journal_header: SeSparseArea,
    pub(crate) journal: SeSparseArea,
    pub(crate) grain_directory: SeSparseArea,
    pub(crate) grain_tables: SeSparseArea,
    pub(crate) free_bitmap: SeSparseArea,
    pub(crate) backmap: SeSparseArea,
    pub(crate) grains: SeSparseArea,
    pub(crate) pad: [u8; 304],
}
const _: () = assert!(size_of::<SeSparseHeader>() as u64 == SECTOR);

/// The volatile header of an seSparse extent.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SeSparseVolatileHeader {
    pub(crate) magic: U64,
    pub(crate) free_gt_number: U64,
    pub(crate) next_txn_seq_number: U64,
    pub(crate) replay_journal: U64,
    pub(crate) pad: [u8; 480],
}
const _: () = assert!(size_of::<SeSparseVolatileHeader>() as u64 == SECTOR);
