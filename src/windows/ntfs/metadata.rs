//! What is told of a file beside its content, from its record: what its names in directories repeat may lag behind.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::file::File;
use super::flaw::flaw;
use super::record::{Value, kind};
use super::reparse::{self, ReparsePoint};
use super::stream::{self, Stream};
use crate::error::Result;
use crate::windows::FileTime;

/// `$STANDARD_INFORMATION`, as far as all versions of NTFS have it.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StandardInformation {
    created: U64,
    modified: U64,
    changed: U64,
    accessed: U64,
    attributes: U32,
}

/// What is told of a file beside its content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes of its content; 0 for a directory.
    pub size: u64,
    /// When it was made.
    pub created: FileTime,
    /// When its content was last changed.
    pub modified: FileTime,
    /// When anything of it was last changed, as its name.
    pub changed: FileTime,
    /// When it was last read, as far as that is kept.
    pub accessed: FileTime,
    /// Its [attributes](attribute).
    pub attributes: u32,
}

/// Attributes of files ([MS-FSCC] 2.6), as far as this crate looks at them.
pub mod attribute {
    /// It is not written to.
    pub const READ_ONLY: u32 = 0x1;
    /// It is not shown.
    pub const HIDDEN: u32 = 0x2;
    /// It is a part of the system.
    pub const SYSTEM: u32 = 0x4;
    /// It is a directory. The file's own record says so elsewhere.
    pub const DIRECTORY: u32 = 0x10;
    /// It has changed since it was last archived.
    pub const ARCHIVE: u32 = 0x20;
    /// It has holes.
    pub const SPARSE: u32 = 0x200;
    /// Something else stands in its place.
    pub const REPARSE_POINT: u32 = 0x400;
    /// It is compressed.
    pub const COMPRESSED: u32 = 0x800;
    /// It is encrypted (EFS).
    pub const ENCRYPTED: u32 = 0x4000;
}

impl File<'_> {
    /// What is told of it beside its content.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn metadata(&self) -> Result<Metadata> {
        let volume = self.volume;
        let information = volume.required(&self.record, kind::STANDARD_INFORMATION, "")?;
        let information = information.read(volume, volume.boot.record_size)?;
        let information = volume.in_record(&self.record, |_| {
            StandardInformation::read_from_prefix(&information)
                .map(|(information, _)| information)
                .map_err(|_| flaw("$STANDARD_INFORMATION", "a part of it"))
        })?;
        let is_directory = self.is_directory()?;
        let data = if is_directory { None } else { Stream::find(volume, &self.record, kind::DATA, "")? };
        let directory = if is_directory { attribute::DIRECTORY } else { 0 };
        Ok(Metadata {
            is_directory,
            size: data.map_or(0, |data| data.size),
            created: FileTime(information.created.get()),
            modified: FileTime(information.modified.get()),
            changed: FileTime(information.changed.get()),
            accessed: FileTime(information.accessed.get()),
            attributes: information.attributes.get() | directory,
        })
    }

    /// What stands in the place of the file. What WOF compressed is read as if it were not there, and has one.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn reparse_point(&self) -> Result<Option<ReparsePoint>> {
        let bytes = reparse::bytes(self.volume, &self.record)?;
        Ok(bytes.map(|bytes| ReparsePoint::parse(&bytes)))
    }

    /// The alternate streams that it has beside its content, with their sizes.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn streams(&self) -> Result<Vec<(String, u64)>> {
        let mut streams = Vec::new();
        stream::each(self.volume, &self.record, kind::DATA, |attribute| {
            let size = match attribute.value {
                Value::Resident(bytes) => bytes.len() as u64,
                Value::NonResident(header, _) if header.lowest_vcn == 0 => header.size.get(),
                Value::NonResident(..) => return,
            };
            let name = attribute.name();
            if !name.is_empty() {
                streams.push((name, size));
            }
        })?;
        Ok(streams)
    }
}
