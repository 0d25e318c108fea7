//! Which volume of a disk is meant.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaves::Rule;
use crate::partition::{FileSystem, Layout, Role};
use crate::windows::ntfs::Volume;

/// What every Windows has, from 2000 on.
const OF_WINDOWS: &str = r"\Windows\System32\config\SYSTEM";

/// A part of a disk that may hold an NTFS volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileVolume {
    /// The number of its partition; `None` for a volume that is the whole disk.
    pub partition: Option<u32>,
    /// Its bytes of the disk.
    pub range: Range<u64>,
}

impl FileVolume {
    /// How messages call it.
    pub fn name(&self) -> String {
        self.partition.map_or("the volume".to_owned(), |number| format!("partition {number}"))
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// As [`Volume::open`].
    pub fn open(&self, disk: &Disk) -> Result<Volume> {
        Volume::open(disk, self.range.clone()).map_err(|e| e.within(self.name()))
    }
}

/// The NTFS volumes of a disk, in the order of its partitions.
///
/// # Errors
///
/// What reading the disk gives rise to.
pub fn windows_volumes(disk: &Disk) -> Result<Vec<FileVolume>> {
    let volumes = volumes(disk)?.into_iter();
    Ok(volumes.filter(|(_, holds)| *holds == Some(FileSystem::Ntfs)).map(|(volume, _)| volume).collect())
}

/// The volume in a partition, or by default that of Windows: the first with a registry in its place. Where there is none, the
/// only NTFS volume.
///
/// # Errors
///
/// [`Error::Layout`] when there is no such volume, or more than one; [`Error::NotConvertible`] for one that is encrypted; and as
/// [`Volume::open`].
pub fn find_volume(disk: &Disk, partition: Option<u32>) -> Result<(FileVolume, Volume)> {
    disk.check_complete()?;
    let refuse = |reason: String| Err(Error::Layout { reason });
    let all = volumes(disk)?;
    if let Some(number) = partition {
        let Some((volume, holds)) = all.into_iter().find(|(volume, _)| volume.partition == Some(number))
        else {
            return refuse(format!("the disk has no partition {number}"));
        };
        return match holds {
            Some(FileSystem::Ntfs) => Ok((volume.clone(), volume.open(disk)?)),
            other => Err(no_ntfs(&volume, other)),
        };
    }
    let ntfs: Vec<_> = all.iter().filter(|(_, holds)| *holds == Some(FileSystem::Ntfs)).collect();
    let mut only = None;
    for (volume, _) in &ntfs {
        match volume.open(disk) {
            Ok(opened) => match opened.find(OF_WINDOWS) {
                Ok(Some(_)) => return Ok((volume.clone(), opened)),
                _ => only = Some((volume.clone(), opened)),
            },
            Err(e) if ntfs.len() == 1 => return Err(e),
            Err(Error::Within { .. } | Error::Damaged { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    match (ntfs.len(), only) {
        (1, Some(only)) => Ok(only),
        (0, _) => match all.iter().find(|(_, holds)| matches!(holds, Some(FileSystem::BitLocker))) {
            Some((volume, holds)) => Err(no_ntfs(volume, *holds)),
            None => refuse("the disk has no NTFS volume".to_owned()),
        },
        (count, _) => {
            refuse(format!("none of {count} NTFS volumes has a Windows: name one by its partition"))
        }
    }
}

fn no_ntfs(volume: &FileVolume, holds: Option<FileSystem>) -> Error {
    let name = volume.name();
    match holds {
        Some(FileSystem::BitLocker) => Error::NotConvertible {
            rule: Rule::Encrypted,
            reason: format!("{name} is encrypted by BitLocker"),
        },
        other => {
            let found = other.map_or("nothing that is known", FileSystem::name);
            Error::Layout { reason: format!("{name} holds {found}, and files are read of NTFS alone") }
        }
    }
}

/// What may hold a volume, with what it holds.
fn volumes(disk: &Disk) -> Result<Vec<(FileVolume, Option<FileSystem>)>> {
    let partitions = Layout::read(disk)?.map(|layout| layout.partitions).unwrap_or_default();
    if partitions.is_empty() {
        let whole = FileVolume { partition: None, range: 0..disk.size() };
        return Ok(vec![(whole, FileSystem::of(disk)?)]);
    }
    let on_disk = partitions.iter().filter(|it| it.role != Role::Extended && it.end() <= disk.size());
    let volume = |partition: &crate::partition::Partition| {
        let volume = FileVolume { partition: Some(partition.index), range: partition.range() };
        Ok((volume, partition.file_system(disk)?))
    };
    on_disk.map(volume).collect()
}
