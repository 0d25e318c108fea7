//! The store of a BIOS disk, made that of the same disk under UEFI.
//!
//! The two kinds differ in the devices, in the names of the loaders (`.efi` for `.exe`), and in few elements more.

use std::fmt;

use uuid::Uuid;

use super::device::{Device, DevicePartition, DeviceTarget, OPTIONS, PARTITION_SIZE};
use super::element::Element;
use super::store::{Object, Store, elements_mut, set};
use super::{element_type, object, object_type};
use crate::windows::GptIds;
use crate::windows::registry::Tree;

const BOOT_MANAGER_PATH: &str = "\\EFI\\Microsoft\\Boot\\bootmgfw.efi";
const MEMORY_TEST_PATH: &str = "\\EFI\\Microsoft\\Boot\\memtest.efi";

/// An element that the conversion could not carry over; the rest of the store works. MBR2GPT ends with code 100 then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The object.
    pub object: Uuid,
    /// What the object calls itself.
    pub description: Option<String>,
    /// The element; `None` when it is the object itself.
    pub element: Option<u32>,
    /// Why.
    pub reason: UnresolvedReason,
}

/// Why an element was not carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnresolvedReason {
    /// It names a partition of this disk that is no more, or never was.
    PartitionGone {
        /// The partition's first byte.
        offset: u64,
    },
    /// It names an MBR partition of another disk.
    OtherDisk {
        /// The disk's signature.
        signature: u32,
    },
    /// It means the partition that the BIOS started from, which is the EFI system partition now.
    BootPartitionGone,
    /// It starts what UEFI cannot start: a boot sector, or a loader for the BIOS.
    BiosOnly,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.description.as_deref().unwrap_or("without description");
        write!(f, "boot entry {} ({name})", self.object.braced())?;
        if let Some(element) = self.element {
            write!(f, ", element {element:08x}")?;
        }
        match self.reason {
            UnresolvedReason::PartitionGone { offset } => {
                write!(f, ": no partition begins at byte {offset} any more")
            }
            UnresolvedReason::OtherDisk { signature } => {
                write!(f, ": names a partition of another disk, {signature:08x}")
            }
            UnresolvedReason::BootPartitionGone => {
                f.write_str(": means the partition that the BIOS booted from, which is no more")
            }
            UnresolvedReason::BiosOnly => f.write_str(": cannot be started by UEFI"),
        }
    }
}

impl Store {
    /// Makes this the store of the same Windows under UEFI: on a disk with new ids, with the EFI system partition
    /// `esp`, which may be in the place of an old partition. `boot` is the first byte of the partition that was active.
    ///
    /// All entries stay, with what the user set. Answers the elements that could not be carried over.
    pub fn to_uefi(&mut self, ids: &GptIds, esp: Uuid, boot: u64) -> Vec<Unresolved> {
        let mut unresolved = Vec::new();
        for key in self.object_keys() {
            let Some(object) = Object::of(key) else { continue };
            let (id, kind, description) = (object.id, object.kind, object.text(element_type::DESCRIPTION));
            let is_windows = is_installed_windows(&object);
            let mut report = |element, reason| {
                let description = description.clone();
                unresolved.push(Unresolved { object: id, description, element, reason });
            };
            match id {
                object::BOOT_MANAGER => start_from_esp(key, ids.disk, esp, BOOT_MANAGER_PATH),
                object::MEMORY_TEST => start_from_esp(key, ids.disk, esp, MEMORY_TEST_PATH),
                _ if kind & 0xf0f0_0000 == 0x1020_0000 => rename_loader(key),
                _ => {}
            }
            // What the boot manager and the memory test had on the old system partition is on the new one.
            let on_esp = matches!(id, object::BOOT_MANAGER | object::MEMORY_TEST);
            let places = Places { ids, boot, esp, on_esp };
            for (number, data) in elements_mut(key) {
                if number >> 24 & 0xf == 1 {
                    places.rename(data, |reason| report(Some(number), reason));
                }
            }
            // Image types 3 and 4: a loader for the BIOS, code for the real mode.
            if matches!(kind & 0xf0f0_0000, 0x1030_0000 | 0x1040_0000) {
                report(None, UnresolvedReason::BiosOnly);
            }
            if is_windows {
                set(key, element_type::ISOLATED_CONTEXT, &Element::Boolean(true));
            }
        }
        unresolved
    }
}

/// Whether an object starts or wakes an installed Windows: those are told apart from others under UEFI.
fn is_installed_windows(object: &Object<'_>) -> bool {
    matches!(object.kind, object_type::WINDOWS_LOADER | object_type::RESUME_LOADER)
        && object.text(element_type::SYSTEM_ROOT).is_some()
        && object.get(element_type::WIN_PE) != Some(Element::Boolean(true))
}

fn start_from_esp(key: &mut Tree, disk: Uuid, esp: Uuid, path: &str) {
    let device = Device::new(DeviceTarget::Partition(DevicePartition::Gpt { disk, partition: esp }));
    set(key, element_type::DEVICE, &Element::Device(device));
    set(key, element_type::PATH, &Element::Text(path.to_owned()));
}

/// `winload.exe` becomes `winload.efi`, wherever it is.
fn rename_loader(key: &mut Tree) {
    let path = Object::of(key).and_then(|object| object.text(element_type::PATH));
    let stem = path.as_deref().and_then(|path| path.split_at_checked(path.len().checked_sub(4)?));
    if let Some((stem, _)) = stem.filter(|(_, ending)| ending.eq_ignore_ascii_case(".exe")) {
        set(key, element_type::PATH, &Element::Text(format!("{stem}.efi")));
    }
}

/// Where the partitions went, to one object.
struct Places<'a> {
    ids: &'a GptIds,
    /// The first byte of the partition that was active.
    boot: u64,
    esp: Uuid,
    /// Whether what the object had on the active partition is on the EFI system partition now.
    on_esp: bool,
}

impl Places<'_> {
    /// Renames the partitions in a device element, also in descriptors inside others and in ones of unknown form. All
    /// forms have the same length.
    fn rename(&self, element: &mut [u8], mut report: impl FnMut(UnresolvedReason)) {
        let boot_device = Device::new(DeviceTarget::Boot).to_bytes();
        let mut at = OPTIONS;
        while let Some(descriptor) = element.get_mut(at..at.saturating_add(PARTITION_SIZE)) {
            let renamed = match DevicePartition::parse(descriptor) {
                _ if *descriptor == boot_device[OPTIONS..] => {
                    self.partition(self.boot).ok_or(UnresolvedReason::BootPartitionGone)
                }
                Some(DevicePartition::Mbr { signature, offset }) if signature == self.ids.signature => {
                    self.partition(offset).ok_or(UnresolvedReason::PartitionGone { offset })
                }
                Some(DevicePartition::Mbr { signature, .. }) => {
                    Err(UnresolvedReason::OtherDisk { signature })
                }
                Some(DevicePartition::Gpt { .. }) | None => {
                    at += 4;
                    continue;
                }
            };
            match renamed {
                Ok(partition) => {
                    let partition = DevicePartition::Gpt { disk: self.ids.disk, partition };
                    descriptor.copy_from_slice(&partition.to_bytes());
                }
                Err(reason) => report(reason),
            }
            at += PARTITION_SIZE;
        }
    }

    fn partition(&self, offset: u64) -> Option<Uuid> {
        if self.on_esp && offset == self.boot {
            return Some(self.esp);
        }
        // What was in the place of the EFI system partition is gone.
        self.ids.partition(offset).filter(|&partition| partition != self.esp)
    }
}
