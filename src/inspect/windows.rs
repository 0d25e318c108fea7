//! A Windows: what it is, in what state it was left, and what is installed in it.

use std::fmt;

use crate::disk::Disk;
use crate::error::Result;
use crate::partition;
use crate::windows::HiveFile;
use crate::windows::ntfs::{self, State};
use crate::windows::registry::{Hive, HiveState, Key};
use crate::windows::version::WindowsVersion;
use crate::windows::{authenticode, control_set, installation};

use super::components::{Component, Evidence, PVS_TARGET, VDA};
use super::drivers::{self, StorageDriver};
use super::files::Files;
use super::notes::Notes;
use super::software::{self, Software};
use super::{record, streamed};

/// A Windows on a disk.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Windows {
    /// The volume that it lies on.
    pub volume: partition::DiskVolume,
    /// Its folder: `\Windows`.
    pub root: String,
    /// Which Windows it is.
    pub version: WindowsVersion,
    /// In what state it was left; `None` when that cannot be read.
    pub state: Option<WindowsState>,
    /// Who issued the certificate by which the boot manager is signed: that on the EFI system partition, else the one that
    /// this Windows would put there; `None` when it is not signed.
    pub boot_authority: Option<String>,
    /// The page files that it makes.
    pub page_files: Vec<PageFile>,
    /// What is installed, hidden entries too.
    pub software: Vec<Software>,
    /// Citrix' Virtual Delivery Agent.
    pub vda: Option<Component>,
    /// The target device of Citrix Provisioning.
    pub pvs_target: Option<Component>,
    /// The drivers on the way to its disk.
    pub storage_drivers: Vec<StorageDriver>,
}

/// In what state a Windows was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowsState {
    /// It was shut down.
    Clean,
    /// Its volume was not unmounted, or is marked for chkdsk.
    Dirty,
    /// It is hibernated.
    Hibernated,
    /// Its volume's log says that it is in use: a fast startup's shutdown leaves that, and a snapshot of a machine that ran.
    FastStartup,
}

impl WindowsState {
    pub(super) const ALL: [Self; 4] = [Self::Clean, Self::Dirty, Self::Hibernated, Self::FastStartup];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Dirty => "dirty",
            Self::Hibernated => "hibernated",
            Self::FastStartup => "fast-startup",
        }
    }
}

impl fmt::Display for WindowsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<State> for WindowsState {
    fn from(state: State) -> Self {
        match state {
            State::Clean => Self::Clean,
            State::Dirty | State::LogPending => Self::Dirty,
            State::Hibernated => Self::Hibernated,
            State::LogInUse => Self::FastStartup,
        }
    }
}

/// A file to which pages of memory go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageFile {
    /// Its path, as the registry gives it: `C:\pagefile.sys`; `?:` where Windows chooses the volume.
    pub path: String,
    /// Its bytes, where it lies on the volume of Windows.
    pub size: Option<u64>,
}

/// The boot manager that a Windows brings for the EFI system partition.
const BOOT_MANAGER: &str = "Boot\\EFI\\bootmgfw.efi";
const MAX_PROGRAM: u64 = 64 << 20;
/// Where the registry names the page files.
const MEMORY: &str = "Control\\Session Manager\\Memory Management";

/// The Windows on an NTFS volume of `near`. `authority` is that of the boot manager on the EFI system partition.
pub(super) fn on_volume(
    near: &Disk,
    place: &partition::DiskVolume,
    authority: Option<&str>,
    notes: &Notes,
) -> Result<Vec<Windows>> {
    let volume = ntfs::Volume::open(near, place.range.clone())?;
    let roots = installation::roots(&volume)?;
    let windows = |root: &String| {
        // Of several on one volume the warnings say which.
        let notes = if roots.len() == 1 { notes.clone() } else { notes.about(root) };
        Reader { volume: &volume, root, notes }.windows(place, authority)
    };
    roots.iter().map(windows).collect()
}

struct Reader<'a> {
    volume: &'a ntfs::Volume,
    root: &'a str,
    notes: Notes,
}

