//! A file of a volume: what it holds, and where.

use super::directory::{self, Entry};
use super::flaw::{flaw, refused};
use super::record::{Record, Reference, flag};
use super::stream::Place;
use super::volume::{Volume, system_file};
use super::wof;
use crate::disk::Patch;
use crate::error::Result;

/// Directories within each other that are followed.
const MAX_DEPTH: usize = 64;
/// Files that are listed at once.
const MAX_FILES: usize = 1 << 17;

/// A file or a directory.
#[derive(Debug, Clone)]
pub struct File<'v> {
    pub(super) volume: &'v Volume,
    pub(super) record: Record,
}

impl Volume {
    /// The file or directory at a path; its names are parted by `\` or `/` and are the same in both cases.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`] for directories that cannot be read, and what reading the disk gives rise to.
    pub fn find(&self, path: &str) -> Result<Option<File<'_>>> {
        let mut file = self.root()?;
        for name in path.split(['\\', '/']).filter(|name| !name.is_empty()) {
            match directory::find(&file, name, &self.upcase)? {
                Some(reference) => file = self.file(reference)?,
                None => return Ok(None),
            }
        }
        Ok(Some(file))
    }

    /// The root directory.
    ///
    /// # Errors
    ///
    /// As for [`find`](Self::find).
    pub fn root(&self) -> Result<File<'_>> {
        Ok(File::new(self, self.record(system_file::ROOT)?))
    }

    /// The file that a directory's entry refers to.
    pub(super) fn file(&self, reference: Reference) -> Result<File<'_>> {
        let record = self.record(reference.number())?;
        self.in_record(&record, |record| {
            let stale = record.sequence()? != reference.sequence() || !record.in_use()?;
            match stale || record.base()?.is_some() {
                true => Err(flaw(format!("the file that {:#x} refers to", reference.0), "another one")),
                false => Ok(()),
            }
        })?;
        Ok(File::new(self, record))
    }
}

impl<'v> File<'v> {
    pub(super) fn new(volume: &'v Volume, record: Record) -> Self {
        Self { volume, record }
    }

    /// The number of its record, which tells it from all other files of the volume.
    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// Whether it is a directory.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`].
    pub fn is_directory(&self) -> Result<bool> {
        self.volume.in_record(&self.record, Record::is_directory)
    }

    /// The files in this directory, sorted by name.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`] when this is no directory or cannot be read, [`crate::Error::Layout`] when it is a link, and what
    /// reading the disk gives rise to.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        match wof::reparse(self)? {
            wof::Reparse::None => directory::entries(self),
            _ => Err(refused("a directory that is a link is not followed")),
        }
    }

    /// The file of an entry of this directory.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn open(&self, entry: &Entry) -> Result<File<'v>> {
        self.volume.file(entry.reference)
    }

    /// The files below this directory with their paths from here, parted by `\`; directories come before what they
    /// hold.
    ///
    /// # Errors
    ///
    /// As for [`entries`](Self::entries); [`crate::Error::Layout`] for a tree beyond all measure, such as one that loops.
    pub fn tree(&self) -> Result<Vec<(String, Entry)>> {
        let mut found = Vec::new();
        self.collect("", 0, &mut found)?;
        Ok(found)
    }

    fn collect(&self, path: &str, depth: usize, found: &mut Vec<(String, Entry)>) -> Result<()> {
        let entries = self.entries()?;
        if depth > MAX_DEPTH || found.len() + entries.len() > MAX_FILES {
            return Err(refused(&format!(
                "more than {MAX_DEPTH} levels of directories or {MAX_FILES} files, at {path}"
            )));
        }
        for entry in entries {
            // The root directory is an entry of itself.
            if entry.reference.number() == self.record.number {
                continue;
            }
            let path = if path.is_empty() { entry.name.clone() } else { format!("{path}\\{}", entry.name) };
            found.push((path.clone(), entry.clone()));
            if entry.is_directory {
                self.open(&entry)?.collect(&path, depth + 1, found)?;
            }
        }
        Ok(())
    }

    /// The bytes of the file, when they are at most `limit`; what NTFS or WOF compressed is decompressed.
    ///
    /// # Errors
    ///
    /// As for [`data`](Self::data); [`crate::Error::Damaged`] for more than that.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>> {
        self.content()?.check_size(limit)?;
        self.data("")?.map_or(Ok(Vec::new()), |data| data.read(limit))
    }

    /// The changes of the disk that put `bytes` in the place of those at `offset` of the file.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Layout`] where the bytes do not lie in the file's clusters as they are: in a file that is compressed,
    /// encrypted or sparse there, lies in its FILE record or ends before; [`crate::Error::Damaged`].
    pub fn overwrite(&self, offset: u64, bytes: &[u8]) -> Result<Vec<Patch>> {
        let data = self.content()?;
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > data.size.min(data.initialized)) {
            return Err(refused(&format!("{} bytes at {offset} lie beyond the file's end", bytes.len())));
        }
        let plain = data.flags & (flag::COMPRESSION | flag::ENCRYPTED) == 0
            && matches!(data.place, Place::Runs(_))
            && matches!(wof::reparse(self)?, wof::Reparse::None);
        let patches = self.volume.place(data.runs(), offset, bytes);
        match plain && patches.iter().map(|patch| patch.bytes.len()).sum::<usize>() == bytes.len() {
            true => Ok(patches),
            false => Err(refused(
                "the file cannot be changed in place: it is compressed, encrypted or sparse, or lies in its FILE record",
            )),
        }
    }
}
