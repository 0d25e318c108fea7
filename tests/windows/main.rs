//! Registry hives, boot stores and drive letters, over hives that are made here.

mod boot_files;
mod boot_store;
#[path = "../common/hive_logs.rs"]
mod hive_logs;
mod hostile;
mod letters;
mod logs;
mod tree;
mod version;

use diskport::storage::MemoryStorage;
use diskport::windows::registry::{ChangedSectors, Hive};

fn open(hive: &[u8]) -> diskport::Result<Hive> {
    Hive::open(MemoryStorage::new(hive))
}

/// The file after the edits, which never make it longer.
fn edited(mut file: Vec<u8>, edits: &[ChangedSectors]) -> Vec<u8> {
    for ChangedSectors { offset, bytes } in edits {
        let start = *offset as usize;
        file[start..start + bytes.len()].copy_from_slice(bytes);
    }
    file
}
