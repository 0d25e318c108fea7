//! What is on a disk that is to be converted, as far as the conversion must know; what hinders it is found here.

use super::options::UefiOptions;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaves::Ids;
use crate::leaves::MIB;
use crate::leaves::Rule;
use crate::ops::convert_to_gpt::no_table;
use crate::partition::{
    FileSystem, Layout, Partition, PartitionType, Scheme, TypeMap, encrypted_volumes, mbr_to_gpt,
};
use crate::windows::HiveFile;
use crate::windows::bcd::{self, DeviceTarget, Element, Object, Store, element_type, object_type};
use crate::windows::installation::is_windows;
use crate::windows::ntfs::Volume;
use crate::windows::program::{machine, machine_of};
use crate::windows::registry::HiveState;

/// Bytes of a loader; `winload.efi` has about 2 MB.
const MAX_LOADER: u64 = 64 * MIB;
/// The boot store's path on the system partition.
const STORE: &str = "\\Boot\\BCD";
/// `BOOTSTAT.DAT` has 64 KiB.
const MAX_BOOTSTAT: u64 = MIB;

/// A Windows that a BIOS boots.
#[derive(Debug)]
pub(super) struct Source {
    pub mbr: Layout,
    /// The signature in the MBR.
    pub signature: u32,
    /// The places among the partitions of the system partition and of Windows' own, which may be the same.
    pub system: usize,
    pub windows: usize,
    /// The folder of Windows: `\Windows`.
    pub root: String,
    /// The boot store; `None` when there is none.
    pub store: Option<Store>,
    /// The boot manager's record of how the last start went.
    pub bootstat: Option<Vec<u8>>,
    /// Whether Windows' recovery environment is on the system partition.
    pub recovery_on_system: bool,
    /// What else is in the system partition's root directory.
    pub on_system: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Whether the marks of logs count, whatever their version.
    pub log_trusted: bool,
}

/// What setup puts into the root directory of a system partition.
const OF_SETUP: [&str; 7] =
    ["boot", "bootmgr", "bootnxt", "bootsect.bak", "recovery", "system volume information", "."];

impl Source {
    pub fn read(disk: &Disk, options: &UefiOptions) -> Result<Self> {
        disk.check_complete()?;
        let mbr = table(disk, &options.types)?;
        let Scheme::Mbr { signature } = mbr.scheme else {
            return Err(broken(Rule::AlreadyGpt, "the disk has a GPT already".to_owned()));
        };
        if let Some(volume) = encrypted_volumes(disk)?.first() {
            let reason = format!("the volume at byte {} is encrypted by {}", volume.start, volume.kind);
            return Err(broken(Rule::Encrypted, reason));
        }
        let system = active(&mbr, disk)?;
        let volume = open(disk, &mbr.partitions[system])?.trust_log(options.log_trusted);
        volume.check_clean().map_err(|e| e.within(name(&mbr.partitions[system])))?;
        let store = read_store(&volume)?;
        let bootstat = match volume.find("\\Boot\\BOOTSTAT.DAT")? {
            Some(file) => match file.read(MAX_BOOTSTAT) {
                Ok(bytes) => Some(bytes),
                // Windows makes another.
                Err(Error::Layout { .. }) => None,
                Err(e) => return Err(e),
            },
            None => None,
        };
        let recovery_on_system = has_recovery_image(&volume)?;
        let names = volume.root()?.entries()?.into_iter().map(|entry| entry.name);
        let on_system = names
            .filter(|name| !name.starts_with('$') && !OF_SETUP.contains(&name.to_lowercase().as_str()))
            .collect();
        let (windows, root) = match &store {
            Some(store) => default_windows(disk, &mbr, signature, system, store)?,
            None => only_windows(disk, &mbr)?,
        };
        let mut source = Self {
            mbr,
            signature,
            system,
            windows,
            root,
            store,
            bootstat,
            recovery_on_system,
            on_system,
            warnings: Vec::new(),
            log_trusted: options.log_trusted,
        };
        source.check_windows(disk)?;
        source.warnings = source.other_installations(disk)?;
        Ok(source)
    }

    /// The partition that has Windows.
    pub fn windows_partition(&self) -> &Partition {
        &self.mbr.partitions[self.windows]
    }

