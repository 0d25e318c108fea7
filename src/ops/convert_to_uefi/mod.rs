//! Convert to UEFI: a Windows that a BIOS boots, on an MBR disk, becomes one that UEFI firmware boots, on a GPT disk.
//!
//! The rules are those of MBR2GPT, where it has any; the source is only read.

mod options;
mod place;
mod source;
mod story;

use std::time::{Duration, UNIX_EPOCH};

use uuid::Uuid;

pub use options::UefiOptions;
pub use place::{EspChoice, EspPlace};
use source::{Source, broken, open};
use story::Story;

use crate::chain::Child;
use crate::copy::Convert;
use crate::disk::{Disk, Patch};
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::leaves::Ids;
use crate::leaves::MIB;
use crate::leaves::Rule;
use crate::partition::{Fat32, Layout, Partition, Scheme, attribute, gpt_type, mbr_to_gpt};
use crate::windows::bcd::Installation;
use crate::windows::boot_files::{BootFiles, SigningAuthority};
use crate::windows::mounted_devices::{self, Outcome};
use crate::windows::ntfs::Volume;
use crate::windows::registry::HiveState;
use crate::windows::{GptIds, HiveFile};

/// Bytes of a block of a VHDX child. Its parent's may have 32 MiB, of which little would change.
const VHDX_BLOCK: u64 = 2 * MIB;
/// The boot store's path on the EFI system partition.
const STORE: &str = "\\EFI\\Microsoft\\Boot\\BCD";

/// What a conversion will do. Nothing is written before one of the two outputs is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UefiPlan {
    /// The disk as it is.
    pub source: Disk,
    /// The disk as it will be: the source with all changes over it.
    pub disk: Disk,
    /// Its new partition table.
    pub layout: Layout,
    /// Where the EFI system partition goes.
    pub esp_place: EspPlace,
    /// The EFI system partition.
    pub esp: Partition,
    /// Why places that come first were not taken.
    pub tried: Vec<String>,
    /// The number of the partition with Windows.
    pub windows_partition: u32,
    /// The folder of Windows: `\Windows`.
    pub windows_root: String,
    /// Where the boot files are from.
    pub boot_files: String,
    /// Whose signature the boot manager bears.
    pub authority: SigningAuthority,
    /// Bytes that are replaced.
    pub bytes_changed: u64,
    /// Bytes of files that move to make room.
    pub bytes_moved: u64,
    /// What is done, for a person to read.
    pub steps: Vec<String>,
    /// What is not as it was, or could not be carried over.
    pub warnings: Vec<String>,
    /// What is left to the user.
    pub next_steps: Vec<String>,
}

impl UefiPlan {
    /// The differencing child that carries the plan out; the source stays as it is, so that deleting the child undoes
    /// all.
    pub fn child(&self) -> Child {
        let child = Child::of(&self.source).content_of(&self.disk);
        match self.source.chain().first().map(|top| top.info().format) {
            Some(Format::Vhdx) => child.block_size(VHDX_BLOCK),
            _ => child,
        }
    }

    /// The copy that carries the plan out.
    pub fn copy(&self) -> Convert {
        Convert::new(&self.disk)
    }
}