impl<'a> Reader<'a> {
    fn windows(&self, place: &partition::DiskVolume, authority: Option<&str>) -> Result<Windows> {
        let notes = &self.notes;
        let state = notes.told("the volume's state", self.volume.state().map(|state| Some(state.into())))?;
        let (software_file, system_file) = (self.hive("SOFTWARE")?, self.hive("SYSTEM")?);
        let software = software_file.as_ref().map(|file| &file.hive);
        let system = system_file.as_ref().map(|file| &file.hive);
        let version = match (software, system) {
            (Some(software), Some(system)) => WindowsVersion::read(software, system),
            _ => Ok(WindowsVersion::default()),
        };
        let version = notes.told("which Windows it is", version)?;
        let control_set = notes.told("the control set", system.map_or(Ok(None), control_set::current))?;
        let control_set = control_set.as_ref();
        let system_root = notes.told("the letter of its volume", software.map_or(Ok(None), system_root))?;
        let files = Files::new(self.volume, self.root, system_root.as_deref());

        let installed = software.map_or(Ok(Vec::new()), |hive| software::installed(hive, notes));
        let installed = notes.told("what is installed", installed)?;
        let drivers = control_set.map_or(Ok(Vec::new()), |set| drivers::storage_drivers(set, &files, notes));
        let storage_drivers = notes.told("the drivers", drivers)?;
        let records = notes.told("the records of upgrades", record::records(self.volume, notes))?;
        let evidence = Evidence { software: &installed, records: &records, control_set, files: &files };
        let vda = notes.told("the Virtual Delivery Agent", evidence.find(&VDA, notes))?;
        let pvs_target = notes.told("the target device", evidence.find(&PVS_TARGET, notes))?;
        let left = streamed::left_behind(control_set, &storage_drivers, &files);
        notes.told("what a streamed boot left", left)?.iter().for_each(|left| notes.add(left));
        let page_files = control_set.map_or(Ok(Vec::new()), |set| self.page_files(set, &files));
        let page_files = notes.told("the page files", page_files)?;
        let own = notes.told("the boot manager's signature", self.own_authority())?;
        Ok(Windows {
            volume: place.clone(),
            root: self.root.to_owned(),
            version,
            state,
            boot_authority: authority.map(str::to_owned).or(own),
            page_files,
            software: installed,
            vda,
            pvs_target,
            storage_drivers,
        })
    }

    /// A hive of Windows; of one that was not closed what its logs make of it.
    fn hive(&self, name: &str) -> Result<Option<HiveFile<'a>>> {
        let path = format!("{}\\System32\\config\\{name}", self.root);
        let hive = self.notes.told(&path, HiveFile::open_in_place(self.volume, &path))?;
        match hive.as_ref().map(|file| file.hive.state()) {
            None => self.notes.add(format!("{path} is missing, or cannot be read")),
            Some(HiveState::Dirty { reason }) => self.notes.add(format!(
                "{path} was not closed, and its logs cannot be replayed ({reason}): it may be old"
            )),
            Some(_) => {}
        }
        Ok(hive)
    }

    fn page_files(&self, control_set: &Key<'_>, files: &Files<'_>) -> Result<Vec<PageFile>> {
        let Some(memory) = control_set.below(MEMORY)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        // `C:\pagefile.sys 1024 4096`: behind the path its least and its greatest size in MiB.
        for line in memory.strings("PagingFiles")? {
            let path = line.split(' ').next().unwrap_or_default().to_owned();
            let own = path.strip_prefix("?:").map(str::to_owned).or_else(|| files.image(&path));
            let file = own.map(|own| self.volume.find(&own)).transpose()?.flatten();
            let size = file.map(|file| file.size()).transpose()?;
            found.push(PageFile { path, size });
        }
        Ok(found)
    }

    fn own_authority(&self) -> Result<Option<String>> {
        match self.volume.find(&format!("{}\\{BOOT_MANAGER}", self.root))? {
            Some(file) => authenticode::authority(&file.reader(MAX_PROGRAM)?),
            None => Ok(None),
        }
    }
}

fn system_root(software: &Hive) -> Result<Option<String>> {
    software.key("Microsoft\\Windows NT\\CurrentVersion")?.map_or(Ok(None), |key| key.text("SystemRoot"))
}
