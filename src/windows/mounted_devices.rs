//! The drive letters: `HKEY_LOCAL_MACHINE\SYSTEM\MountedDevices`.
//!
//! A value names a volume (`\DosDevices\C:`, `\??\Volume{…}`), its data the partition: on an MBR disk the disk's
//! signature and the partition's first byte, on a GPT disk the partition's id. A Windows whose partitions are called
//! otherwise finds its volumes under other letters.

use crate::error::Result;
use crate::windows::GptIds;
use crate::windows::registry::{Hive, kind};

const KEY: &str = "MountedDevices";
/// What stands before the id of a GPT partition.
const GPT: &[u8; 8] = b"DMIO:ID:";

/// A volume whose name was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The name of the value, as in `\DosDevices\C:`.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a volume's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It names the same partition by its GPT id.
    Kept,
    /// The value was removed, since the hive had no room. Windows gives the letter anew: C: to itself.
    NoRoom,
}

/// Gives the volumes of a disk that becomes a GPT disk their new names, in the hive `SYSTEM`. Names of partitions that
/// the disk does not have stay: they name nothing, before and after.
///
/// # Errors
///
/// [`Error::NotConvertible`](crate::Error::NotConvertible) when the hive is
/// [dirty](crate::windows::registry::HiveState::Dirty), [`Error::Damaged`](crate::Error::Damaged) where it is damaged.
pub fn rename(system: &mut Hive, ids: &GptIds) -> Result<Vec<Renamed>> {
    let mut of_disk = Vec::new();
    if let Some(key) = system.key(KEY)? {
        for value in key.values()? {
            let value = value?;
            // Other volumes have other lengths: GPT partitions 24 bytes, drives of other kinds a longer name.
            let Ok(data) = <[u8; 12]>::try_from(value.data()?) else { continue };
            let [s0, s1, s2, s3, offset @ ..] = data;
            if u32::from_le_bytes([s0, s1, s2, s3]) == ids.signature
                && let Some(partition) = ids.partition(u64::from_le_bytes(offset))
            {
                of_disk.push((value.name().to_owned(), partition));
            }
        }
    }
    let mut renamed = Vec::new();
    // At the time that the hive has, so that the same conversion gives the same bytes.
    let mut editor = system.edit_at(system.last_written()?)?;
    for (name, partition) in of_disk {
        let id = [&GPT[..], &partition.to_bytes_le()].concat();
        // The file keeps its length.
        let outcome = if editor.has_room(id.len()) {
            editor.set_value(KEY, &name, kind::BINARY, &id)?;
            Outcome::Kept
        } else {
            editor.remove_value(KEY, &name)?;
            Outcome::NoRoom
        };
        renamed.push(Renamed { name, outcome });
    }
    editor.commit()?;
    Ok(renamed)
}
