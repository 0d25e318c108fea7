//! The drivers by which a Windows reaches its disk when it starts, and what stands in their way.
//!
//! The boot loader loads the drivers whose `Start` is 0; a subkey `StartOverride` takes that back for one of them, and a filter
//! of a class that is missing stops all devices of the class (stop 7Bh).

use crate::error::Result;
use crate::windows::registry::Key;

use super::files::Files;
use super::notes::Notes;

/// When a service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// By the boot loader.
    Boot,
    /// By the kernel.
    System,
    /// By the service manager.
    Auto,
    /// When it is asked for.
    Demand,
    /// Never.
    Disabled,
}

impl Start {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Start::Boot => "boot",
            Start::System => "system",
            Start::Auto => "auto",
            Start::Demand => "demand",
            Start::Disabled => "disabled",
        }
    }

    fn of(number: u32) -> Option<Self> {
        [Self::Boot, Self::System, Self::Auto, Self::Demand, Self::Disabled]
            .get(usize::try_from(number).ok()?)
            .copied()
    }
}

/// A driver of the way to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageDriver {
    /// The name of its service.
    pub name: String,
    /// When it starts, as its service says; `None` when there is no such service, or it does not say.
    pub start: Option<Start>,
    /// The path of its file on the volume of Windows; `None` when it lies elsewhere, or there is no service.
    pub file: Option<String>,
    /// Whether its file is there.
    pub present: bool,
    /// What stands in the way of its start at boot.
    pub hindrance: Option<String>,
}

/// The types of services that are drivers: of devices, of file systems.
const DRIVERS: [u32; 2] = [1, 2];
/// Groups (`Control\ServiceGroupOrder`) of drivers of adapters and disks.
const GROUPS: [&str; 5] =
    ["SCSI Miniport", "SCSI Class", "Primary Disk", "System Bus Extender", "Boot Bus Extender"];
/// Drivers of controllers and of their buses, and what streams disks over a network; whatever their group and start.
const KNOWN: [&str; 36] = [
    // In Windows.
    "storahci",
    "stornvme",
    "msahci",
    "atapi",
    "intelide",
    "pciide",
    "LSI_SAS",
    "LSI_SAS2",
    "LSI_SAS2i",
    "LSI_SAS3",
    "LSI_SAS3i",
    "LSI_SCSI",
    "megasas",
    "iaStorV",
    "iaStorAV",
    "iaStorAVC",
    "pci",
    "vhdmp",
    // Hyper-V's and Azure's.
    "vmbus",
    "storvsc",
    "storflt",
    "vpci",
    // VMware's.
    "pvscsi",
    // KVM's, Xen's.
    "viostor",
    "vioscsi",
    "xenvbd",
    "xenbus",
    "xenfilt",
    "xvdd",
    // Citrix Provisioning's.
    "bnistack",
    "bnistack6",
    "CVhdMp",
    "CVhdBusP6",
    "CFsDep2",
    // Snapshots and spaces that filter volumes.
    "volsnap",
    "spaceport",
];
/// Device classes whose filters stand between Windows and its disk.
const CLASSES: [(&str, &str); 6] = [
    ("{4d36e967-e325-11ce-bfc1-08002be10318}", "DiskDrive"),
    ("{4d36e96a-e325-11ce-bfc1-08002be10318}", "HDC"),
    ("{4d36e97b-e325-11ce-bfc1-08002be10318}", "SCSIAdapter"),
    ("{4d36e97d-e325-11ce-bfc1-08002be10318}", "System"),
    ("{71a27cdd-812a-11d0-bec7-08002be2092f}", "Volume"),
    ("{533c5b84-ec70-11d2-9505-00c04f79deaf}", "VolumeSnapshot"),
];
/// Services of a control set at most.
const MOST: usize = 100_000;

