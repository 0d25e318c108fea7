//! Folders and files by their names.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use super::name;
use crate::error::{Error, Result};

/// Characters of a path at most: what Windows opens without further ado. It bounds the depth of the folders too.
const MAX_PATH: usize = 260;

/// A folder: each entry by its name as it is compared, without regard to case.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory(BTreeMap<Vec<u16>, Entry>);

#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The name as it was given.
    pub(super) name: String,
    pub(super) node: Node,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Directory(Directory),
    File(Vec<u8>),
}

impl Directory {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.0.values()
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.0.into_values()
    }

    /// Adds a file and the folders above it.
    pub(super) fn add(&mut self, path: &str, bytes: Vec<u8>) -> Result<()> {
        let refuse = |why: &str| Error::Unsupported { what: format!("FAT cannot hold {path:?}: {why}") };
        if path.chars().count() > MAX_PATH {
            return Err(refuse("a path has 260 characters at most"));
        }
        if u32::try_from(bytes.len()).is_err() {
            return Err(refuse("a file has less than 4 GiB"));
        }
        let mut parts: Vec<_> = path.split(['/', '\\']).collect();
        if let Some(why) = parts.iter().find_map(|part| name::forbidden(part)) {
            return Err(refuse(why));
        }
        let last = parts.pop().unwrap_or_default();
        let mut folder = self;
        for part in parts {
            let directory = || Entry { name: part.to_owned(), node: Node::Directory(Self::default()) };
            match &mut folder.0.entry(name::folded(part)).or_insert_with(directory).node {
                Node::Directory(below) => folder = below,
                Node::File(_) => return Err(refuse("a file has the name of one of its folders")),
            }
        }
        match folder.0.entry(name::folded(last)) {
            Slot::Vacant(slot) => {
                slot.insert(Entry { name: last.to_owned(), node: Node::File(bytes) });
                Ok(())
            }
            Slot::Occupied(_) => Err(refuse("its name is taken; upper and lower case do not differ")),
        }
    }
}
