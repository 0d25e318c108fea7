//! A FAT32 volume with its files, made at one go: what an EFI system partition is.
//!
//! Sections are those of Microsoft's "FAT: General Overview of On-Disk Format", version 1.03, which UEFI Specification 2.10,
//! chapter 13.3, takes for the definition.

mod geometry;
mod image;
mod name;
mod time;
mod tree;

use std::ops::Range;
use std::time::SystemTime;

use geometry::Geometry;
use image::Image;
use name::LABEL;
use time::DosTime;
use tree::Directory;

use crate::disk::Patch;
use crate::error::Result;

/// A FAT32 volume to be made in a partition.
///
/// Whatever the partition held before, the volume is whole: the boot records, both file allocation tables, the directories and
/// the clusters of the files are written to their last byte. What is free is not written.
///
/// ```
/// use diskport::partition::Fat32;
/// use diskport::{Disk, MIB};
///
/// let mut volume = Fat32::new(MIB..101 * MIB, 512);
/// volume.add_file("EFI/Boot/bootx64.efi", b"MZ".to_vec())?;
/// let disk = Disk::empty(128 * MIB, 512).patched(128 * MIB, volume.into_patches()?)?;
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Fat32 {
    partition: Range<u64>,
    sector_size: u32,
    serial: u32,
    label: [u8; LABEL],
    modified: DosTime,
    root: Directory,
}

impl Fat32 {
    /// A volume in the bytes `partition` of a disk whose sectors have `sector_size` bytes.
    pub fn new(partition: Range<u64>, sector_size: u32) -> Self {
        Self {
            partition,
            sector_size,
            serial: 0,
            label: *b"NO NAME    ",
            modified: DosTime::default(),
            root: Directory::default(),
        }
    }

    /// The serial number, which is to be different for each volume.
    pub fn serial(self, serial: u32) -> Self {
        Self { serial, ..self }
    }

    /// The label, in upper case; by default there is none.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unsupported`] for one of no or more than 11 characters, and for those that FAT does not allow.
    pub fn label(mut self, label: &str) -> Result<Self> {
        self.label = name::label(label)?;
        Ok(self)
    }

    /// When all files were modified, to two seconds, in UTC; by default at the beginning of 1980, where FAT's time begins.
    pub fn modified(self, modified: SystemTime) -> Self {
        Self { modified: DosTime::from(modified), ..self }
    }

    /// Adds a file, and the folders on its path, whose parts `/` or `\` divides.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unsupported`] for a path that FAT does not allow, or that is taken, whether in upper or in lower case.
    pub fn add_file(&mut self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.root.add(path, bytes)
    }

    /// The patches that make the volume.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NotConvertible`] with [`crate::Rule::SystemPartitionRoom`] when the partition is too small for a FAT32, or for the files, or too
    /// large.
    pub fn into_patches(self) -> Result<Vec<Patch>> {
        let geometry = Geometry::of(&self.partition, self.sector_size)?;
        let label = self.has_label().then_some(self.label);
        let image = Image::of(self.root, &geometry, self.modified, label)?;
        let head = image.head(&geometry, self.serial, &self.label);
        let data = self.partition.start + head.len() as u64;
        let head = Patch { offset: self.partition.start, bytes: head };
        let content = image.into_content().map(|(at, bytes)| Patch { offset: data + at, bytes });
        Ok(std::iter::once(head).chain(content).collect())
    }

    fn has_label(&self) -> bool {
        self.label != *b"NO NAME    "
    }
}
