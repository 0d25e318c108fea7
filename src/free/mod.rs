//! What the file systems of a disk hold free, or keep only for a while: it need not be copied.
//!
//! Only clean volumes say what is free in them: one that was not unmounted may hold more than its tables tell. Read are NTFS,
//! FAT, exFAT and ext2 to ext4; what holds data for a while are the page, swap and hibernation files in the root directories of NTFS
//! volumes, and Linux' swap space.
//!
//! ```
//! use diskport::free::FreeSpace;
//!
//! # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
//! let disk = diskport::open(image)?;
//! let space = FreeSpace::of(&disk)?;
//! println!("{} bytes are free", space.free_bytes());
//! let disk = space.skip(&disk, true, false)?; // what is free is not read, and reads as zeros
//! # Ok::<(), diskport::Error>(())
//! ```

mod exfat;
mod ext;
mod ranges;

use std::ops::Range;

use ranges::Ranges;

use crate::disk::{Disk, WritableDisk};
use crate::error::{Error, Result};
use crate::partition::{self, DiskVolume, FatVolume, FileSystem, Layout};
use crate::windows::ntfs::{self, State};

/// Files that Windows keeps in the root directory, whose content means nothing to a system that was shut down.
const PAGING: [&str; 3] = ["pagefile.sys", "swapfile.sys", "hiberfil.sys"];
/// The first page of Linux' swap space, which has its header, with its identity.
const SWAP_HEADER: u64 = 4096;

/// What is free on a disk.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FreeSpace {
    /// The disk's volumes, in the order of the partition table.
    pub volumes: Vec<VolumeSpace>,
    /// Bytes of the disk that are free, in runs. Of more than a million on a volume the smallest are left out.
    pub free: Vec<Range<u64>>,
    /// Bytes of the disk that hold what pages, swaps or hibernation put there.
    pub paging: Vec<Range<u64>>,
}

/// What is free on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VolumeSpace {
    /// The volume.
    pub volume: DiskVolume,
    /// Bytes that are free; `None` when that is not known.
    pub free: Option<u64>,
    /// Bytes of page, swap and hibernation files.
    pub paging: u64,
    /// Why it is not known what is free, where the volume holds a file system.
    pub note: Option<String>,
}

/// Why it is not known what is free on a volume.
enum Unknown {
    /// What is known of the reason.
    Told(String),
    /// Reading failed.
    Failed(Error),
}

impl Unknown {
    fn unclean() -> Self {
        Self::Told("it was not unmounted cleanly".to_owned())
    }

    fn damaged(structure: &str) -> Self {
        Self::Told(format!("its {structure} makes no sense"))
    }
}

impl From<Error> for Unknown {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { .. } | Error::Cancelled | Error::Incomplete(_) => Self::Failed(error),
            error => Self::Told(error.to_string()),
        }
    }
}

impl FreeSpace {
    /// Looks through the volumes of `disk`. A volume that is damaged or not known has a note, and nothing free.
    ///
    /// # Errors
    ///
    /// As [`Layout::read`]; [`Error::Unsupported`] for a disk that can be read only once.
    pub fn of(disk: &Disk) -> Result<Self> {
        let layout = Layout::read(disk)?;
        Self::of_volumes(disk, partition::volumes(disk, layout.as_ref())?)
    }

    /// The same for volumes that are known already.
    ///
    /// # Errors
    ///
    /// What reading the disk gives rise to.
    pub fn of_volumes(disk: &Disk, volumes: Vec<DiskVolume>) -> Result<Self> {
        if disk.chain().iter().any(|layer| layer.reads_once()) {
            let what = "what is free is not known of a disk that is read once, from front to end".to_owned();
            return Err(Error::Unsupported { what });
        }
        let mut space = Self::default();
        for volume in volumes {
            let found = space.add(disk, volume)?;
            space.volumes.push(found);
        }
        Ok(space)
    }

    /// Bytes that are free on all volumes of which it is known.
    pub fn free_bytes(&self) -> u64 {
        self.volumes.iter().filter_map(|volume| volume.free).fold(0, u64::saturating_add)
    }

    /// Bytes of page, swap and hibernation files.
    pub fn paging_bytes(&self) -> u64 {
        self.volumes.iter().fold(0, |sum, volume| sum.saturating_add(volume.paging))
    }

