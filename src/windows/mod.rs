//! What a Windows disk holds beside its partitions: NTFS volumes, registry hives, and the store that the boot manager reads.

pub mod bcd;
pub mod boot_files;
mod gpt_ids;
mod hive_file;
pub mod mounted_devices;
pub mod ntfs;
pub mod registry;
pub mod version;

pub use gpt_ids::GptIds;
pub use hive_file::HiveFile;
