//! Checking what is inside a disk: the volumes in its partitions, or the one that it is as a whole.

use std::ops::Range;

use super::ntfs::Volume;
use super::ntfs::check::{Check, NtfsChecked};
use crate::disk::Disk;
use crate::error::Result;
use crate::job::Job;
use crate::partition::{FileSystem, Layout, Partition, Role};

/// A volume of a disk, and what a check of it found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedVolume {
    /// Its partition's number; `None` for a disk that is a volume as a whole.
    pub partition: Option<u32>,
    /// Its bytes of the disk.
    pub range: Range<u64>,
    /// What it holds, as far as its first bytes tell.
    pub file_system: Option<FileSystem>,
    /// What was found; `None` for what is not looked into: other file systems than NTFS, and volumes that are encrypted.
    pub checked: Option<NtfsChecked>,
}

impl CheckedVolume {
    /// Its name for people: `partition 2`, or `disk`.
    pub fn name(&self) -> String {
        self.partition.map_or("disk".to_owned(), |index| format!("partition {index}"))
    }
}

/// Looks for everything that is wrong within the NTFS volumes of a disk, changing nothing.
///
/// ```
/// use diskport::job::Job;
/// use diskport::windows::check_contents;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/windows-bios.vmdk");
/// let disk = diskport::open(image)?;
/// for volume in check_contents(&disk, &Job::new())? {
///     let findings = volume.checked.as_ref().map_or(0, |checked| checked.findings.len());
///     println!("{}: {findings} findings", volume.name());
/// }
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// What is wrong with a volume is found, not failed with. [`Error::Damaged`](crate::Error::Damaged) when the partition table cannot be read;
/// [`Error::Cancelled`](crate::Error::Cancelled), and what reading the disk gives rise to.
pub fn check_contents(disk: &Disk, job: &Job) -> Result<Vec<CheckedVolume>> {
    disk.check_complete()?;
    let layout = Layout::read(disk)?;
    let partitions = layout.map_or_else(Vec::new, |layout| layout.partitions);
    if partitions.is_empty() {
        return Ok(vec![check_volume(disk, None, 0..disk.size(), FileSystem::of(disk)?, job)?]);
    }
    let check = |partition: &Partition| {
        let file_system = partition.file_system(disk)?;
        check_volume(disk, Some(partition.index), partition.range(), file_system, job)
    };
    partitions.iter().filter(|partition| partition.role != Role::Extended).map(check).collect()
}

fn check_volume(
    disk: &Disk,
    partition: Option<u32>,
    range: Range<u64>,
    file_system: Option<FileSystem>,
    job: &Job,
) -> Result<CheckedVolume> {
    job.check()?;
    let checked = match file_system {
        Some(FileSystem::Ntfs) => Some(match Volume::open(disk, range.clone()) {
            Ok(volume) => Check::new(&volume).job(job).run()?,
            Err(error) => NtfsChecked::unopened(error)?,
        }),
        _ => None,
    };
    Ok(CheckedVolume { partition, range, file_system, checked })
}
