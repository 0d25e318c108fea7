//! The record that an upgrade leaves in the image, so that the next one, and inspection, know what is there although no installer
//! ran: one JSON document a product, in a folder of its own.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::windows::ntfs::Volume;

use super::notes::Notes;

/// The folder of the records, on the volume of Windows.
pub const RECORDS: &str = "\\ProgramData\\diskport";
/// The record of the target device of Citrix Provisioning.
pub const UPGRADE_PVS: &str = "\\ProgramData\\diskport\\upgrade-pvs.json";

/// Bytes of a record at most.
const MAX_RECORD: u64 = 1 << 20;
/// Records that are read at most.
const MOST: usize = 100;

/// What an upgrade put into the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeRecord {
    /// The product, as its payload names it.
    pub product: String,
    /// Its version.
    pub version: String,
}

impl UpgradeRecord {
    /// The record as it lies in the image.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when it cannot be said in JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|e| Error::Unsupported { what: format!("an upgrade's record: {e}") })
    }
}

/// The records on `volume`, with their paths.
pub(super) fn records(volume: &Volume, notes: &Notes) -> Result<Vec<(String, UpgradeRecord)>> {
    let Some(folder) = volume.find(RECORDS)?.map(|folder| folder.entries()).transpose()? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let documents =
        folder.iter().filter(|entry| !entry.is_directory && entry.name.to_lowercase().ends_with(".json"));
    for entry in documents.take(MOST) {
        let path = format!("{RECORDS}\\{}", entry.name);
        let Some(file) = volume.find(&path)? else { continue };
        match serde_json::from_slice(&file.read(MAX_RECORD)?) {
            Ok(record) => found.push((path, record)),
            Err(e) => notes.add(format!("{path} is no record of an upgrade: {e}")),
        }
    }
    Ok(found)
}