    /// Whether there is a recovery environment, as far as the partitions tell.
    pub fn has_recovery(&self) -> bool {
        let recovery = |partition: &Partition| partition.kind == PartitionType::Mbr(0x27);
        self.recovery_on_system || self.mbr.partitions.iter().any(recovery)
    }

    /// What is said of other Windows on the disk, whose own registries are not changed.
    fn other_installations(&self, disk: &Disk) -> Result<Vec<String>> {
        let others = with_windows(disk, &self.mbr, &self.root)?.into_iter().filter(|&at| at != self.windows);
        let warning = |at: usize| {
            let index = self.mbr.partitions[at].index;
            format!(
                "partition {index} has a Windows too, which the default entry does not start: its drive letters may change"
            )
        };
        Ok(others.map(warning).collect())
    }

    /// Refuses a Windows that UEFI cannot boot, or that is not shut down.
    fn check_windows(&self, disk: &Disk) -> Result<()> {
        let partition = self.windows_partition();
        let volume = open(disk, partition)?.trust_log(self.log_trusted);
        let system32 = format!("{}\\System32", self.root);
        if volume.find(&system32)?.is_none() {
            let reason =
                format!("the default entry starts {}, but partition {} has none", self.root, partition.index);
            return Err(broken(Rule::DefaultEntry, reason));
        }
        // The machine that a loader is for, where it can be read: the boot manager reads more kinds of compressed files.
        let loader = |name: &str| -> Result<Option<Option<u16>>> {
            let Some(file) = volume.find(&format!("{system32}\\{name}"))? else { return Ok(None) };
            match file.read(MAX_LOADER) {
                Ok(bytes) => Ok(Some(machine_of(&bytes))),
                Err(Error::Layout { .. }) => Ok(Some(None)),
                Err(e) => Err(e),
            }
        };
        let uefi = loader("winload.efi")?;
        let machine = match uefi.flatten() {
            Some(machine) => Some(machine),
            None => loader("winload.exe")?.flatten(),
        };
        if machine == Some(machine::I386) {
            let reason = format!("{} is a 32-bit Windows, and UEFI boots only 64-bit ones", self.root);
            return Err(broken(Rule::Architecture, reason));
        }
        if uefi.is_none() {
            let reason = format!("{system32} has no winload.efi: a 32-bit Windows, or one too old for UEFI");
            return Err(broken(Rule::Architecture, reason));
        }
        volume.check_clean().map_err(|e| e.within(name(partition)))
    }
}

/// The disk's table, with all that a GPT cannot take over refused but what a place for the EFI system partition mends:
/// the room behind the last partition.
fn table(disk: &Disk, types: &TypeMap) -> Result<Layout> {
    let Some(layout) = Layout::read(disk)? else {
        return Err(no_table(disk)?);
    };
    layout.validate()?;
    let roomy = Layout { disk_size: layout.disk_size.saturating_add(MIB), ..layout.clone() };
    mbr_to_gpt(&roomy, types, &mut Ids::seeded(0))?;
    Ok(layout)
}

/// The one active partition, which must hold NTFS.
fn active(mbr: &Layout, disk: &Disk) -> Result<usize> {
    let active: Vec<_> = (0..mbr.partitions.len()).filter(|&at| mbr.partitions[at].active).collect();
    let &[system] = &active[..] else {
        let reason = format!("{} partitions are active: one must be, the system partition", active.len());
        return Err(broken(Rule::ActivePartition, reason));
    };
    let partition = &mbr.partitions[system];
    match partition.file_system(disk)? {
        Some(FileSystem::Ntfs) => Ok(system),
        other => {
            let found = other.map_or("nothing that is known", FileSystem::name);
            let reason = format!("the active partition {} holds {found}, not NTFS", partition.index);
            Err(broken(Rule::ActivePartition, reason))
        }
    }
}

/// Whether a recovery environment is on the volume: under `\Recovery\WindowsRE`, or in a folder with a GUID for its name.
fn has_recovery_image(volume: &Volume) -> Result<bool> {
    let Some(folder) = volume.find("\\Recovery")? else { return Ok(false) };
    if !folder.is_directory()? {
        return Ok(false);
    }
    let is_image =
        |path: &str| path.rsplit('\\').next().is_some_and(|name| name.eq_ignore_ascii_case("winre.wim"));
    Ok(folder.tree()?.iter().any(|(path, _)| is_image(path)))
}

