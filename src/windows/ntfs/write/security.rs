//! Which security a new file gets: that of files like it beside it, which is what Windows' own installer would give it; else what the directory
//! hands down.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::super::directory::{INDEX, with_index};
use super::super::file_name::{DIRECTORY, FileName, space};
use super::super::inherit::inherit;
use super::super::record::kind;
use super::super::secure::{self, SDH, SDS, SII};
use super::super::volume::system_file;
use super::Edit;
use super::node::Node;
use crate::error::Result;

/// Files that are looked at.
const SIBLINGS: usize = 16;
/// The first record of a file that is not the volume's own.
const FIRST_FILE: u64 = 24;

/// The id for a new file in a directory, or for a new directory.
///
/// # Errors
///
/// [`crate::Error::Damaged`], [`crate::Error::VolumeFull`], and what reading the disk gives rise to.
pub(super) fn security_id(edit: &mut Edit, parent: u64, directory: bool) -> Result<u32> {
    if let Some(id) = like_siblings(edit, parent, directory)? {
        return Ok(id);
    }
    let parent = Node::load(&edit.volume, parent)?;
    // Of a directory that has none, as nothing is handed down by.
    let own = parent.find(kind::SECURITY_DESCRIPTOR, "").and_then(|own| own.bytes());
    let descriptor = match (secure::descriptor(&edit.volume, parent.security_id())?, own) {
        (Some(descriptor), _) => inherit(Some(&descriptor), directory),
        (None, own) => inherit(own, directory),
    };
    let descriptor = edit.volume.in_record(&parent.base, |_| descriptor)?;
    match secure::find(&edit.volume, &descriptor)? {
        Some(id) => Ok(id),
        None => add(edit, &descriptor),
    }
}

/// The id that most files, or directories, in a directory have.
fn like_siblings(edit: &Edit, parent: u64, directory: bool) -> Result<Option<u32>> {
    let mut siblings = Vec::new();
    let record = edit.volume.record(parent)?;
    let _: ControlFlow<()> = with_index(&edit.volume, &record, INDEX, |index| {
        index.walk(&mut |entry| {
            let number = entry.reference().number();
            let alike = FileName::parse(entry.key()).is_some_and(|file| {
                file.space != space::DOS && directory == (file.info.attributes & DIRECTORY != 0)
            });
            if alike && number >= FIRST_FILE {
                siblings.push(number);
            }
            match siblings.len() < SIBLINGS {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })
    })?;
    let mut ids: BTreeMap<u32, usize> = BTreeMap::new();
    for sibling in siblings {
        *ids.entry(Node::load(&edit.volume, sibling)?.security_id()).or_default() += 1;
    }
    // Some have a descriptor of their own, and no id.
    ids.remove(&0);
    match ids.into_iter().max_by_key(|(_, files)| *files) {
        Some((id, _)) if secure::descriptor(&edit.volume, id)?.is_some() => Ok(Some(id)),
        _ => Ok(None),
    }
}

fn add(edit: &mut Edit, descriptor: &[u8]) -> Result<u32> {
    let added = secure::addition(&edit.volume, descriptor)?;
    let mut secure = Node::load(&edit.volume, system_file::SECURE)?;
    for offset in added.offsets {
        edit.write_value(&mut secure, kind::DATA, SDS, offset, &added.bytes)?;
    }
    edit.store(&mut secure)?;
    edit.index_insert(system_file::SECURE, SII, &added.sii)?;
    edit.index_insert(system_file::SECURE, SDH, &added.sdh)?;
    Ok(added.id)
}
