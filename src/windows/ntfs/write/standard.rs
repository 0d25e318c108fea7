//! `$STANDARD_INFORMATION`, and the copies of it and of a file's sizes that stand beside each of its names.

use std::time::{Duration, SystemTime};

use super::super::file_name::{DIRECTORY, Duplicate};
use super::super::flaw::{flaw, refused};
use super::super::record::{self, Record, kind};
use super::Edit;
use super::node::Node;
use crate::error::Result;

/// Bytes of version 3 of NTFS; in those of version 1.2 there are neither security id nor USN.
const LEN: usize = 0x48;
const ATTRIBUTES: usize = 0x20;
const SECURITY_ID: usize = 0x34;
/// Maximum version, version and class id: not zeros where names are told apart by their case.
const VERSIONS: std::ops::Range<usize> = 0x24..0x30;
/// Seconds between 1601 and 1970.
const BEFORE_1970: u64 = 11_644_473_600;

/// File attributes, as Windows names them.
pub(super) mod attribute {
    pub const READ_ONLY: u32 = 1;
    pub const HIDDEN: u32 = 2;
    pub const SYSTEM: u32 = 4;
    pub const ARCHIVE: u32 = 0x20;
    pub const SPARSE: u32 = 0x200;
    pub const REPARSE_POINT: u32 = 0x400;
    pub const COMPRESSED: u32 = 0x800;
    pub const NOT_INDEXED: u32 = 0x2000;
    pub const ENCRYPTED: u32 = 0x4000;
}
/// What may be set from outside: the others tell how a file is stored.
const SETTABLE: u32 = attribute::READ_ONLY
    | attribute::HIDDEN
    | attribute::SYSTEM
    | attribute::ARCHIVE
    | attribute::NOT_INDEXED;

/// Times of a file; those that are `None` stay as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// When it was created.
    pub created: Option<SystemTime>,
    /// When its content was last changed.
    pub modified: Option<SystemTime>,
    /// When it was last read.
    pub accessed: Option<SystemTime>,
}

/// As NTFS counts: in 100 ns since 1601. What lies before is 1601.
pub(super) fn file_time(time: SystemTime) -> u64 {
    let start = Duration::from_secs(BEFORE_1970);
    let since_1601 = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after_1970) => start + after_1970,
        Err(before_1970) => start.saturating_sub(before_1970.duration()),
    };
    u64::try_from(since_1601.as_nanos() / 100).unwrap_or(u64::MAX)
}

/// The times in the order in which they stand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Time {
    Created,
    Modified,
    Changed,
    Accessed,
}

/// The value for a new file.
pub(super) fn new(now: u64, attributes: u32, security_id: u32) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    for time in [Time::Created, Time::Modified, Time::Changed, Time::Accessed] {
        set_time(&mut bytes, time, now);
    }
    put(&mut bytes, ATTRIBUTES, &attributes.to_le_bytes());
    put(&mut bytes, SECURITY_ID, &security_id.to_le_bytes());
    bytes
}

fn set_time(bytes: &mut [u8], time: Time, value: u64) {
    put(bytes, 8 * time as usize, &value.to_le_bytes());
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |field| u32::from_le_bytes(*field))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |field| u64::from_le_bytes(*field))
}

impl Node {
    fn standard(&self) -> &[u8] {
        self.find(kind::STANDARD_INFORMATION, "").and_then(|standard| standard.bytes()).unwrap_or_default()
    }

    fn change_standard(&mut self, change: impl FnOnce(&mut [u8])) {
        let standard = self.find_mut(kind::STANDARD_INFORMATION, "");
        if let Some(super::attribute::Value::Resident { bytes, .. }) = standard.map(|found| &mut found.value)
        {
            change(bytes);
        }
    }

    /// The file's attributes, as Windows calls them.
    pub(super) fn file_attributes(&self) -> u32 {
        u32_at(self.standard(), ATTRIBUTES)
    }

    pub(super) fn set_file_attributes(&mut self, attributes: u32) {
        self.change_standard(|bytes| put(bytes, ATTRIBUTES, &attributes.to_le_bytes()));
    }

