//! Paths, and the names in directories that they lead to.

use super::super::directory::{INDEX, find_entry, with_index};
use super::super::file_name::FileName;
use super::super::flaw::{flaw, refused};
use super::super::index;
use super::super::record::{Reference, kind};
use super::super::volume::system_file;
use super::Edit;
use super::node::Node;
use super::standard::attribute;
use super::table::FIRST_ORDINARY;
use crate::error::Result;

/// `$Extend`: the directory of what NTFS keeps beside its numbered files.
const EXTEND: u64 = 11;

/// A path, taken apart.
pub(super) struct Path<'p> {
    text: &'p str,
    /// The names of the directories, and that of the file.
    pub directories: Vec<Vec<u16>>,
    pub name: Vec<u16>,
    /// The stream; the empty name is that of the file's own data.
    pub stream: String,
}

impl<'p> Path<'p> {
    pub fn parse(text: &'p str) -> Result<Self> {
        let (path, stream) = match text.split_once(':') {
            Some((path, stream)) => (path, stream.strip_suffix(":$DATA").unwrap_or(stream)),
            None => (text, ""),
        };
        if stream.contains([':', '/', '\\', '\0']) || stream.encode_utf16().count() > 255 {
            return Err(refused(&format!("{text:?} names a stream that cannot be")));
        }
        let names = path.split(['\\', '/']).filter(|name| !name.is_empty());
        let mut names: Vec<Vec<u16>> = names.map(|name| name.encode_utf16().collect()).collect();
        let dots = |name: &Vec<u16>| *name == [46] || *name == [46, 46];
        if names.iter().any(dots) {
            return Err(refused(&format!("{text:?} leads away from where it is: it has . or .. in it")));
        }
        let name = names.pop().ok_or_else(|| refused("the path names no file"))?;
        Ok(Self { text, directories: names, name, stream: stream.to_owned() })
    }

    pub fn text(&self) -> &'p str {
        self.text
    }
}

/// A name in a directory.
pub(super) struct Found {
    pub file: Reference,
    /// As the directory has it.
    pub name: FileName,
}

impl Edit {
    /// The file of a path, which must be there and must be an ordinary one.
    pub(super) fn existing(&self, path: &str) -> Result<Found> {
        let path = Path::parse(path)?;
        let directory = self.directory(&path)?;
        self.entry(directory, &path.name)?
            .ok_or_else(|| refused(&format!("there is no {} on the volume", path.text())))
    }

    /// The directory that the file of a path is in, or would be.
    pub(super) fn directory(&self, path: &Path) -> Result<u64> {
        let mut directory = system_file::ROOT;
        for name in &path.directories {
            let found = self.entry(directory, name)?;
            let found = found.ok_or_else(|| {
                let name = String::from_utf16_lossy(name);
                refused(&format!("there is no directory {name} on the way to {}", path.text()))
            })?;
            directory = found.file.number();
        }
        Ok(directory)
    }

    /// The file of a name in a directory. What is NTFS's own is refused.
    pub(super) fn entry(&self, directory: u64, name: &[u16]) -> Result<Option<Found>> {
        self.check_directory(directory)?;
        let record = self.volume.record(directory)?;
        let found =
            with_index(&self.volume, &record, INDEX, |index| find_entry(&index, name, &self.volume.upcase))?;
        let Some(entry) = found else { return Ok(None) };
        let parsed = index::Entry::parse(&entry)
            .and_then(|entry| Some((entry.reference(), FileName::parse(entry.key())?)));
        let (file, found) =
            parsed.ok_or_else(|| flaw("a file name as a key", "a part of one").at("NTFS index", 0))?;
        if file.number() < FIRST_ORDINARY || file.number() == EXTEND {
            let name = String::from_utf16_lossy(name);
            return Err(refused(&format!("{name} is a part of NTFS itself")));
        }
        // The entry may be stale: then the volume is damaged.
        self.volume.file(file)?;
        Ok(Some(Found { file, name: found }))
    }

    /// Refuses what is no directory, or one whose names do not work as others do.
    fn check_directory(&self, directory: u64) -> Result<()> {
        let node = Node::load(&self.volume, directory)?;
        if !self.is_directory(&node)? {
            return Err(refused("a file stands where the path has a directory"));
        }
        if node.file_attributes() & attribute::REPARSE_POINT != 0
            || node.find(kind::REPARSE_POINT, "").is_some()
        {
            return Err(refused("a directory that is a link is not followed"));
        }
        match node.is_case_sensitive() {
            true => Err(refused("a directory whose names are told apart by their case is not changed")),
            false => Ok(()),
        }
    }
}
