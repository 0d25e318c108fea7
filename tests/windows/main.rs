//! Registry hives, boot stores and drive letters, over hives that are made here.

mod boot_files;
mod boot_store;
mod editing;
mod hive_faults;
#[path = "../common/hive_logs.rs"]
mod hive_logs;
mod hostile;
mod letters;
mod logs;
mod reg_files;
mod services;
mod tree;
mod version;

use diskport::storage::MemoryStorage;
use diskport::windows::registry::{ChangedSectors, Editor, Hive};

fn open(hive: &[u8]) -> diskport::Result<Hive> {
    Hive::open(MemoryStorage::new(hive))
}

/// The file after the edits, as long as it has to be.
fn edited(mut file: Vec<u8>, hive: &Hive) -> Vec<u8> {
    file.resize(hive.file_size() as usize, 0);
    for ChangedSectors { offset, bytes } in hive.edits().unwrap() {
        let start = offset as usize;
        // The last sector may go past the end.
        let len = bytes.len().min(file.len() - start);
        file[start..start + len].copy_from_slice(&bytes[..len]);
    }
    file
}

/// One change of a hive.
fn change(
    hive: &mut Hive,
    change: impl FnOnce(&mut Editor<'_>) -> diskport::Result<()>,
) -> diskport::Result<()> {
    let mut editor = hive.edit()?;
    change(&mut editor)?;
    editor.commit()
}