    pub(super) fn security_id(&self) -> u32 {
        u32_at(self.standard(), SECURITY_ID)
    }

    pub(super) fn set_time(&mut self, time: Time, value: u64) {
        self.change_standard(|bytes| set_time(bytes, time, value));
    }

    pub(super) fn is_case_sensitive(&self) -> bool {
        self.standard().get(VERSIONS).is_some_and(|versions| versions.iter().any(|&byte| byte != 0))
    }

    /// What its names are to say of it.
    pub(super) fn duplicate(&self) -> Result<Duplicate, super::super::flaw::Flaw> {
        let standard = self.standard();
        if standard.len() < VERSIONS.end {
            return Err(flaw("standard information of a file", "none"));
        }
        let time = |time: Time| u64_at(standard, 8 * time as usize);
        let is_directory = self.base.is_directory()?;
        let data = self.find(kind::DATA, "").filter(|_| !is_directory);
        let allocated = data.map_or(0, |data| match data.clusters() {
            Some(clusters) => clusters.compressed.unwrap_or(clusters.allocated),
            None => data.size().next_multiple_of(8),
        });
        let first = |kind: u32| self.find(kind, "").and_then(|attribute| attribute.bytes());
        let reparse = match (first(kind::REPARSE_POINT), first(kind::EA_INFORMATION)) {
            (Some(point), _) => u32_at(point, 0),
            (None, Some(extended)) => u32_at(extended, 0) & 0xffff,
            (None, None) => 0,
        };
        Ok(Duplicate {
            created: time(Time::Created),
            modified: time(Time::Modified),
            changed: time(Time::Changed),
            accessed: time(Time::Accessed),
            allocated,
            size: data.map_or(0, |data| data.size()),
            attributes: self.file_attributes() & !DIRECTORY | if is_directory { DIRECTORY } else { 0 },
            reparse,
        })
    }

    /// Refuses a file that only Windows can change.
    pub(super) fn check_writable(&self) -> Result<()> {
        let encrypted = self.attributes.iter().any(|stream| stream.flags & record::flag::ENCRYPTED != 0);
        match encrypted || self.file_attributes() & attribute::ENCRYPTED != 0 {
            true => Err(refused("the file is encrypted (EFS)")),
            false => Ok(()),
        }
    }
}

impl Edit {
    /// Sets times of a file or a directory.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Layout`] where there is no such file or it is not to be changed, [`crate::Error::Damaged`], and what
    /// reading the disk gives rise to.
    pub fn set_times(&mut self, path: &str, times: Times) -> Result<()> {
        self.change(path, |node| {
            for (time, value) in [
                (Time::Created, times.created),
                (Time::Modified, times.modified),
                (Time::Accessed, times.accessed),
            ] {
                if let Some(value) = value {
                    node.set_time(time, file_time(value));
                }
            }
        })
    }

    /// Sets the attributes of a file or a directory: read only, hidden, system, archive and not indexed, by Windows'
    /// numbers. The others tell how a file is stored, and stay as they are.
    ///
    /// # Errors
    ///
    /// As for [`set_times`](Self::set_times).
    pub fn set_attributes(&mut self, path: &str, attributes: u32) -> Result<()> {
        self.change(path, |node| {
            node.set_file_attributes(node.file_attributes() & !SETTABLE | attributes & SETTABLE);
        })
    }

    fn change(&mut self, path: &str, change: impl FnOnce(&mut Node)) -> Result<()> {
        self.whole(|edit| {
            let found = edit.existing(path)?;
            let mut node = Node::load(&edit.volume, found.file.number())?;
            change(&mut node);
            node.set_time(Time::Changed, edit.now);
            edit.settle(&mut node)
        })
    }

    /// A directory whose entries have changed says when.
    pub(super) fn touch(&mut self, directory: u64) -> Result<()> {
        let mut node = Node::load(&self.volume, directory)?;
        node.set_time(Time::Modified, self.now);
        node.set_time(Time::Changed, self.now);
        self.settle(&mut node)
    }

    /// The attributes of a file, for whoever looks at its record.
    pub(super) fn is_directory(&self, node: &Node) -> Result<bool> {
        self.volume.in_record(&node.base, Record::is_directory)
    }
}