/// The drivers of `control_set`, sorted by name.
pub(super) fn storage_drivers(
    control_set: &Key<'_>,
    files: &Files<'_>,
    notes: &Notes,
) -> Result<Vec<StorageDriver>> {
    let filters = filters(control_set)?;
    let mut drivers: Vec<StorageDriver> = Vec::new();
    if let Some(services) = control_set.below("Services")? {
        for service in services.subkeys()?.take(MOST) {
            let driver = service.and_then(|service| driver(&service, files, &filters));
            drivers.extend(notes.told("a service", driver)?);
        }
    }
    for (name, class) in filters {
        if !drivers.iter().any(|driver| driver.name.eq_ignore_ascii_case(&name)) {
            let hindrance = Some(format!(
                "a filter of the class {class}, and no service: devices of the class do not start"
            ));
            drivers.push(StorageDriver { name, start: None, file: None, present: false, hindrance });
        }
    }
    drivers.sort_by_cached_key(|driver| driver.name.to_lowercase());
    drivers.dedup_by(|a, b| a.name.eq_ignore_ascii_case(&b.name));
    Ok(drivers)
}

/// The filters of the classes, each with its class.
fn filters(control_set: &Key<'_>) -> Result<Vec<(String, &'static str)>> {
    let mut filters = Vec::new();
    let Some(classes) = control_set.below("Control\\Class")? else { return Ok(filters) };
    for (id, class) in CLASSES {
        let Some(key) = classes.subkey(id)? else { continue };
        for which in ["UpperFilters", "LowerFilters"] {
            filters.extend(key.strings(which)?.into_iter().map(|name| (name, class)));
        }
    }
    Ok(filters)
}

fn driver(
    service: &Key<'_>,
    files: &Files<'_>,
    filters: &[(String, &'static str)],
) -> Result<Option<StorageDriver>> {
    let name = service.name();
    if !service.integer("Type")?.is_some_and(|kind| DRIVERS.contains(&kind)) {
        return Ok(None);
    }
    let start = service.integer("Start")?.and_then(Start::of);
    let group = service.text("Group")?.unwrap_or_default();
    let filtered =
        filters.iter().find(|(filter, _)| filter.eq_ignore_ascii_case(name)).map(|(_, class)| *class);
    let known = KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name));
    let of_group = GROUPS.iter().any(|known| known.eq_ignore_ascii_case(&group));
    if !known && filtered.is_none() && !(of_group && start == Some(Start::Boot)) {
        return Ok(None);
    }
    // Without a path it is the driver of its own name.
    let image = service.text("ImagePath")?.unwrap_or_else(|| format!("System32\\drivers\\{name}.sys"));
    let file = files.image(&image);
    let present = file.as_deref().map_or(Ok(false), |file| files.has(file))?;
    let hindrance = match (&file, start_override(service)?) {
        (None, _) => Some(format!("its file lies on another volume: {image}")),
        (Some(file), _) if !present => Some(format!("its file is missing: {file}")),
        (_, Some(start)) => Some(format!("StartOverride: its start is {}", start.name())),
        _ => match (start, filtered) {
            (Some(Start::Boot), _) => None,
            (Some(Start::Disabled), Some(class)) => Some(format!(
                "a filter of the class {class}, and disabled: devices of the class do not start"
            )),
            (Some(start), _) => Some(format!("its start is {}", start.name())),
            (None, _) => Some("its service does not say when it starts".to_owned()),
        },
    };
    Ok(Some(StorageDriver { name: name.to_owned(), start, file, present, hindrance }))
}

/// What the subkey `StartOverride` makes of the start, in its values for the machine's hardware profiles.
fn start_override(service: &Key<'_>) -> Result<Option<Start>> {
    let Some(key) = service.subkey("StartOverride")? else { return Ok(None) };
    for value in key.values()? {
        let number = value?.integer()?.and_then(|number| number.try_into().ok());
        if let Some(start) = number.and_then(Start::of).filter(|&start| start != Start::Boot) {
            return Ok(Some(start));
        }
    }
    Ok(None)
}
