//! Files, directories and streams removed, with all that points to them.

use std::ops::ControlFlow;

use super::super::directory::{INDEX, with_index};
use super::super::flaw::refused;
use super::super::record::{Reference, kind};
use super::Edit;
use super::node::Node;
use super::path::Path;
use super::standard::{Time, attribute};
use crate::error::Result;

impl Edit {
    /// Removes a file, one of several hard links of a file, an empty directory, or an alternate stream.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`](crate::Error::Layout) when it is not there, is a part of NTFS itself or a directory that is not empty;
    /// [`Error::Damaged`](crate::Error::Damaged), and what reading the disk gives rise to.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        self.whole(|edit| {
            let stream = Path::parse(path)?.stream;
            let found = edit.existing(path)?;
            let mut node = Node::load(&edit.volume, found.file.number())?;
            if !stream.is_empty() {
                if !edit.remove_value(&mut node, kind::DATA, &stream)? {
                    return Err(refused(&format!("there is no {path} on the volume")));
                }
                node.set_time(Time::Changed, edit.now);
                return edit.settle(&mut node);
            }
            if edit.is_directory(&node)? && !edit.is_empty(&node)? {
                return Err(refused(&format!("the directory {path} is not empty")));
            }
            edit.remove_name(&mut node, &found.name)?;
            if !node.names().is_empty() {
                node.set_time(Time::Changed, edit.now);
                return edit.settle(&mut node);
            }
            edit.destroy(node, found.file)
        })
    }

    fn is_empty(&self, node: &Node) -> Result<bool> {
        let first =
            with_index(&self.volume, &node.base, INDEX, |index| index.walk(&mut |_| ControlFlow::Break(())))?;
        Ok(first.is_continue())
    }

    /// Gives back all that a file without names has.
    fn destroy(&mut self, mut node: Node, file: Reference) -> Result<()> {
        self.touched.remove(&node.number());
        self.security.remove(&(node.number(), false));
        self.security.remove(&(node.number(), true));
        self.remove_reparse_point(&mut node, file)?;
        if let Some(id) = node.find(kind::OBJECT_ID, "").and_then(|id| id.bytes()).and_then(|id| id.get(..16))
        {
            let id = id.to_vec();
            self.forget("$Extend/$ObjId", "$O", &id)?;
        }
        for attribute in &node.attributes {
            if let Some(clusters) = attribute.clusters() {
                self.free_clusters(&clusters.runs)?;
            }
        }
        self.free_clusters(&node.list)?;
        for extent in &node.extents {
            self.free_record(extent.number())?;
        }
        self.free_record(node.number())
    }

    /// Takes away what makes a file a link or stored in another way, and that the volume knows of it.
    pub(super) fn remove_reparse_point(&mut self, node: &mut Node, file: Reference) -> Result<()> {
        let Some(point) = node.find(kind::REPARSE_POINT, "") else { return Ok(()) };
        // In the record or, as longer ones, in clusters: the tag comes first.
        let tag = match (point.bytes(), point.clusters()) {
            (Some(bytes), _) => bytes.get(..4).map(<[u8]>::to_vec),
            (None, Some(clusters)) => {
                let place = clusters.runs.first().and_then(|run| run.lcn);
                let mut tag = vec![0; 4];
                match place {
                    Some(lcn) => self.volume.read_at(&mut tag, lcn * self.volume.boot.cluster_size)?,
                    None => return Err(refused("a reparse point lies in a hole")),
                }
                Some(tag)
            }
            (None, None) => None,
        };
        self.remove_value(node, kind::REPARSE_POINT, "")?;
        node.set_file_attributes(node.file_attributes() & !attribute::REPARSE_POINT);
        let Some(mut key) = tag else { return Ok(()) };
        key.extend(file.0.to_le_bytes());
        self.forget("$Extend/$Reparse", "$R", &key)
    }

    /// Takes a key out of one of the volume's own indexes, where it may be missing.
    fn forget(&mut self, path: &str, index: &str, key: &[u8]) -> Result<()> {
        let Some(number) = self.volume.find(path)?.map(|file| file.record.number) else { return Ok(()) };
        self.index_remove(number, index, key)?;
        Ok(())
    }
}