fn read_store(volume: &Volume) -> Result<Option<Store>> {
    let Some(file) = HiveFile::open(volume, STORE)? else { return Ok(None) };
    if let HiveState::Dirty { reason } = file.hive.state() {
        let reason = format!("the boot store was not closed, and its logs cannot be replayed: {reason}");
        return Err(broken(Rule::DirtyHive, reason));
    }
    Store::read(&file.hive).map(Some).map_err(|e| e.within(STORE))
}

/// The partition and the folder of the Windows that the store's default entry starts.
fn default_windows(
    disk: &Disk,
    mbr: &Layout,
    signature: u32,
    system: usize,
    store: &Store,
) -> Result<(usize, String)> {
    let refuse = |reason: String| Err(broken(Rule::DefaultEntry, reason));
    let Some(entry) = store.default_entry() else {
        return refuse("the boot store has no default entry".to_owned());
    };
    if entry.kind != object_type::WINDOWS_LOADER {
        return refuse(format!("the default entry is of type {:#x}: it starts no Windows", entry.kind));
    }
    let Some(root) = entry.text(element_type::SYSTEM_ROOT) else {
        return refuse("the default entry names no folder of a Windows".to_owned());
    };
    let root = root.trim_end_matches('\\').to_owned();
    let windows = match target(&entry) {
        Some(DeviceTarget::Boot) => system,
        Some(DeviceTarget::Partition(bcd::DevicePartition::Mbr { signature: of, offset })) => {
            let found = mbr.partitions.iter().position(|partition| partition.start == offset);
            match found.filter(|_| of == signature) {
                Some(windows) => windows,
                None => {
                    return refuse(format!(
                        "the default entry starts what is at byte {offset} of disk {of:08x}, where this disk, \
                         {signature:08x}, has no partition"
                    ));
                }
            }
        }
        Some(DeviceTarget::Locate { .. }) => return located(disk, mbr, root),
        other => {
            let what = other.map_or("an unknown device".to_owned(), |target| format!("{target:?}"));
            return refuse(format!(
                "the default entry starts Windows from {what}, no partition of this disk"
            ));
        }
    };
    match mbr.partitions[windows].file_system(disk)? {
        Some(FileSystem::Ntfs) => Ok((windows, root)),
        _ => refuse(format!(
            "the default entry starts Windows from partition {}, which holds no NTFS",
            mbr.partitions[windows].index
        )),
    }
}

fn target(entry: &Object<'_>) -> Option<DeviceTarget> {
    match entry.get(element_type::OS_DEVICE)? {
        Element::Device(device) => Some(device.target),
        _ => None,
    }
}

/// The first partition that has the folder, as the boot manager looks for it.
fn located(disk: &Disk, mbr: &Layout, root: String) -> Result<(usize, String)> {
    match with_windows(disk, mbr, &root)?.first() {
        Some(&windows) => Ok((windows, root)),
        None => {
            let reason = format!("the default entry starts {root}, which no NTFS volume of the disk has");
            Err(broken(Rule::DefaultEntry, reason))
        }
    }
}

/// The only Windows of a disk without a boot store.
fn only_windows(disk: &Disk, mbr: &Layout) -> Result<(usize, String)> {
    let root = "\\Windows".to_owned();
    match with_windows(disk, mbr, &root)?[..] {
        [windows] => Ok((windows, root)),
        ref all => {
            let reason = format!(
                "the system partition has no \\Boot\\BCD, and {} partitions have a Windows",
                all.len()
            );
            Err(broken(Rule::BootStore, reason))
        }
    }
}

fn with_windows(disk: &Disk, mbr: &Layout, root: &str) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for (at, partition) in mbr.partitions.iter().enumerate() {
        if partition.file_system(disk)? != Some(FileSystem::Ntfs) {
            continue;
        }
        match open(disk, partition).and_then(|volume| is_windows(&volume, root)) {
            Ok(true) => found.push(at),
            // What cannot be read starts nothing.
            Ok(false) | Err(Error::Within { .. } | Error::Damaged { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

pub(super) fn open(disk: &Disk, partition: &Partition) -> Result<Volume> {
    Volume::open(disk, partition.range()).map_err(|e| e.within(name(partition)))
}

/// How messages call a partition.
pub(super) fn name(partition: &Partition) -> String {
    format!("partition {}", partition.index)
}

pub(super) fn broken(rule: Rule, reason: String) -> Error {
    Error::NotConvertible { rule, reason }
}
