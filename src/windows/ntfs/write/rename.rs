//! Files and directories moved, and called otherwise.

use super::super::flaw::{flaw, refused};
use super::super::record::Reference;
use super::super::volume::system_file;
use super::Edit;
use super::node::Node;
use super::path::Path;
use super::standard::Time;
use crate::error::Result;

/// Directories within each other.
const MAX_DEPTH: usize = 1 << 12;

impl Edit {
    /// Gives the file or directory at `from` the place and the name `to`. Other hard links of it stay where they are.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`](crate::Error::Layout) when `from` is not there or `to` is there already, in any case, for a name that Windows forbids, and for a
    /// directory that would be in itself; [`Error::VolumeFull`](crate::Error::VolumeFull), [`Error::Damaged`](crate::Error::Damaged), and what
    /// reading the disk gives rise to.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.whole(|edit| {
            let (source, target) = (Path::parse(from)?, Path::parse(to)?);
            if !source.stream.is_empty() || !target.stream.is_empty() {
                return Err(refused("streams are not renamed"));
            }
            let found = edit.existing(from)?;
            let directory = edit.directory(&target)?;
            edit.check_new(directory, &target.name, Some(found.file))?;
            let mut node = Node::load(&edit.volume, found.file.number())?;
            if edit.is_directory(&node)? {
                edit.check_outside(directory, found.file)?;
            }
            edit.remove_name(&mut node, &found.name)?;
            edit.check_new(directory, &target.name, None)?;
            edit.add_name(&mut node, directory, &target.name)?;
            node.set_time(Time::Changed, edit.now);
            edit.settle(&mut node)
        })
    }

    /// Refuses to move a directory into itself, or into what is in it.
    fn check_outside(&self, mut directory: u64, moved: Reference) -> Result<()> {
        for _ in 0..MAX_DEPTH {
            if directory == moved.number() {
                return Err(refused("a directory cannot be moved into itself"));
            }
            if directory == system_file::ROOT {
                return Ok(());
            }
            let node = Node::load(&self.volume, directory)?;
            let parent = node.names().first().map(|name| name.parent.number());
            directory = parent.ok_or_else(|| {
                self.volume.in_record_number(directory, flaw("a directory with a name", "none"))
            })?;
        }
        Err(self.volume.in_record_number(directory, flaw("a directory below the root", "a loop")))
    }
}
