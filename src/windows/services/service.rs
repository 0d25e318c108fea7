//! Services and drivers: how they are started, and from which file.

use super::{Services, set_number, set_text, text};
use crate::error::Result;
use crate::windows::registry::kind;

/// What a service is: its value `Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceKind {
    /// A driver of a device.
    KernelDriver = 1,
    /// A driver of a file system, or a filter of one.
    FileSystemDriver = 2,
    /// A program with a process of its own, as LocalSystem.
    OwnProcess = 0x10,
}

/// When a service is started: its value `Start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceStart {
    /// By the loader of Windows.
    Boot = 0,
    /// By the kernel.
    System = 1,
    /// By the service control manager.
    Auto = 2,
    /// When somebody asks for it.
    Demand = 3,
    /// Never.
    Disabled = 4,
}

/// A service or a driver to be defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, which is that of its key.
    pub name: String,
    /// What it is.
    pub kind: ServiceKind,
    /// When it is started.
    pub start: ServiceStart,
    /// Its file: of a driver below the folder of Windows, as in `system32\drivers\x.sys`; of a service its command line.
    pub image: String,
    /// The group in whose turn it is started, as in `SCSI miniport`.
    pub group: Option<String>,
    /// Its place in the group's order.
    pub tag: Option<u32>,
}

impl Service {
    /// A driver of a device, in no group.
    pub fn driver(name: impl Into<String>, start: ServiceStart, image: impl Into<String>) -> Self {
        let (name, image) = (name.into(), image.into());
        Self { name, kind: ServiceKind::KernelDriver, start, image, group: None, tag: None }
    }

    fn key(&self, set: &str) -> String {
        key(set, &self.name)
    }
}

impl Services<'_, '_> {
    /// Defines a service; one of the same name gets these settings, and keeps what else it has.
    ///
    /// # Errors
    ///
    /// As for [`Editor::set_value`](crate::windows::registry::Editor::set_value).
    pub fn define(&mut self, service: &Service) -> Result<()> {
        self.in_each(|editor, set| {
            let key = service.key(set);
            set_number(editor, &key, "Type", service.kind as u32)?;
            set_number(editor, &key, "Start", service.start as u32)?;
            // 1: a failure is logged, and Windows starts all the same.
            set_number(editor, &key, "ErrorControl", 1)?;
            editor.set_value(&key, "ImagePath", kind::EXPAND_SZ, &text(&service.image))?;
            if service.kind == ServiceKind::OwnProcess {
                set_text(editor, &key, "ObjectName", "LocalSystem")?;
            }
            match &service.group {
                Some(group) => set_text(editor, &key, "Group", group)?,
                None => drop(editor.remove_value(&key, "Group")?),
            }
            match service.tag {
                Some(tag) => set_number(editor, &key, "Tag", tag)?,
                None => drop(editor.remove_value(&key, "Tag")?),
            }
            Ok(true)
        })
        .map(drop)
    }

    /// Says when a service that is there is started; in how many control sets it is.
    ///
    /// # Errors
    ///
    /// As for [`define`](Self::define).
    pub fn set_start(&mut self, name: &str, start: ServiceStart) -> Result<usize> {
        self.in_each(|editor, set| {
            let key = key(set, name);
            let is_there = editor.hive().key(&key)?.is_some();
            if is_there {
                set_number(editor, &key, "Start", start as u32)?;
            }
            Ok(is_there)
        })
    }

    /// Removes what sets `Start` aside for some hardware: Windows writes `StartOverride` below drivers that it did not need,
    /// and the driver of the boot disk, or of its bus (`pci`, `vpci`, `storahci`, `stornvme`), is then not started at all.
    /// In how many control sets it was there.
    ///
    /// # Errors
    ///
    /// As for [`Editor::remove_key`](crate::windows::registry::Editor::remove_key).
    pub fn remove_start_override(&mut self, name: &str) -> Result<usize> {
        self.in_each(|editor, set| editor.remove_key(&format!("{}\\StartOverride", key(set, name))))
    }
}

fn key(set: &str, name: &str) -> String {
    format!("{set}\\Services\\{name}")
}
