//! The on-disk structures, field by field. All numbers are little-endian; offsets of cells count from the end of the
//! base block.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the base block; the hive bins follow.
pub(super) const BINS: u64 = 0x1000;
/// Bins are as long as a multiple of this.
pub(super) const BIN_UNIT: u32 = 0x1000;
/// What stands for no cell.
pub(super) const NIL: u32 = u32::MAX;
/// The longest data in one cell; longer data lies in several, listed by a big data record, from version 1.4 on.
pub(super) const SEGMENT: usize = 16344;
/// The first minor version in which data can lie in several cells.
pub(super) const BIG_DATA: u32 = 4;
/// Set in the size of data that stands in the place of its offset.
pub(super) const INLINE: u32 = 1 << 31;
/// Flag of a base block: there are transactions, or may be. Hives of systems that were shut down have it.
pub(super) const TRANSACTIONS: u32 = 1;
/// Flags of a root key: it is one, it is where a hive begins, and it cannot be deleted.
pub(super) const ROOT: u16 = 0x0c;
/// Flag of a key: its name is one byte a character.
pub(super) const KEY_COMP_NAME: u16 = 0x20;
/// Flag of a value: its name is one byte a character.
pub(super) const VALUE_COMP_NAME: u16 = 1;

/// The fields of the base block; those of a log's too.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct BaseBlock {
    pub(super) signature: [u8; 4],
    pub(super) primary_sequence: U32,
    pub(super) secondary_sequence: U32,
    pub(super) last_written: U64,
    pub(super) major: U32,
    pub(super) minor: U32,
    pub(super) file_type: U32,
    pub(super) file_format: U32,
    pub(super) root: U32,
    pub(super) bins_size: U32,
    pub(super) clustering: U32,
    pub(super) file_name: [u8; 64],
    /// Ids of the transaction manager's, which are kept.
    pub(super) transactions: [u8; 32],
    pub(super) flags: U32,
    pub(super) reserved: [u8; 360],
    pub(super) checksum: U32,
}
const _: () = assert!(size_of::<BaseBlock>() == 512);

impl BaseBlock {
    pub(super) const SIGNATURE: [u8; 4] = *b"regf";

    /// The XOR of all words before the checksum, which is never 0 nor all ones.
    pub(super) fn sum(&self) -> u32 {
        let words = self.as_bytes()[..508].chunks_exact(4);
        match words.fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap_or_default())) {
            0 => 1,
            u32::MAX => u32::MAX - 1,
            sum => sum,
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.signature == Self::SIGNATURE && self.checksum == self.sum()
    }

    /// Whether no write to the file was begun and not finished.
    pub(super) fn is_clean(&self) -> bool {
        self.is_sound() && self.primary_sequence == self.secondary_sequence
    }
}

/// The header of a hive bin.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct BinHeader {
    pub(super) signature: [u8; 4],
    pub(super) offset: U32,
    pub(super) size: U32,
    pub(super) reserved: [u8; 8],
    pub(super) timestamp: U64,
    pub(super) spare: U32,
}
pub(super) const BIN_HEADER: u32 = size_of::<BinHeader>() as u32;
const _: () = assert!(BIN_HEADER == 32);

/// Key node, "nk"; the name follows.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct KeyNode {
    pub(super) signature: [u8; 2],
    pub(super) flags: U16,
    pub(super) last_written: U64,
    pub(super) access: U32,
    pub(super) parent: U32,
    pub(super) subkeys: U32,
    pub(super) volatile_subkeys: U32,
    pub(super) subkey_list: U32,
    pub(super) volatile_list: U32,
    pub(super) values: U32,
    pub(super) value_list: U32,
    pub(super) security: U32,
    pub(super) class: U32,
    pub(super) max_subkey_name: U32,
    pub(super) max_subkey_class: U32,
    pub(super) max_value_name: U32,
    pub(super) max_value_data: U32,
    pub(super) work: U32,
    pub(super) name_len: U16,
    pub(super) class_len: U16,
}
pub(super) const KEY_NODE: usize = size_of::<KeyNode>();
const _: () = assert!(KEY_NODE == 76);

/// Key value, "vk"; the name follows.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct KeyValue {
    pub(super) signature: [u8; 2],
    pub(super) name_len: U16,
    pub(super) data_size: U32,
    pub(super) data: U32,
    pub(super) kind: U32,
    pub(super) flags: U16,
    pub(super) spare: U16,
}
pub(super) const KEY_VALUE: usize = size_of::<KeyValue>();
const _: () = assert!(KEY_VALUE == 20);

/// Key security, "sk"; the descriptor follows.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct KeySecurity {
    pub(super) signature: [u8; 2],
    pub(super) reserved: U16,
    pub(super) flink: U32,
    pub(super) blink: U32,
    pub(super) references: U32,
    pub(super) size: U32,
}
pub(super) const KEY_SECURITY: usize = size_of::<KeySecurity>();
const _: () = assert!(KEY_SECURITY == 20);

/// Big data, "db".
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct BigData {
    pub(super) signature: [u8; 2],
    pub(super) segments: U16,
    pub(super) list: U32,
}

/// The beginning of a log entry; the references to its pages follow, and then the pages.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct LogEntry {
    pub(super) signature: [u8; 4],
    pub(super) size: U32,
    pub(super) flags: U32,
    pub(super) sequence: U32,
    pub(super) bins_size: U32,
    pub(super) pages: U32,
    /// Of what follows these fields.
    pub(super) hash_1: U64,
    /// Of the fields before it.
    pub(super) hash_2: U64,
}
pub(super) const LOG_ENTRY: usize = size_of::<LogEntry>();
const _: () = assert!(LOG_ENTRY == 40);

/// A reference to a page of a log entry.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct PageReference {
    pub(super) offset: U32,
    pub(super) size: U32,
}

/// A structure whose first bytes are a signature.
pub(super) trait Record: FromBytes {
    const SIGNATURE: [u8; 2];
    /// The structure, in the specification's words.
    const STRUCTURE: &'static str;
    fn signature(&self) -> [u8; 2];
}

macro_rules! record {
    ($record:ty, $signature:literal, $structure:literal) => {
        impl Record for $record {
            const SIGNATURE: [u8; 2] = *$signature;
            const STRUCTURE: &'static str = $structure;
            fn signature(&self) -> [u8; 2] {
                self.signature
            }
        }
    };
}

record!(KeyNode, b"nk", "registry key node");
record!(KeyValue, b"vk", "registry key value");
record!(KeySecurity, b"sk", "registry key security");
record!(BigData, b"db", "registry big data");