/// Plans the conversion of `source`, of any format, with all its versions. With a [seed](Ids::seeded) the same source
/// gives the same plan each time.
///
/// ```no_run
/// use diskport::Ids;
/// use diskport::ops::{UefiOptions, plan_convert_to_uefi};
///
/// let source = diskport::open("windows.vhdx")?;
/// let plan = plan_convert_to_uefi(&source, &UefiOptions::default(), &mut Ids::random())?;
/// for step in &plan.steps {
///     println!("{step}");
/// }
/// plan.child().create("windows-uefi.vhdx")?;
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NotConvertible`](crate::Error::NotConvertible) with the [rule](crate::Rule) that the disk breaks,
/// [`Error::Damaged`](crate::Error::Damaged), and what reading the source gives rise to.
pub fn plan_convert_to_uefi(source: &Disk, options: &UefiOptions, ids: &mut Ids) -> Result<UefiPlan> {
    let found = Source::read(source, options)?;
    let windows = open(source, found.windows_partition())?;
    let files = match &options.boot_files {
        Some(folder) => BootFiles::in_folder(folder, options.authority)?,
        None => BootFiles::of_windows(&windows, &found.root, options.authority)?,
    };
    let origin = files.origin.clone();
    let place = place::find(source, &found, options, files.size())?;
    let mut story = Story::new(&found, &place, &files);

    let mut layout = Layout { disk_size: place.disk_size, partitions: place.partitions, ..found.mbr.clone() };
    layout = mbr_to_gpt(&layout, &options.types, ids)?;
    let esp_id = ids.guid();
    let esp = add_esp(&mut layout, &found, place.place, place.range.clone(), esp_id);
    let ids_of_gpt = gpt_ids(&layout, &esp, found.signature);

    // The volume as it will be: what is in its files may have moved.
    let cut = source.patched(source.size(), place.changes.clone())?;
    let range = layout.partitions[found.windows].range();
    let letters = rename_letters(&Volume::open(&cut, range)?, &found.root, &ids_of_gpt, &mut story)?;
    let store = boot_store(&found, &ids_of_gpt, esp_id, ids, &mut story)?;
    let volume = esp_volume(files, found.bootstat.as_deref(), store, &esp, &layout, ids)?;

    let (bytes_moved, table) = (place.changes.moved(), layout.patches(source)?);
    let changes = place.changes.and(letters).and(volume).and(table);
    let bytes_changed = changes.patches.iter().map(|patch| patch.bytes.len() as u64).sum();
    Ok(UefiPlan {
        source: source.clone(),
        disk: source.patched(place.disk_size, changes)?,
        windows_partition: found.windows_partition().index,
        windows_root: found.root.clone(),
        layout,
        esp_place: place.place,
        esp,
        tried: place.tried,
        boot_files: origin,
        authority: options.authority,
        bytes_changed,
        bytes_moved,
        steps: story.steps,
        warnings: story.warnings,
        next_steps: story.next_steps,
    })
}

/// Puts the EFI system partition into the table. The old system partition, where it stays, gets no drive letter.
fn add_esp(
    layout: &mut Layout,
    found: &Source,
    place: EspPlace,
    range: std::ops::Range<u64>,
    id: Uuid,
) -> Partition {
    let system = &mut layout.partitions[found.system];
    let mut esp = Partition::new(system.index, gpt_type::EFI_SYSTEM, range, id);
    esp.attributes = attribute::NO_DRIVE_LETTER;
    if place == EspPlace::Reuse {
        *system = esp.clone();
        return esp;
    }
    if found.system != found.windows {
        system.attributes |= attribute::NO_DRIVE_LETTER;
    }
    esp.index = layout.partitions.iter().map(|partition| partition.index).max().unwrap_or(0) + 1;
    layout.partitions.push(esp.clone());
    esp
}

/// What the partitions are called now, but for the EFI system partition, which is another one than was in its place.
fn gpt_ids(layout: &Layout, esp: &Partition, signature: u32) -> GptIds {
    let disk = match layout.scheme {
        Scheme::Gpt { id, .. } => id,
        Scheme::Mbr { .. } => Uuid::nil(),
    };
    let others = layout.partitions.iter().filter(|partition| partition.id != esp.id);
    let partitions = others.filter_map(|partition| Some((partition.start, partition.id?))).collect();
    GptIds { signature, disk, partitions }
}

/// The drive letters, so that C: stays C:.
fn rename_letters(volume: &Volume, root: &str, ids: &GptIds, story: &mut Story) -> Result<Vec<Patch>> {
    let path = format!("{root}\\System32\\config\\SYSTEM");
    let Some(mut file) = HiveFile::open(volume, &path)? else {
        story.warnings.push(format!("there is no {path}: drive letters are left to Windows"));
        return Ok(Vec::new());
    };
    if let HiveState::Dirty { reason } = file.hive.state() {
        // A change under a log that is still to be replayed would spoil the hive.
        story.warnings.push(format!(
            "{path} was not closed ({reason}), and is left as it is: Windows may give other drive letters"
        ));
        return Ok(Vec::new());
    }
    for renamed in mounted_devices::rename(&mut file.hive, ids).map_err(|e| e.within(&path))? {
        match renamed.outcome {
            Outcome::Kept => story.steps.push(format!("{} stays the same volume", renamed.name)),
            Outcome::NoRoom => {
                story
                    .warnings
                    .push(format!("{} is left to Windows: {path} has no room for it", renamed.name));
            }
        }
    }
    file.patches()
}

/// The boot store, as it is to be on the EFI system partition.
fn boot_store(found: &Source, gpt: &GptIds, esp: Uuid, ids: &mut Ids, story: &mut Story) -> Result<Vec<u8>> {
    let Some(mut store) = found.store.clone() else {
        let windows = gpt.partition(found.windows_partition().start).unwrap_or_default();
        let installation = Installation {
            description: "Windows".to_owned(),
            locale: "en-US".to_owned(),
            disk: gpt.disk,
            esp,
            windows,
        };
        story
            .warnings
            .push("there was no boot store: the new one starts Windows, and has no other entries".to_owned());
        return installation.store(|| ids.guid()).to_hive(STORE);
    };
    let boot = found.mbr.partitions[found.system].start;
    let unresolved = store.to_uefi(gpt, esp, boot);
    story.warnings.extend(unresolved.iter().map(ToString::to_string));
    story.steps.push("the boot store's entries are carried over".to_owned());
    store.to_hive(STORE)
}

/// The file system of the EFI system partition.
fn esp_volume(
    files: BootFiles,
    bootstat: Option<&[u8]>,
    store: Vec<u8>,
    esp: &Partition,
    layout: &Layout,
    ids: &mut Ids,
) -> Result<Vec<Patch>> {
    let modified = UNIX_EPOCH + Duration::from_secs(ids.time());
    let mut volume = Fat32::new(esp.range(), layout.sector_size).serial(ids.serial()).modified(modified);
    let mut all = files.files;
    all.extend(bootstat.map(|bytes| ("EFI/Microsoft/Boot/BOOTSTAT.DAT".to_owned(), bytes.to_vec())));
    all.push((STORE[1..].to_owned(), store));
    for (path, bytes) in all {
        volume.add_file(&path, bytes).map_err(|e| match e {
            Error::Unsupported { what } => broken(Rule::BootFiles, what),
            other => other,
        })?;
    }
    volume.into_patches()
}
