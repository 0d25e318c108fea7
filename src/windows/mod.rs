//! What a Windows disk holds beside its partitions: NTFS volumes, registry hives, and the store that the boot manager reads.

pub mod bcd;
mod gpt_ids;
pub mod mounted_devices;
pub mod ntfs;
pub mod registry;
pub mod version;

pub use gpt_ids::GptIds;
