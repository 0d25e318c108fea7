//! What files hold: replaced as a whole, changed in part, cut and made longer.

use std::sync::Arc;

use super::super::flaw::refused;
use super::super::record::{Reference, kind};
use super::super::volume::system_file;
use super::super::{reparse, wof};
use super::Edit;
use super::attribute::Attribute;
use super::node::Node;
use super::path::{Found, Path};
use super::standard::{Time, attribute};
use crate::error::Result;
use crate::storage::ReadAt;

/// Files of the root directory that Windows makes anew, and knows by their place.
const OF_THE_SYSTEM: [&str; 3] = ["pagefile.sys", "hiberfil.sys", "swapfile.sys"];

impl Edit {
    /// Makes a file of what `content` holds, or replaces all of one that is there. The content is referred to, and must not
    /// change until it is written.
    ///
    /// A file that is replaced keeps its record, its names, its security and its times but those of change; what was
    /// compressed, by NTFS or by WOF, or sparse becomes plain. Of a file of several hard links the other ones keep the old
    /// content, as Windows' own store of components (WinSxS) needs it.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`](crate::Error::Layout) for files that only Windows can change, names that it forbids, and directories that are not
    /// there; [`Error::VolumeFull`](crate::Error::VolumeFull), [`Error::Damaged`](crate::Error::Damaged), and what reading the disk and the content
    /// gives rise to.
    pub fn write(&mut self, path: &str, content: Arc<dyn ReadAt>) -> Result<()> {
        self.whole(|edit| {
            let path = Path::parse(path)?;
            let directory = edit.directory(&path)?;
            let mut node = match edit.entry(directory, &path.name)? {
                None => {
                    let mut node = edit.new_file(directory, false, None)?;
                    edit.add_name(&mut node, directory, &path.name)?;
                    node
                }
                Some(found) => edit.node_to_write(&path, directory, &found)?,
            };
            edit.check_stream(&node, &path.stream)?;
            edit.replace_value(&mut node, kind::DATA, &path.stream, &content)?;
            edit.written(&mut node)
        })
    }

    /// Puts bytes into a file at `offset`, which becomes longer when they pass its end; what lies between its end and
    /// `offset` is zeros.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), and [`Error::Layout`](crate::Error::Layout) for a file that is compressed or sparse.
    pub fn write_at(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        self.in_part(path, |edit, node, stream| edit.write_value(node, kind::DATA, stream, offset, bytes))
    }

    /// Makes a file so long: what is added is zeros, what is cut off is lost.
    ///
    /// # Errors
    ///
    /// As for [`write_at`](Self::write_at).
    pub fn set_len(&mut self, path: &str, len: u64) -> Result<()> {
        self.in_part(path, |edit, node, stream| edit.resize_value(node, kind::DATA, stream, len))
    }

    fn in_part(
        &mut self,
        path: &str,
        change: impl FnOnce(&mut Self, &mut Node, &str) -> Result<()>,
    ) -> Result<()> {
        self.whole(|edit| {
            let path = Path::parse(path)?;
            let directory = edit.directory(&path)?;
            let found = edit.existing(path.text())?;
            edit.check_replaceable(directory, &found)?;
            let mut node = Node::load(&edit.volume, found.file.number())?;
            node.check_writable()?;
            if path.stream.is_empty() && node.find(kind::REPARSE_POINT, "").is_some() {
                return Err(refused(
                    "the file is a link, or is stored in another way: it can only be replaced as a whole",
                ));
            }
            change(edit, &mut node, &path.stream)?;
            edit.written(&mut node)
        })
    }

    /// The node of a file whose content is to be replaced: its own, or a new one in place of one of several links.
    fn node_to_write(&mut self, path: &Path, directory: u64, found: &Found) -> Result<Node> {
        self.check_replaceable(directory, found)?;
        let mut node = Node::load(&self.volume, found.file.number())?;
        node.check_writable()?;
        if !path.stream.is_empty() {
            return Ok(node);
        }
        if self.is_directory(&node)? {
            return Err(refused(&format!("{} is a directory", path.text())));
        }
        let links =
            node.names().iter().filter(|name| name.space != super::super::file_name::space::DOS).count();
        if links > 1 {
            self.remove_name(&mut node, &found.name)?;
            node.set_time(Time::Changed, self.now);
            self.settle(&mut node)?;
            let mut new = self.new_file(directory, false, Some(node.security_id()))?;
            self.add_name(&mut new, directory, &found.name.name)?;
            return Ok(new);
        }
        self.make_plain(&mut node, found.file)?;
        Ok(node)
    }

    /// Refuses what Windows makes and knows by its place.
    fn check_replaceable(&self, directory: u64, found: &Found) -> Result<()> {
        let name = String::from_utf16_lossy(&found.name.name);
        let is_own = |own: &&str| directory == system_file::ROOT && name.eq_ignore_ascii_case(own);
        match OF_THE_SYSTEM.iter().any(is_own) {
            true => Err(refused(&format!("{name} belongs to the running system"))),
            false => Ok(()),
        }
    }

    /// Only files have data of their own; others may have alternate streams.
    fn check_stream(&self, node: &Node, stream: &str) -> Result<()> {
        match stream.is_empty() && self.is_directory(node)? {
            true => Err(refused("a directory has no data")),
            false => Ok(()),
        }
    }

    /// Takes away what tells that a file is stored in another way: the compression of WOF.
    fn make_plain(&mut self, node: &mut Node, file: Reference) -> Result<()> {
        match node.find(kind::REPARSE_POINT, "").and_then(Attribute::bytes).and_then(<[u8]>::first_chunk) {
            None if node.find(kind::REPARSE_POINT, "").is_none() => return Ok(()),
            Some(tag) if u32::from_le_bytes(*tag) == reparse::WOF => {}
            Some(tag) => {
                let what = match u32::from_le_bytes(*tag) {
                    0x8000_0013 => "deduplicated",
                    0xa000_000c => "a symbolic link",
                    0xa000_0003 => "a junction",
                    _ => "stored elsewhere, or a link",
                };
                let tag = u32::from_le_bytes(*tag);
                return Err(refused(&format!("the file is {what} (reparse point {tag:#010x})")));
            }
            None => return Err(refused("the file is stored elsewhere, or a link")),
        }
        self.remove_reparse_point(node, file)?;
        self.remove_value(node, kind::DATA, wof::STREAM)?;
        Ok(())
    }

    /// Stores a file that was written.
    fn written(&mut self, node: &mut Node) -> Result<()> {
        let plain = node.find(kind::DATA, "").is_none_or(Attribute::is_plain);
        let mut attributes = node.file_attributes();
        if !self.is_directory(node)? {
            attributes |= attribute::ARCHIVE;
            if plain {
                attributes &= !(attribute::SPARSE | attribute::COMPRESSED);
            }
        }
        node.set_file_attributes(attributes);
        node.set_time(Time::Modified, self.now);
        node.set_time(Time::Changed, self.now);
        self.settle(node)
    }
}
