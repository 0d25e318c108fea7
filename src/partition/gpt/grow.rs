//! What has to move when a disk grows.

use super::write::Places;
use super::{Gpt, GptCopy, MAX_ARRAY};
use crate::disk::{Disk, Patch};
use crate::error::{Error, Result};
use crate::partition::mbr::Mbr;

/// What changes when `disk` is given `size` bytes, which are not fewer than it has: the backup table moves to the new end, both
/// headers and the protective MBR say so, and the old backup is wiped. `None` when the disk has no GPT.
///
/// # Errors
///
/// [`Error::OutputTooSmall`], [`Error::Unsupported`] for a size that is no whole number of sectors, [`Error::Layout`]
/// for a table that leaves no room for itself, and what reading the disk gives rise to.
pub fn grow_gpt(disk: &Disk, size: u64) -> Result<Option<Vec<Patch>>> {
    if size < disk.size() {
        return Err(Error::OutputTooSmall { needed: disk.size(), given: size });
    }
    let sector = u64::from(disk.logical_sector_size());
    if !size.is_multiple_of(sector) {
        let what = format!("a size of {size} bytes is not a whole number of sectors of {sector} bytes");
        return Err(Error::Unsupported { what });
    }
    let Some(gpt) = Gpt::read(disk)? else { return Ok(None) };
    let last = size / sector - 1;
    let array_sectors = (gpt.array.len() as u64).div_ceil(sector);
    let primary_array = match gpt.source {
        GptCopy::Primary => gpt.header.partition_entry_lba.get(),
        GptCopy::Backup => 2,
    };
    let first_usable = gpt.header.first_usable_lba.get();
    let last_usable = gpt.header.last_usable_lba.get();
    let backup_array = last.checked_sub(array_sectors).filter(|&array| array > last_usable);
    let room_in_front = primary_array >= 2 && primary_array + array_sectors <= first_usable;
    let (Some(backup_array), true) = (backup_array, room_in_front) else {
        let reason = format!(
            "the GPT leaves no room for its copies: partitions may use the sectors {first_usable} to {last_usable}, \
             the table itself takes {array_sectors} at {primary_array} and before the last sector, {last}"
        );
        return Err(Error::Layout { reason });
    };
    let mut patches = old_backups(disk, &gpt, backup_array)?;
    patches.extend(protective_mbr(disk, last)?);
    patches.extend(gpt.copies(sector, &Places { last, primary_array, backup_array }));
    Ok(Some(patches))
}

/// Zeros over the backups that are left behind: the one at the disk's present end, and the one that the primary table
/// names, which is elsewhere on a disk that grew before. As far as the new one (from the sector `new` on) does not cover them.
fn old_backups(disk: &Disk, gpt: &Gpt, new: u64) -> Result<Vec<Patch>> {
    let sector = u64::from(disk.logical_sector_size());
    let last_usable = gpt.header.last_usable_lba.get();
    let mut places = [gpt.header.alternate_lba.get(), disk.size() / sector - 1];
    places.sort_unstable();
    let mut patches = Vec::new();
    let mut free = last_usable + 1;
    for old in places {
        // One that lies among the partitions is none of ours.
        if old < free || old >= disk.size() / sector {
            continue;
        }
        let Some(backup) = Gpt::read_copy(disk, old, GptCopy::Backup)? else { continue };
        let start = backup.header.partition_entry_lba.get();
        let start = if (free..old).contains(&start) { start } else { old };
        let end = (old + 1).min(new);
        let len = (end.saturating_sub(start) * sector).min(MAX_ARRAY + sector);
        patches.push(Patch { offset: start * sector, bytes: vec![0; len as usize] });
        free = old + 1;
    }
    Ok(patches)
}

/// The protective MBR with the partition's size up to the new last sector, if there is such a partition.
fn protective_mbr(disk: &Disk, last: u64) -> Result<Option<Patch>> {
    let bytes = Mbr::read(disk)?.and_then(|mbr| mbr.protecting(last));
    Ok(bytes.map(|bytes| Patch { offset: 0, bytes }))
}