    /// Why volumes with a file system are left as they are.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.volumes
            .iter()
            .filter_map(|space| Some(format!("{}: {}", space.volume.name(), space.note.as_ref()?)))
    }

    /// `disk`, of which what is `free`, or `paging`, reads as zeros and is not read.
    ///
    /// # Errors
    ///
    /// As [`Disk::blanked`].
    pub fn skip(&self, disk: &Disk, free: bool, paging: bool) -> Result<Disk> {
        let mut ranges = Vec::new();
        if free {
            ranges.extend_from_slice(&self.free);
        }
        if paging {
            ranges.extend_from_slice(&self.paging);
        }
        if ranges.is_empty() { Ok(disk.clone()) } else { disk.blanked(ranges) }
    }

    /// Gives the space back that what is free takes in the image of `disk`, on which it was found.
    ///
    /// # Errors
    ///
    /// As [`WritableDisk::discard`].
    pub fn discard(&self, disk: &WritableDisk) -> Result<()> {
        self.free.iter().try_for_each(|range| disk.discard(range.start, range.end - range.start))
    }

    fn add(&mut self, disk: &Disk, volume: DiskVolume) -> Result<VolumeSpace> {
        let (mut free, mut paging) = (Ranges::default(), Ranges::default());
        let mut bytes = 0;
        let mut visit = |run: Range<u64>| {
            bytes += run.end - run.start;
            free.add(run);
        };
        let found = runs(disk, &volume, &mut visit, &mut paging);
        let (free_bytes, note) = match found {
            Ok(known) => (known.then_some(bytes), None),
            Err(Unknown::Told(note)) => (None, Some(format!("what is free is not known: {note}"))),
            Err(Unknown::Failed(error)) => return Err(error),
        };
        let paging = paging.into_vec();
        let paging_bytes = paging.iter().map(|run| run.end - run.start).sum();
        self.paging.extend(paging);
        if free_bytes.is_some() {
            self.free.extend(free.into_vec());
        }
        Ok(VolumeSpace { volume, free: free_bytes, paging: paging_bytes, note })
    }
}

/// The runs of a volume, in bytes of the disk; whether its file system is one that says what is free.
fn runs(
    disk: &Disk,
    volume: &DiskVolume,
    free: &mut dyn FnMut(Range<u64>),
    paging: &mut Ranges,
) -> Result<bool, Unknown> {
    let start = volume.range.start;
    let slice = disk.slice(volume.range.clone());
    let mut on_disk = |run: Range<u64>| free(start + run.start..start + run.end);
    match volume.file_system {
        Some(FileSystem::Ntfs) => ntfs(disk, volume, free, paging)?,
        Some(FileSystem::Fat12 | FileSystem::Fat16 | FileSystem::Fat32) => {
            let fat = FatVolume::open(&slice)?.ok_or_else(|| Unknown::damaged("boot record"))?;
            if !fat.is_clean()? {
                return Err(Unknown::unclean());
            }
            fat.free_runs(on_disk)?;
        }
        Some(FileSystem::ExFat) => exfat::free_runs(&slice, &mut on_disk)?,
        Some(FileSystem::Ext) => ext::free_runs(&slice, &mut on_disk)?,
        Some(FileSystem::Swap) => {
            let size = FileSystem::Swap.size(&slice)?.unwrap_or(0).min(slice.size());
            if size > SWAP_HEADER {
                paging.add(start + SWAP_HEADER..start + size);
            }
            return Ok(false);
        }
        Some(other) => return Err(Unknown::Told(format!("{other} is not read"))),
        None => return Ok(false),
    }
    Ok(true)
}

fn ntfs(
    disk: &Disk,
    volume: &DiskVolume,
    free: &mut dyn FnMut(Range<u64>),
    paging: &mut Ranges,
) -> Result<(), Unknown> {
    let volume = ntfs::Volume::open(disk, volume.range.clone())?;
    match volume.state()? {
        State::Clean => {}
        other => return Err(Unknown::Told(other.to_string())),
    }
    // They keep what was in clusters when they were made, also in such as are free by now.
    if volume.has_shadow_copies()? {
        return Err(Unknown::Told("it has shadow copies".to_owned()));
    }
    let mut files = Vec::new();
    for name in PAGING {
        if let Some(file) = volume.find(name)? {
            files.extend(file.places()?);
        }
    }
    files.sort_unstable_by_key(|place| place.start);
    files.into_iter().for_each(|place| paging.add(place));
    Ok(volume.free_runs(free)?)
}
