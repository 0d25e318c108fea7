//! Partition tables: what a disk is divided into, turning an MBR into a GPT, and what has to move when a disk grows.
//!
//! Nothing here writes: what is to change comes as [patches](crate::disk::Patch), for
//! [`Disk::patched`](crate::Disk::patched) or a differencing child.

mod convert;
mod encrypted;
mod fat;
mod fat32;
mod file_system;
mod gpt;
mod layout;
mod mbr;
mod occupied;
mod odd;
mod space;
mod types;
mod validate;
mod volume_size;
mod volumes;

pub use convert::{TypeMap, mbr_to_gpt};
pub use encrypted::{EncryptedVolume, Encryption, encrypted_volumes};
pub use fat::FatVolume;
pub use fat32::Fat32;
pub use file_system::FileSystem;
pub use gpt::{Gpt, GptCopy, GptMove, grow_gpt, move_gpt};
pub use layout::{Layout, Partition, Role, Scheme};
pub use occupied::{Occupied, minimum_size, occupied};
pub use types::{PartitionType, gpt_type};
pub use volumes::{DiskVolume, volumes};

/// Attributes of a GPT's partitions (UEFI Specification 2.10, table 5.8; bit 63 as Microsoft defines it for basic data).
pub mod attribute {
    /// The platform needs it to work.
    pub const REQUIRED: u64 = 1;
    /// Legacy BIOS boot code starts it.
    pub const LEGACY_BOOTABLE: u64 = 1 << 2;
    /// Windows gives it no drive letter.
    pub const NO_DRIVE_LETTER: u64 = 1 << 63;
}
