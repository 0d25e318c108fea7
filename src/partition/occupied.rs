//! What a disk must not be cut through: its partitions, or the volume that it is.

use std::fmt;

use super::gpt::Gpt;
use super::layout::{Layout, Role};
use super::{FileSystem, Scheme};
use crate::disk::Disk;
use crate::error::{Error, Result};

/// Something on a disk that takes its bytes up to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Occupied {
    /// The number of the partition; `None` for a volume that is the whole disk.
    pub partition: Option<u32>,
    /// What is in it, where that is known.
    pub file_system: Option<FileSystem>,
    /// The first byte behind it.
    pub end: u64,
    /// Bytes behind it that the partition table needs at the disk's end.
    pub table: u64,
}

impl Occupied {
    /// The least that the disk must have for it, in bytes.
    pub fn needs(&self) -> u64 {
        self.end.saturating_add(self.table)
    }
}

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.partition, self.file_system) {
            (Some(number), Some(found)) => write!(f, "partition {number} ({found})")?,
            (Some(number), None) => write!(f, "partition {number}")?,
            (None, Some(found)) => write!(f, "the {found} volume without a partition table")?,
            (None, None) => write!(f, "the volume")?,
        }
        write!(f, ", which ends at {}", self.end)?;
        if self.table > 0 {
            write!(f, " with {} bytes of GPT behind it", self.table)?;
        }
        Ok(())
    }
}

/// What takes the bytes of `disk`: its partitions, or else the volume that it is as a whole. Empty when it is neither divided nor
/// holds a file system that is known.
///
/// # Errors
///
/// As [`Layout::read`].
pub fn occupied(disk: &Disk) -> Result<Vec<Occupied>> {
    let layout = Layout::read(disk)?;
    let partitions = layout.as_ref().map(|layout| &layout.partitions[..]).unwrap_or_default();
    let sector = u64::from(disk.logical_sector_size());
    let table = match layout.as_ref().map(|layout| layout.scheme) {
        Some(Scheme::Gpt { .. }) => Gpt::read_either(disk)?.map_or(0, |gpt| gpt.tail(sector)),
        _ => 0,
    };
    let mut found = Vec::new();
    for partition in partitions {
        let within = partition.end() <= disk.size() && partition.role != Role::Extended;
        let file_system = if within { partition.file_system(disk)? } else { None };
        found.push(Occupied { partition: Some(partition.index), file_system, end: partition.end(), table });
    }
    // An image of a CD that also boots from other media has a table, too.
    let whole = FileSystem::of(disk)?.filter(|&it| partitions.is_empty() || it == FileSystem::Iso9660);
    if let Some(file_system) = whole {
        let end = file_system.size(disk)?.unwrap_or(disk.size());
        found.push(Occupied { partition: None, file_system: Some(file_system), end, table: 0 });
    }
    Ok(found)
}

/// The smallest size that `disk` can have without cutting its partitions, their table, or the volume that it is; in bytes, of whole
/// sectors.
///
/// # Errors
///
/// [`Error::Layout`] when neither partitions nor a file system say how much is in use, and as [`occupied`].
pub fn minimum_size(disk: &Disk) -> Result<u64> {
    let needed = occupied(disk)?.iter().map(Occupied::needs).max();
    let sector = u64::from(disk.logical_sector_size());
    needed.and_then(|size| size.checked_next_multiple_of(sector)).ok_or_else(|| {
        let reason = "neither partitions nor a known file system say how small the disk may be".to_owned();
        Error::Layout { reason }
    })
}
