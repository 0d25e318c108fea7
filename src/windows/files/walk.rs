//! Files of a volume one after another: of a directory, or of all below it. No more is held than the directories on the
//! way down.

use std::collections::HashSet;
use std::vec::IntoIter;

use super::path::FilePath;
use crate::error::{Error, Result};
use crate::windows::ntfs::{Entry, File, FileData, Metadata, ReparsePoint, Volume};

/// A file or directory that was met.
#[derive(Debug)]
#[non_exhaustive]
pub struct Node<'v> {
    /// Where it lies.
    pub path: FilePath,
    /// The file.
    pub file: File<'v>,
    /// What is told of it.
    pub metadata: Metadata,
    /// What stands in its place.
    pub reparse: Option<ReparsePoint>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeKind {
    /// A file with content.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A junction, or a place where a volume is mounted.
    Junction,
    /// Something else stands in the place of the file, whose content cannot be read here.
    Reparse,
}

impl NodeKind {
    /// The name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            NodeKind::File => "file",
            NodeKind::Directory => "directory",
            NodeKind::Symlink => "symlink",
            NodeKind::Junction => "junction",
            NodeKind::Reparse => "reparse",
        }
    }
}

impl<'v> Node<'v> {
    /// The file or directory at `path`, under the names that it has on the volume; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn find(volume: &'v Volume, path: &FilePath) -> Result<Option<Self>> {
        match volume.find(&path.on_volume())? {
            Some(file) => Self::new(path.clone(), file).map(Some),
            None => Ok(None),
        }
    }

    /// The same, which must be there.
    ///
    /// # Errors
    ///
    /// [`Error::FileMissing`], and as [`find`](Self::find).
    pub fn at(volume: &'v Volume, path: &FilePath) -> Result<Self> {
        Self::find(volume, path)?.ok_or_else(|| Error::FileMissing { path: path.to_string() })
    }

    fn new(path: FilePath, file: File<'v>) -> Result<Self> {
        let metadata = file.metadata().map_err(|e| e.within(path.to_string()))?;
        let reparse = file.reparse_point().map_err(|e| e.within(path.to_string()))?;
        Ok(Self { path, file, metadata, reparse })
    }

    /// What it is.
    pub fn kind(&self) -> NodeKind {
        match &self.reparse {
            Some(point) if point.is_symlink() => NodeKind::Symlink,
            Some(point) if point.is_junction() => NodeKind::Junction,
            Some(point) if !point.is_compression() => NodeKind::Reparse,
            _ if self.metadata.is_directory => NodeKind::Directory,
            _ => NodeKind::File,
        }
    }

    /// The content of the file, or of an alternate stream of it.
    ///
    /// # Errors
    ///
    /// As [`File::data`]; [`Error::FileMissing`] when there is no such stream.
    pub fn content(&self, stream: &str) -> Result<FileData<'v>> {
        let path = &self.path;
        if self.metadata.is_directory && stream.is_empty() {
            return Err(Error::Layout { reason: format!("{path}: is a directory") });
        }
        let data = self.file.data(stream).map_err(|e| match e {
            Error::Layout { reason } => Error::Layout { reason: format!("{path}: {reason}") },
            other => other.within(path.to_string()),
        })?;
        data.ok_or_else(|| Error::FileMissing { path: format!("{path}:{stream}") })
    }

    /// What the directory holds, but for the volume's own files.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn children(&self) -> Result<impl Iterator<Item = Result<Node<'v>>> + use<'v>> {
        Entries::of(self)
    }

    /// All files below the directory, each directory before what it holds. Links are met and not followed.
    ///
    /// # Errors
    ///
    /// As [`children`](Self::children), here and from file to file.
    pub fn walk(&self) -> Result<Walk<'v>> {
        Ok(Walk { levels: vec![Entries::of(self)?], seen: HashSet::from([self.file.number()]) })
    }
}

/// What a directory holds, without the volume's own files.
struct Entries<'v> {
    path: FilePath,
    directory: File<'v>,
    entries: IntoIter<Entry>,
}

impl<'v> Entries<'v> {
    fn of(node: &Node<'v>) -> Result<Self> {
        let entries = node.file.entries().map_err(|e| e.within(node.path.to_string()))?;
        Ok(Self { path: node.path.clone(), directory: node.file.clone(), entries: entries.into_iter() })
    }
}

impl<'v> Iterator for Entries<'v> {
    type Item = Result<Node<'v>>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.by_ref().find(|entry| !entry.is_own_file())?;
        let path = self.path.child(&entry.name);
        let file = self.directory.open(&entry).map_err(|e| e.within(path.to_string()));
        Some(file.and_then(|file| Node::new(path, file)))
    }
}

/// The files below a directory; see [`Node::walk`].
pub struct Walk<'v> {
    /// The directories on the way down.
    levels: Vec<Entries<'v>>,
    /// The directories that were met: one that is met twice leads round in a circle.
    seen: HashSet<u64>,
}

impl<'v> Walk<'v> {
    fn step(&mut self) -> Result<Option<Node<'v>>> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(node) = level.next().transpose()? else {
                self.levels.pop();
                continue;
            };
            if node.kind() == NodeKind::Directory {
                if !self.seen.insert(node.file.number()) {
                    let reason = format!("{}: a directory that stands in more than one place", node.path);
                    return Err(Error::Layout { reason });
                }
                self.levels.push(Entries::of(&node)?);
            }
            return Ok(Some(node));
        }
    }
}

impl<'v> Iterator for Walk<'v> {
    type Item = Result<Node<'v>>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.levels.clear();
        }
        step.transpose()
    }
}
