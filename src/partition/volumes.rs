//! The volumes of a disk: what lies in its partitions, or the one that it is as a whole.

use std::ops::Range;

use super::{FileSystem, Layout, Role};
use crate::disk::Disk;
use crate::error::Result;

/// A part of a disk that may hold a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskVolume {
    /// The number of its partition; `None` for a volume that is the whole disk.
    pub partition: Option<u32>,
    /// Its bytes of the disk.
    pub range: Range<u64>,
    /// What it holds, as far as its first bytes tell.
    pub file_system: Option<FileSystem>,
}

/// The volumes of `disk`, which is divided by `layout`: one in each partition that lies on the disk, extended ones aside; without
/// partitions the disk itself.
///
/// # Errors
///
/// What reading the disk gives rise to.
pub fn volumes(disk: &Disk, layout: Option<&Layout>) -> Result<Vec<DiskVolume>> {
    let partitions = layout.map(|layout| &layout.partitions[..]).unwrap_or_default();
    if partitions.is_empty() {
        let file_system = FileSystem::of(disk)?;
        return Ok(vec![DiskVolume { partition: None, range: 0..disk.size(), file_system }]);
    }
    let on_disk = partitions.iter().filter(|it| it.role != Role::Extended && it.end() <= disk.size());
    let volume = |partition: &super::Partition| {
        let (index, range) = (partition.index, partition.range());
        Ok(DiskVolume { partition: Some(index), range, file_system: partition.file_system(disk)? })
    };
    on_disk.map(volume).collect()
}

impl DiskVolume {
    /// How messages call it.
    pub fn name(&self) -> String {
        self.partition.map_or("the volume".to_owned(), |number| format!("partition {number}"))
    }
}
