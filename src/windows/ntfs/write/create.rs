//! Files and directories made.

use super::super::index::{Collation, new_root};
use super::super::record::{self, kind};
use super::Edit;
use super::attribute::Attribute;
use super::node::Node;
use super::path::Path;
use super::security::security_id;
use super::standard;
use crate::error::Result;

impl Edit {
    /// Makes a directory, and those on the way to it that are not there; nothing when all are there already.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`](crate::Error::Layout) for names that Windows forbids and for files where directories should be, [`Error::VolumeFull`](crate::Error::VolumeFull),
    /// [`Error::Damaged`](crate::Error::Damaged), and what reading the disk gives rise to.
    pub fn create_directory(&mut self, path: &str) -> Result<()> {
        self.whole(|edit| {
            let path = Path::parse(path)?;
            let mut directory = super::super::volume::system_file::ROOT;
            for name in path.directories.iter().chain([&path.name]) {
                directory = match edit.entry(directory, name)? {
                    Some(found) => found.file.number(),
                    None => {
                        let mut node = edit.new_file(directory, true, None)?;
                        edit.add_name(&mut node, directory, name)?;
                        edit.settle(&mut node)?;
                        node.number()
                    }
                };
            }
            let node = Node::load(&edit.volume, directory)?;
            match edit.is_directory(&node)? {
                true => Ok(()),
                false => Err(super::super::flaw::refused("a file stands where the directory would be")),
            }
        })
    }

    /// A file without names and without content, for a directory. Its security is that of `like`, or else what is usual
    /// there.
    pub(super) fn new_file(&mut self, parent: u64, directory: bool, like: Option<u32>) -> Result<Node> {
        let security = match like.or_else(|| self.security.get(&(parent, directory)).copied()) {
            Some(id) => id,
            None => {
                let id = security_id(self, parent, directory)?;
                self.security.insert((parent, directory), id);
                id
            }
        };
        let mut record = self.allocate_record()?;
        if directory {
            record
                .change(|header| header.flags = (record::IN_USE | record::DIRECTORY).into())
                .map_err(|flaw| self.volume.in_record_number(record.number, flaw))?;
        }
        let mut node = Node::new(record);
        let attributes = if directory { 0 } else { standard::attribute::ARCHIVE };
        let standard = standard::new(self.now, attributes, security);
        node.add(Attribute::resident(kind::STANDARD_INFORMATION, "", standard), &self.volume.upcase);
        let content = match directory {
            true => {
                let boot = &self.volume.boot;
                let root = new_root(
                    kind::FILE_NAME,
                    Collation::FILE_NAME,
                    boot.index_block as u32,
                    boot.cluster_size,
                )?;
                Attribute::resident(kind::INDEX_ROOT, super::super::directory::INDEX, root)
            }
            false => Attribute::resident(kind::DATA, "", Vec::new()),
        };
        node.add(content, &self.volume.upcase);
        Ok(node)
    }
}
