//! What a Windows disk holds beside its partitions: NTFS volumes, registry hives, and the store that the boot manager reads.

pub mod authenticode;
pub mod bcd;
pub mod boot_files;
mod contents;
pub mod control_set;
mod faults;
mod file_time;
#[cfg(feature = "inspect")]
pub mod file_version;
pub mod files;
mod gpt_ids;
mod hive_file;
pub mod installation;
pub mod mounted_devices;
pub mod ntfs;
pub(crate) mod program;
pub mod registry;
pub mod services;
pub mod version;

pub use contents::{CheckedVolume, check_contents};
pub use file_time::FileTime;
pub use gpt_ids::GptIds;
pub use hive_file::HiveFile;
