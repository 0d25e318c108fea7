//! What a disk is divided into, whichever table says so.

use std::ops::Range;

use uuid::Uuid;

use super::gpt::{Gpt, GptCopy};
use super::mbr::{self, Mbr};
use super::types::PartitionType;
use super::{FileSystem, gpt_type};
use crate::disk::{Disk, Patch, Warning, WarningKind};
use crate::error::{Error, Result};

/// The partitions of a disk.
///
/// ```
/// use diskport::partition::Layout;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// if let Some(layout) = Layout::read(&disk)? {
///     for partition in &layout.partitions {
///         println!("{}: {} bytes at {}", partition.kind, partition.size, partition.start);
///     }
/// }
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Which kind of table, and the disk's identity.
    pub scheme: Scheme,
    /// Bytes of the disk.
    pub disk_size: u64,
    /// Bytes of a sector, 512 or 4096: what the tables count in.
    pub sector_size: u32,
    /// The partitions, in the table's order.
    pub partitions: Vec<Partition>,
    /// What is odd about the table but does not hinder reading it.
    pub warnings: Vec<Warning>,
}

/// The kinds of partition tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A master boot record.
    Mbr {
        /// The disk signature.
        signature: u32,
    },
    /// A GUID partition table.
    Gpt {
        /// The disk's GUID.
        id: Uuid,
        /// Whether the MBR names partitions beside the protective one.
        hybrid: bool,
    },
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1: the place in the table; logical partitions of an MBR count from 5.
    pub index: u32,
    /// What the table says that it is for.
    pub kind: PartitionType,
    /// First byte of the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// The name that a GPT gives it.
    pub name: String,
    /// The GUID that a GPT gives it.
    pub id: Option<Uuid>,
    /// The attributes that a GPT gives it, see [`attribute`](super::attribute).
    pub attributes: u64,
    /// Whether an MBR's boot code starts it.
    pub active: bool,
    /// Its place among the partitions of an MBR.
    pub role: Role,
}

/// The place of a partition among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// It stands in the table itself, as all of a GPT's do.
    Primary,
    /// It stands in the table, and holds logical partitions.
    Extended,
    /// It lies in an extended partition.
    Logical {
        /// Where the boot record that names it lies, in bytes of the disk.
        record: u64,
    },
}

impl Layout {
    /// Reads the partition table of `disk`; `None` when it has none, as a blank disk or one that is a single volume.
    ///
    /// A GPT counts where the MBR protects it, or where no MBR names a partition; either of its copies serves.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] for a protective MBR without a valid GPT and for chains of logical partitions that loop, and what reading
    /// the disk gives rise to.
    pub fn read(disk: &Disk) -> Result<Option<Self>> {
        let mbr = Mbr::read(disk)?;
        let gpt = Gpt::read_either(disk)?;
        match (mbr, gpt) {
            (Some(mbr), None) if mbr.is_protective() => Err(Error::Damaged {
                structure: "GPT",
                offset: u64::from(disk.logical_sector_size()),
                expected: "a valid header and table behind a protective MBR, here or at the disk's end"
                    .into(),
                found: "none".into(),
            }),
            (mbr, Some(gpt)) if mbr.as_ref().is_none_or(|mbr| mbr.is_protective() || mbr.is_empty()) => {
                let mut layout = Self::of_gpt(disk, mbr, &gpt)?;
                layout.warn_of_ends();
                Ok(Some(layout))
            }
            (Some(mbr), gpt) => {
                let mut layout = mbr.layout(disk)?;
                layout.warn_of_ends();
                match gpt {
                    Some(_) => layout
                        .warn("a GPT is there too, which does not count since the MBR does not protect it"),
                    None => layout.warn_of_gap(disk)?,
                }
                Ok(Some(layout))
            }
            (None, _) => Ok(None),
        }
    }

    fn of_gpt(disk: &Disk, mbr: Option<Mbr>, gpt: &Gpt) -> Result<Self> {
        let hybrid = mbr.as_ref().is_some_and(Mbr::is_hybrid);
        let mut layout = gpt.layout(disk, hybrid)?;
        if mbr.is_none_or(|mbr| !mbr.is_protective()) {
            layout.warn("no protective MBR");
        }
        if hybrid {
            layout.warn("the MBR is a hybrid one: some partitions are in both tables");
        }
        if gpt.source() == GptCopy::Backup {
            layout.warn("the primary table is damaged; this is the backup at the disk's end");
        } else if !gpt.has_backup(disk)? {
            layout.warn("the backup table is damaged, or not at the disk's end");
        }
        Ok(layout)
    }

    /// The patches that write this table to `disk`: all of its copies, over whichever were there. An MBR keeps the boot code that the
    /// disk has; a GPT gets a protective MBR without any.
    ///
    /// # Errors
    ///
    /// As [`Layout::validate`], and what reading the disk gives rise to.
    pub fn patches(&self, disk: &Disk) -> Result<Vec<Patch>> {
        self.validate()?;
        match self.scheme {
            Scheme::Mbr { signature } => mbr::patches(self, signature, disk),
            Scheme::Gpt { id, .. } => Gpt::new(self, id)?.patches(self),
        }
    }

    /// Whether the disk is a dynamic one, which the logical disk manager divides as it likes.
    pub fn is_dynamic(&self) -> bool {
        self.partitions.iter().any(|partition| partition.kind.is_dynamic())
    }

    pub(super) fn warn(&mut self, message: impl Into<String>) {
        let message = message.into();
        let (kind, structure) = (WarningKind::PartitionTable, "partition table");
        self.warnings.push(Warning { kind, file: None, structure, message });
    }
}

impl Partition {
    /// A partition of a GPT.
    pub fn new(index: u32, kind: Uuid, bytes: Range<u64>, id: Uuid) -> Self {
        Self {
            index,
            kind: PartitionType::Gpt(kind),
            start: bytes.start,
            size: bytes.end.saturating_sub(bytes.start),
            name: gpt_type::new_name(kind).to_owned(),
            id: Some(id),
            attributes: 0,
            active: false,
            role: Role::Primary,
        }
    }

    /// The first byte after it.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }

    /// Its bytes of the disk.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end()
    }

    /// What is in it, as far as its first bytes tell; `None` for what is not known, for nothing, and for an extended partition.
    ///
    /// # Errors
    ///
    /// What reading the disk gives rise to.
    pub fn file_system(&self, disk: &Disk) -> Result<Option<FileSystem>> {
        if self.kind.is_dynamic() {
            return Ok(Some(FileSystem::Ldm));
        }
        match self.role {
            Role::Extended => Ok(None),
            _ => FileSystem::of(&disk.slice(self.range())),
        }
    }
}
