//! What is inside of a disk: what starts it, its Windows with their state, software and drivers, and how much is free.
//!
//! Only what is needed is read, a few megabytes of a disk of any size; what is damaged is told as a warning, beside all that could
//! be read.
//!
//! ```
//! # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
//! let disk = diskport::open(image)?;
//! let found = diskport::inspect::inspect(&disk)?;
//! for windows in &found.windows {
//!     println!("{:?} in {}", windows.version.product_name, windows.root);
//! }
//! let rule: diskport::inspect::Requirement = "windows>=10.0.17763".parse()?;
//! if let Err(unmet) = rule.check(&found) {
//!     println!("{unmet}");
//! }
//! # Ok::<(), diskport::Error>(())
//! ```

mod components;
mod drivers;
mod files;
mod firmware;
mod notes;
mod record;
mod requirement;
mod software;
mod streamed;
mod version;
mod windows;

pub use components::{Component, Source, SourceKind};
pub use drivers::{Start, StorageDriver};
pub use firmware::Firmware;
pub use record::{RECORDS, UPGRADE_PVS, UpgradeRecord};
pub use requirement::{Requirement, Unmet};
pub use software::Software;
pub use version::Version;
pub use windows::{PageFile, Windows, WindowsState};

use notes::Notes;

use crate::disk::Disk;
use crate::error::Result;
use crate::free::FreeSpace;
use crate::leaves::{Format, KIB};
use crate::open::Open;
use crate::partition::{self, DiskVolume, FileSystem, Layout, Scheme};
use crate::storage::CachedStorage;

/// Bytes that are read at once, and how many of such pages are kept: 16 MiB.
const PAGE: u64 = 16 * KIB;
const PAGES: usize = 1024;

/// What is inside of a disk.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// Which kind of partition table there is; `None` when there is none.
    pub scheme: Option<Scheme>,
    /// What firmware starts the disk; `None` when none does.
    pub firmware: Option<Firmware>,
    /// The Windows on it, in the order of the partitions.
    pub windows: Vec<Windows>,
    /// The volumes that are encrypted from within, as [`DiskVolume::file_system`] says. Single files that are encrypted (EFS) are not
    /// looked for.
    pub encrypted: Vec<DiskVolume>,
    /// What is free.
    pub space: FreeSpace,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Looks at what is inside of `disk`, without changing anything.
///
/// # Errors
///
/// As [`Layout::read`], [`Error::Unsupported`](crate::Error::Unsupported) for a disk that can be read only once, and what reading
/// the disk gives rise to. What is damaged behind the partition table is a warning.
pub fn inspect(disk: &Disk) -> Result<Inspection> {
    let layout = Layout::read(disk)?;
    let volumes = partition::volumes(disk, layout.as_ref())?;
    // What lies close to each other is read once.
    let near = Open::new().format(Format::Raw).open(CachedStorage::with_pages(disk.clone(), PAGE, PAGES))?;
    let notes = Notes::default();
    layout.iter().flat_map(|layout| &layout.warnings).for_each(|warning| notes.add(warning.to_string()));
    let starts = firmware::starts(disk, &near, layout.as_ref(), &volumes, &notes)?;
    let mut found = Vec::new();
    for volume in volumes.iter().filter(|volume| volume.file_system == Some(FileSystem::Ntfs)) {
        let windows =
            windows::on_volume(&near, volume, starts.authority.as_deref(), &notes.about(&volume.name()));
        found.extend(notes.told(&volume.name(), windows)?);
    }
    let encrypted = [FileSystem::BitLocker, FileSystem::Luks];
    let encrypted =
        volumes.iter().filter(|volume| volume.file_system.is_some_and(|it| encrypted.contains(&it)));
    let encrypted = encrypted.cloned().collect();
    let space = FreeSpace::of_volumes(disk, volumes.clone())?;
    space.notes().for_each(|note| notes.add(note));
    Ok(Inspection {
        scheme: layout.map(|layout| layout.scheme),
        firmware: starts.firmware,
        windows: found,
        encrypted,
        space,
        warnings: notes.into_vec(),
    })
}
