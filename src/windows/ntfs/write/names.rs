//! The names of a file: `$FILE_NAME` in its records, each with its entry in a directory.
//!
//! A long name that is none of 8.3 has a short one beside it where its neighbours have. Each name counts as a link, the short
//! ones too. What stands beside the names is written for all of them whenever it changes.

use std::ops::ControlFlow;

use super::super::directory::{INDEX, with_index};
use super::super::file_name::{Duplicate, FileName, space};
use super::super::flaw::{Flaw, flaw};
use super::super::index::file_entry;
use super::super::names::{self, Style};
use super::super::record::{Reference, kind};
use super::super::volume::system_file;
use super::Edit;
use super::attribute::{Attribute, Value};
use super::node::Node;
use crate::error::{Error, Result};

/// Neighbours that are looked at to see how names are kept here.
const NEIGHBOURS: usize = 200;

impl Node {
    /// All names, in the order of the attributes.
    pub(super) fn names(&self) -> Vec<FileName> {
        let names = self.attributes.iter().filter(|attribute| attribute.kind == kind::FILE_NAME);
        names.filter_map(|name| FileName::parse(name.bytes()?)).collect()
    }

    /// Writes into all names what they tell of the file, and counts them.
    fn tell(&mut self, info: Duplicate) -> Result<(), Flaw> {
        let mut links = 0;
        for attribute in &mut self.attributes {
            if attribute.kind != kind::FILE_NAME {
                continue;
            }
            links += 1;
            if let Value::Resident { bytes, .. } = &mut attribute.value
                && let Some(name) = FileName::parse(bytes)
            {
                *bytes = FileName { info: keep_view(info, &name), ..name }.to_bytes();
            }
        }
        self.base.change(|header| header.links = links.into())
    }

    /// Takes out the name that an entry in a directory has, and its other one there: a long name and its short one go together.
    pub(super) fn take_name(&mut self, name: &FileName) -> Vec<FileName> {
        let pair = matches!(name.space, space::WIN32 | space::DOS);
        let goes = |other: &FileName| {
            other.parent == name.parent
                && (other.name == name.name
                    || pair && matches!(other.space, space::WIN32 | space::DOS) && other.space != name.space)
        };
        let mut taken = Vec::new();
        self.attributes.retain(|attribute| {
            let found = (attribute.kind == kind::FILE_NAME)
                .then(|| attribute.bytes().and_then(FileName::parse))
                .flatten()
                .filter(goes);
            let stays = found.is_none();
            taken.extend(found);
            stays
        });
        taken
    }
}

impl Edit {
    /// Stores a file whose sizes, times, attributes or names have changed, and says so in the directories that list it.
    pub(super) fn settle(&mut self, node: &mut Node) -> Result<()> {
        // A record that is full puts content into clusters, of which the names tell: they are stored once more then.
        loop {
            let info = self.volume.in_record(&node.base, |_| node.duplicate())?;
            node.tell(info).map_err(|flaw| self.volume.in_record_number(node.number(), flaw))?;
            self.store(node)?;
            if self.volume.in_record(&node.base, |_| node.duplicate())? == info {
                break;
            }
        }
        let reference = node.reference(&self.volume)?;
        for name in node.names() {
            self.index_put(name.parent.number(), INDEX, &file_entry(reference, &name.to_bytes()))?;
        }
        Ok(())
    }

    /// Gives a file a name in a directory, and a short one beside it where that is usual there.
    pub(super) fn add_name(&mut self, node: &mut Node, directory: u64, name: &[u16]) -> Result<()> {
        names::check(name)?;
        let parent = self.volume.record(directory)?;
        let parent = self.volume.in_record(&parent, super::super::record::Record::reference)?;
        let named = |name: &[u16], space| {
            let name = FileName { parent, info: Duplicate::default(), space, name: name.to_vec() };
            let value = Value::Resident { bytes: name.to_bytes(), indexed: 1 };
            Attribute { kind: kind::FILE_NAME, name: Vec::new(), flags: 0, value }
        };
        let own = match self.style(directory)? {
            _ if names::is_short(name) => space::BOTH,
            Style::Single(space) => space,
            Style::Pair => {
                let short = names::short(name, &self.volume.upcase, &mut |short| {
                    self.entry_of_any(directory, short)
                })?;
                node.add(named(&short, space::DOS), &self.volume.upcase);
                space::WIN32
            }
        };
        node.add(named(name, own), &self.volume.upcase);
        self.touched.insert(directory);
        Ok(())
    }

    /// Takes a name that a directory lists away from a file, and its other one there.
    pub(super) fn remove_name(&mut self, node: &mut Node, name: &FileName) -> Result<()> {
        let taken = node.take_name(name);
        if taken.is_empty() {
            let flaw = flaw("the name that its directory lists", "none such");
            return self.volume.in_record(&node.base, |_| Err(flaw));
        }
        for name in taken {
            let directory = name.parent.number();
            self.index_remove(directory, INDEX, &name.to_bytes())?;
            self.touched.insert(directory);
        }
        Ok(())
    }

    /// Whether a directory lists a name, in any case.
    fn entry_of_any(&self, directory: u64, name: &[u16]) -> Result<bool> {
        let record = self.volume.record(directory)?;
        with_index(&self.volume, &record, INDEX, |index| {
            Ok(super::super::directory::find_entry(&index, name, &self.volume.upcase)?.is_some())
        })
    }

    /// How long names are kept in a directory, or else in the root directory.
    fn style(&self, directory: u64) -> Result<Style> {
        for directory in [directory, system_file::ROOT] {
            let mut neighbours = Vec::new();
            let record = self.volume.record(directory)?;
            let _: ControlFlow<()> = with_index(&self.volume, &record, INDEX, |index| {
                index.walk(&mut |entry| {
                    neighbours.extend(FileName::parse(entry.key()));
                    match neighbours.len() < NEIGHBOURS {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                })
            })?;
            if let Some(style) = names::style(neighbours) {
                return Ok(style);
            }
        }
        Ok(Style::Single(space::POSIX))
    }

    /// Refuses a name that a directory has already, in this case or another.
    pub(super) fn check_new(&self, directory: u64, name: &[u16], but: Option<Reference>) -> Result<()> {
        match self.entry(directory, name)? {
            Some(found) if Some(found.file) != but => {
                let (name, there) =
                    (String::from_utf16_lossy(name), String::from_utf16_lossy(&found.name.name));
                Err(Error::Layout {
                    reason: match name == there {
                        true => format!("there is a {name} already"),
                        false => format!("{name} differs only in case from {there}, or is its short name"),
                    },
                })
            }
            _ => Ok(()),
        }
    }
}

/// What a name says beside what its file tells: that it is one of a view of an index.
fn keep_view(info: Duplicate, name: &FileName) -> Duplicate {
    const VIEW: u32 = 0x2000_0000;
    Duplicate { attributes: info.attributes | name.info.attributes & VIEW, ..info }
}
