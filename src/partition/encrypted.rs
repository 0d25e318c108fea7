//! Volumes that are encrypted from within, as far as their first sectors say so.

use std::fmt;

use super::Gpt;
use crate::disk::Disk;
use crate::error::Result;

/// A volume that is encrypted from within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncryptedVolume {
    /// Its first byte on the disk.
    pub start: u64,
    /// What encrypts it.
    pub kind: Encryption,
}

/// What encrypts a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encryption {
    /// Windows's BitLocker.
    BitLocker,
    /// Linux Unified Key Setup.
    Luks,
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encryption::BitLocker => "BitLocker",
            Encryption::Luks => "LUKS",
        })
    }
}

/// The encrypted volumes of `disk`: in the partitions of a GPT or the primary ones of an MBR, or the disk itself.
///
/// # Errors
///
/// What reading the disk gives rise to.
pub fn encrypted_volumes(disk: &Disk) -> Result<Vec<EncryptedVolume>> {
    let mut volumes = Vec::new();
    for start in starts(disk)? {
        let mut sector = [0; 512];
        if start.checked_add(512).is_some_and(|end| end <= disk.size()) {
            disk.read_at(&mut sector, start)?;
            volumes.extend(encryption(&sector).map(|kind| EncryptedVolume { start, kind }));
        }
    }
    Ok(volumes)
}

/// What the first sector of a volume says.
fn encryption(sector: &[u8; 512]) -> Option<Encryption> {
    // The OEM name in the place where NTFS has its own ([MS-FVE] has no public text; libbde, "BDE volume header").
    if sector[3..11] == *b"-FVE-FS-" {
        return Some(Encryption::BitLocker);
    }
    // "LUKS1 On-Disk Format Specification", 1.1: the magic of both versions.
    sector.starts_with(b"LUKS\xba\xbe").then_some(Encryption::Luks)
}

/// Where volumes may begin, in bytes.
fn starts(disk: &Disk) -> Result<Vec<u64>> {
    let sector = u64::from(disk.logical_sector_size());
    let mut starts = vec![0];
    match Gpt::read(disk)? {
        Some(gpt) => starts.extend(gpt.partition_starts().filter_map(|lba| lba.checked_mul(sector))),
        None if disk.size() >= 512 => {
            let mut mbr = [0; 512];
            disk.read_at(&mut mbr, 0)?;
            if mbr[510..] == [0x55, 0xaa] {
                starts.extend(primary_starts(&mbr).map(|lba| lba * sector));
            }
        }
        None => {}
    }
    Ok(starts)
}

/// The first sectors of the primary partitions.
fn primary_starts(mbr: &[u8; 512]) -> impl Iterator<Item = u64> {
    let entry = |at: usize| {
        let used = mbr[at + 4] != 0;
        used.then(|| u64::from(u32::from_le_bytes([mbr[at + 8], mbr[at + 9], mbr[at + 10], mbr[at + 11]])))
    };
    (446..510).step_by(16).filter_map(entry).filter(|&lba| lba > 0)
}
