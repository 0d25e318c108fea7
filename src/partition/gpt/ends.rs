//! What has to move when the end of a disk does.
//!
//! At every moment one valid copy of the table stands where the firmware looks for it: the copy that was not read is made
//! first, within each copy the array before the header that vouches for it, and what is left behind is wiped last.

use std::ops::Range;

use super::write::Places;
use super::{Gpt, GptCopy, MAX_ARRAY};
use crate::disk::{Disk, Patch};
use crate::error::{Error, Result};
use crate::partition::mbr::Mbr;

/// What changes when a disk with a GPT is given another size: the backup table moves to the new end, both headers and the
/// protective MBR say so, and the old backup is wiped.
#[derive(Debug, Clone)]
pub struct GptMove {
    /// What is written, in order: each step is to be durable before the next one begins.
    pub steps: Vec<Vec<Patch>>,
    /// Where backups lie that are left behind, in bytes of the disk as it is. What a smaller disk cuts is among them.
    pub left_behind: Vec<Range<u64>>,
}

/// What changes when `disk` is given `size` bytes, more or fewer. `None` when it has no GPT.
///
/// # Errors
///
/// [`Error::Unsupported`] for a size that is no whole number of sectors, [`Error::Layout`] when the partitions leave no room
/// for the table, and what reading the disk gives rise to.
pub fn move_gpt(disk: &Disk, size: u64) -> Result<Option<GptMove>> {
    let sector = u64::from(disk.logical_sector_size());
    let Some(gpt) = Gpt::read(disk)? else { return Ok(None) };
    check_whole(disk, size)?;
    let array_sectors = gpt.array_sectors(sector);
    let primary_array = match gpt.source {
        GptCopy::Primary => gpt.header.partition_entry_lba.get(),
        GptCopy::Backup => 2,
    };
    let (first_usable, in_use) = (gpt.header.first_usable_lba.get(), gpt.in_use());
    let room_in_front =
        primary_array >= 2 && primary_array.checked_add(array_sectors).is_some_and(|end| end <= first_usable);
    // A table that lets partitions lie up to the new end of a larger disk is none that we understand.
    let taken = if size < disk.size() { in_use } else { in_use.max(gpt.last_usable().saturating_add(1)) };
    let last = (size / sector).checked_sub(1);
    let backup_array = last.and_then(|last| last.checked_sub(array_sectors)).filter(|&array| array >= taken);
    let (Some(last), Some(backup_array), true) = (last, backup_array, room_in_front) else {
        let reason = format!(
            "the GPT leaves no room for its copies on {size} bytes: partitions may take the sectors {first_usable} to \
             {taken}, the table itself takes {array_sectors} at {primary_array} and before the last sector"
        );
        return Err(Error::Layout { reason });
    };
    let [primary_header, primary_array, backup_array_patch, backup_header] =
        gpt.copies(sector, &Places { last, primary_array, backup_array });
    let backup = [vec![backup_array_patch], vec![backup_header]];
    let mut steps = Vec::new();
    match gpt.source {
        GptCopy::Primary => {
            steps.extend(backup);
            steps.push(vec![primary_header]);
        }
        GptCopy::Backup => {
            steps.extend([vec![primary_array], vec![primary_header]]);
            steps.extend(backup);
        }
    }
    steps.extend(protective_mbr(disk, last)?.map(|mbr| vec![mbr]));
    let left_behind = backups(disk, &gpt, in_use)?;
    let wiped = left_behind.iter().map(|old| old.start..old.end.min(backup_array * sector));
    let zeros = |old: Range<u64>| Patch { offset: old.start, bytes: vec![0; (old.end - old.start) as usize] };
    steps.push(wiped.filter(|old| old.start < old.end).map(zeros).collect());
    Ok(Some(GptMove { steps, left_behind }))
}

/// What changes when `disk` is given `size` bytes, which are not fewer than it has, as [`move_gpt`] has it, in no order.
///
/// # Errors
///
/// [`Error::OutputTooSmall`], and as [`move_gpt`].
pub fn grow_gpt(disk: &Disk, size: u64) -> Result<Option<Vec<Patch>>> {
    if size < disk.size() {
        return Err(Error::OutputTooSmall { needed: disk.size(), given: size });
    }
    check_whole(disk, size)?;
    Ok(move_gpt(disk, size)?.map(|moved| moved.steps.concat()))
}

fn check_whole(disk: &Disk, size: u64) -> Result<()> {
    let sector = u64::from(disk.logical_sector_size());
    if !size.is_multiple_of(sector) {
        let what = format!("a size of {size} bytes is not a whole number of sectors of {sector} bytes");
        return Err(Error::Unsupported { what });
    }
    Ok(())
}

impl Gpt {
    /// Sectors that the array of entries takes.
    fn array_sectors(&self, sector: u64) -> u64 {
        (self.array.len() as u64).div_ceil(sector)
    }

    /// Bytes at the disk's end that the backup takes.
    pub(in crate::partition) fn tail(&self, sector: u64) -> u64 {
        (self.array_sectors(sector) + 1) * sector
    }

    /// The last sector that the table leaves to partitions.
    fn last_usable(&self) -> u64 {
        self.header.last_usable_lba.get()
    }

    /// The sector from which on no partition lies.
    fn in_use(&self) -> u64 {
        let end = self.partition_ends().max().unwrap_or(0);
        end.max(self.header.first_usable_lba.get())
    }
}

/// The backups that are left behind: the one at the disk's present end, and the one that the primary table names, which is
/// elsewhere on a disk that grew before. What lies below the sector `in_use` is none of ours.
fn backups(disk: &Disk, gpt: &Gpt, in_use: u64) -> Result<Vec<Range<u64>>> {
    let sector = u64::from(disk.logical_sector_size());
    let sectors = disk.size() / sector;
    let mut places = [gpt.header.alternate_lba.get(), sectors.saturating_sub(1)];
    places.sort_unstable();
    let mut found = Vec::new();
    let mut free = in_use;
    for old in places {
        if old < free || old >= sectors {
            continue;
        }
        let Some(backup) = Gpt::read_copy(disk, old, GptCopy::Backup)? else { continue };
        let start = backup.header.partition_entry_lba.get();
        let start = if (free..old).contains(&start) { start } else { old };
        let len = ((old + 1 - start) * sector).min(MAX_ARRAY + sector);
        found.push(start * sector..start * sector + len);
        free = old + 1;
    }
    Ok(found)
}

/// The protective MBR with the partition's size up to the new last sector, if there is such a partition.
fn protective_mbr(disk: &Disk, last: u64) -> Result<Option<Patch>> {
    let bytes = Mbr::read(disk)?.and_then(|mbr| mbr.protecting(last));
    Ok(bytes.map(|bytes| Patch { offset: 0, bytes }))
}
