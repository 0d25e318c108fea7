//! Which firmware starts a disk, and who signed what it starts.

use std::fmt;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Result;
use crate::partition::{self, FatVolume, FileSystem, Layout, PartitionType, Scheme, attribute, gpt_type};
use crate::storage::{MemoryStorage, ReadAt};
use crate::windows::authenticode;
use crate::windows::ntfs;

use super::notes::Notes;

/// Firmware that starts a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Firmware {
    /// A BIOS, by the code in the first sector.
    Bios,
    /// UEFI, by a program on the EFI system partition.
    Uefi,
    /// Either of them.
    Both,
}

impl Firmware {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
            Firmware::Both => "both",
        }
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Firmware::Bios => "BIOS",
            Firmware::Uefi => "UEFI",
            Firmware::Both => "BIOS and UEFI",
        })
    }
}

/// Windows' boot manager on an EFI system partition.
const BOOT_MANAGER: &str = "\\EFI\\Microsoft\\Boot\\bootmgfw.efi";
/// What UEFI starts: Windows' boot manager by its entry, others without one (UEFI Specification 2.10, section 3.5.1.1).
const PROGRAMS: [&str; 4] =
    [BOOT_MANAGER, "\\EFI\\Boot\\bootx64.efi", "\\EFI\\Boot\\bootaa64.efi", "\\EFI\\Boot\\bootia32.efi"];
/// Bytes of a boot manager; Windows' has about 3 MB.
const MAX_PROGRAM: u64 = 64 << 20;
/// The partition of an MBR that UEFI looks into.
const MBR_EFI: PartitionType = PartitionType::Mbr(0xef);
/// Bytes of an MBR before the disk's signature are code; GRUB's names itself, and needs no active partition.
const CODE: usize = 440;
const GRUB: &[u8] = b"GRUB";
/// What starts Windows on a volume that BIOS code begins: since Vista, and before.
const BIOS_LOADERS: [&str; 2] = ["bootmgr", "ntldr"];

/// What starts a disk.
#[derive(Debug, Default)]
pub(super) struct Starts {
    pub firmware: Option<Firmware>,
    /// Who signed the boot manager on the EFI system partition; `None` when there is none, or it is not signed.
    pub authority: Option<String>,
}

/// Looks for what starts `disk`; `near` is the same disk, with what was read of it kept.
pub(super) fn starts(
    disk: &Disk,
    near: &Disk,
    layout: Option<&Layout>,
    volumes: &[partition::DiskVolume],
    notes: &Notes,
) -> Result<Starts> {
    let mut found = Starts::default();
    let mut uefi = false;
    for volume in volumes.iter().filter(|volume| is_esp(volume, layout)) {
        let there = FatVolume::open(&near.slice(volume.range.clone()))
            .and_then(|fat| look(fat, &mut found.authority));
        uefi |= notes.told(&volume.name(), there)?;
    }
    let bios = match layout {
        Some(layout) => starts_by_bios(disk, layout)?,
        None => match volumes {
            [whole] => notes.told("the volume", has_bios_loader(near, whole))?,
            _ => false,
        },
    };
    found.firmware = match (bios, uefi) {
        (true, true) => Some(Firmware::Both),
        (true, false) => Some(Firmware::Bios),
        (false, true) => Some(Firmware::Uefi),
        (false, false) => None,
    };
    Ok(found)
}

/// Whether UEFI finds a program on a volume; the authority of Windows' boot manager, where that is there.
fn look(volume: Option<FatVolume>, authority: &mut Option<String>) -> Result<bool> {
    let Some(volume) = volume else { return Ok(false) };
    if let Some(manager) = volume.read(BOOT_MANAGER, MAX_PROGRAM)? {
        let manager: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new(manager));
        *authority = authenticode::authority(&manager)?;
        return Ok(true);
    }
    for program in PROGRAMS {
        if volume.has_file(program)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_esp(volume: &partition::DiskVolume, layout: Option<&Layout>) -> bool {
    let partitions = layout.map(|layout| &layout.partitions[..]).unwrap_or_default();
    let own = partitions.iter().find(|partition| Some(partition.index) == volume.partition);
    own.is_some_and(|own| [PartitionType::Gpt(gpt_type::EFI_SYSTEM), MBR_EFI].contains(&own.kind))
}

fn starts_by_bios(disk: &Disk, layout: &Layout) -> Result<bool> {
    let mut code = [0; CODE];
    if disk.size() < code.len() as u64 {
        return Ok(false);
    }
    disk.read_at(&mut code, 0)?;
    let has_code = code.iter().any(|&byte| byte != 0);
    let mut partitions = layout.partitions.iter();
    Ok(has_code
        && match layout.scheme {
            // Windows writes such code to disks that it starts nothing from, too.
            Scheme::Mbr { .. } => {
                partitions.any(|partition| partition.active)
                    || code.windows(GRUB.len()).any(|part| part == GRUB)
            }
            Scheme::Gpt { .. } => partitions.any(|partition| {
                partition.kind == PartitionType::Gpt(gpt_type::BIOS_BOOT)
                    || partition.attributes & attribute::LEGACY_BOOTABLE != 0
            }),
        })
}

/// Whether a volume that is the whole disk has what its boot sector starts.
fn has_bios_loader(near: &Disk, volume: &partition::DiskVolume) -> Result<bool> {
    if volume.file_system != Some(FileSystem::Ntfs) {
        return Ok(false);
    }
    let volume = ntfs::Volume::open(near, volume.range.clone())?;
    for loader in BIOS_LOADERS {
        if volume.find(loader)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
