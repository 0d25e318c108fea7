//! NTFS volumes changed: what is to be different is gathered, and becomes one set of changes of the disk.
//!
//! An [`Edit`] owns its volume and lays its changes over it, so that every reader shows the volume as it will be. Nothing is
//! written. An operation either happens as a whole or leaves no trace. The volume stays clean: its log and its journal of
//! changes (`$UsnJrnl`) are left as they are, since all changes become real at once.
//!
//! From the bottom up: clusters ([`clusters`]) and records ([`table`]); attributes ([`attribute`]) gathered into files
//! ([`node`]), and laid out in their records again ([`layout`], [`list`]); their values ([`stream`]); indexes ([`index`]);
//! what is said of files beside their names ([`standard`], [`names`]); and the operations.

mod attribute;
mod clusters;
mod content;
mod create;
mod index;
mod layout;
mod list;
mod names;
mod node;
mod path;
mod remove;
mod rename;
mod security;
mod standard;
mod stream;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::SystemTime;

use super::flaw::refused;
use super::record::kind;
use super::stream::Stream;
use super::volume::{Volume, system_file};
use crate::disk::Changes;
use crate::error::Result;

pub use standard::Times;

/// Changes of an NTFS volume, gathered before any is written.
///
/// Paths are parted by `/` or `\`, and their names are the same in both cases; `file:stream` names an alternate stream. Each
/// operation happens as a whole or, when it fails, not at all.
///
/// ```
/// use std::sync::Arc;
/// use diskport::windows::ntfs::{Edit, Volume};
///
/// # fn put(disk: &diskport::Disk) -> Result<diskport::Disk, diskport::Error> {
/// let mut edit = Edit::new(Volume::open(disk, 1 << 20..disk.size() - (1 << 20))?)?;
/// edit.create_directory("Windows/Setup/Scripts")?;
/// edit.write("Windows/Setup/Scripts/SetupComplete.cmd", Arc::new(b"exit /b 0\r\n".to_vec()))?;
/// let changed = disk.patched(disk.size(), edit.finish()?)?;
/// # Ok(changed)
/// # }
/// ```
pub struct Edit {
    volume: Volume,
    mirror: Stream,
    /// `$MFT:$BITMAP`.
    records_in_use: Stream,
    /// No ordinary record before this one is free.
    next_record: u64,
    /// Where clusters were taken last.
    cursor: u64,
    /// What new times say: 100 ns since 1601.
    now: u64,
    /// Directories whose entries have changed.
    touched: BTreeSet<u64>,
    /// The security ids of new files and new directories, by the directory that they are in.
    security: BTreeMap<(u64, bool), u32>,
}

impl Edit {
    /// Changes of a volume that was left clean.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`](crate::Error::NotConvertible) for a volume that was not left clean, [`Error::Layout`](crate::Error::Layout) for one
    /// that has shadow copies or is of another version than 3.1, [`Error::Damaged`](crate::Error::Damaged), and what
    /// reading the disk gives rise to.
    pub fn new(volume: Volume) -> Result<Self> {
        volume.check_clean()?;
        volume.check_version()?;
        if volume.has_shadow_copies()? {
            return Err(refused(
                "the volume has shadow copies, which writing to it would damage: delete them with vssadmin delete shadows",
            ));
        }
        let mut edit = Self {
            volume,
            mirror: Stream::empty(),
            records_in_use: Stream::empty(),
            next_record: table::FIRST_ORDINARY,
            cursor: 0,
            now: standard::file_time(SystemTime::now()),
            touched: BTreeSet::new(),
            security: BTreeMap::new(),
        };
        edit.reload_table()?;
        Ok(edit)
    }

    /// The time that is recorded for what changes; by default, when this was made.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.now = standard::file_time(time);
        self
    }

    /// The volume as it will be.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// All changes of the disk: nothing has been written yet. What files are to hold is referred to.
    ///
    /// # Errors
    ///
    /// As for the operations.
    pub fn finish(mut self) -> Result<Changes> {
        for directory in std::mem::take(&mut self.touched) {
            self.touch(directory)?;
        }
        Ok(self.volume.into_changes())
    }

    /// Does all of `change`, or nothing.
    fn whole<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let touched = self.touched.clone();
        let done = change(self);
        match &done {
            Ok(_) => self.volume.overlay.keep(),
            Err(_) => {
                self.volume.overlay.take_back();
                self.touched = touched;
                self.security.clear();
                self.next_record = table::FIRST_ORDINARY;
                self.reload_table()?;
            }
        }
        done
    }

    /// Learns anew where the MFT is, its mirror and its bitmap.
    fn reload_table(&mut self) -> Result<()> {
        self.volume.find_table()?;
        let table = self.volume.record(system_file::MFT)?;
        self.records_in_use = self.volume.required(&table, kind::BITMAP, "")?;
        let mirror = self.volume.record(system_file::MFT_MIRROR)?;
        self.mirror = self.volume.required(&mirror, kind::DATA, "")?;
        Ok(())
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit").field("volume", &self.volume).finish_non_exhaustive()
    }
}
