//! A file's attributes, gathered from all of its records.
//!
//! A node holds them in the order in which records have them. Of its attribute list nothing is kept but the clusters: the
//! list is made anew when the node is stored.

use super::super::flaw::flaw;
use super::super::record::{Record, Reference, kind};
use super::super::runs::Run;
use super::super::stream::{MAX_LIST, Stream};
use super::super::upcase::Upcase;
use super::super::volume::Volume;
use super::attribute::{Attribute, Value};
use super::list;
use crate::error::Result;

#[derive(Debug)]
pub(in crate::windows::ntfs) struct Node {
    /// The base record, as it was last written.
    pub base: Record,
    /// The records that continue it.
    pub extents: Vec<Reference>,
    /// The clusters of the attribute list.
    pub list: Vec<Run>,
    pub attributes: Vec<Attribute>,
}

impl Node {
    /// A file of which nothing is there but the record.
    pub fn new(base: Record) -> Self {
        Self { base, extents: Vec::new(), list: Vec::new(), attributes: Vec::new() }
    }

    /// The file whose base record has this number.
    pub fn load(volume: &Volume, number: u64) -> Result<Self> {
        let base = volume.record(number)?;
        volume.in_record(&base, |base| match base.in_use()? && base.base()?.is_none() {
            true => Ok(()),
            false => Err(flaw("the base record of a file", "a free record, or one that continues another")),
        })?;
        let mut node = Self::new(base);
        let mut parts = Vec::new();
        let mut entries = None;
        if let Some(list) = Stream::in_record(volume, &node.base, kind::ATTRIBUTE_LIST, "")? {
            node.list = list.runs().to_vec();
            let list = list::parse(&list.read(volume, MAX_LIST)?);
            let list = volume.in_record(&node.base, |_| list)?;
            node.extents = list.iter().map(|entry| entry.record).collect();
            node.extents.sort_by_key(|record| record.number());
            node.extents.dedup();
            node.extents.retain(|record| record.number() != number);
            entries = Some(list.len());
        }
        gather(volume, &node.base, &mut parts)?;
        for extent in &node.extents {
            let record = volume.record(extent.number())?;
            volume.in_record(&record, |record| {
                let owner = record.base()?.map(|base| (base.number(), base.sequence()));
                let whole = record.in_use()? && record.sequence()? == extent.sequence();
                match whole && owner == Some((number, node.base.sequence()?)) {
                    true => Ok(()),
                    false => Err(flaw(format!("a record that continues file {number}"), "another one")),
                }
            })?;
            gather(volume, &record, &mut parts)?;
        }
        if let Some(entries) = entries.filter(|entries| *entries != parts.len()) {
            let flaw = flaw(format!("{} attributes in the list", parts.len()), entries.to_string());
            return volume.in_record(&node.base, |_| Err(flaw));
        }
        parts.sort_by_key(|(_, lowest)| *lowest);
        for (part, lowest) in parts {
            if lowest == 0 {
                node.attributes.push(part);
                continue;
            }
            let same = |whole: &&mut Attribute| whole.kind == part.kind && whole.name == part.name;
            let whole = node.attributes.iter_mut().find(same).map(|whole| &mut whole.value);
            match (whole, part.value) {
                (Some(Value::Clusters(whole)), Value::Clusters(part)) if whole.count() == lowest => {
                    whole.runs.extend(part.runs);
                }
                _ => {
                    let flaw =
                        flaw("parts of a value that follow each other", format!("one from {lowest} on"));
                    return volume.in_record(&node.base, |_| Err(flaw));
                }
            }
        }
        node.attributes.sort_by(|a, b| a.order(b, &volume.upcase));
        Ok(node)
    }

    pub fn number(&self) -> u64 {
        self.base.number
    }

    pub fn reference(&self, volume: &Volume) -> Result<Reference> {
        let sequence = volume.in_record(&self.base, Record::sequence)?;
        Ok(Reference::new(self.number(), sequence))
    }

    pub fn find(&self, kind: u32, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.is(kind, name))
    }

    pub fn find_mut(&mut self, kind: u32, name: &str) -> Option<&mut Attribute> {
        self.attributes.iter_mut().find(|attribute| attribute.is(kind, name))
    }

    pub fn take(&mut self, kind: u32, name: &str) -> Option<Attribute> {
        let at = self.attributes.iter().position(|attribute| attribute.is(kind, name))?;
        Some(self.attributes.remove(at))
    }

    /// Adds an attribute in its place.
    pub fn add(&mut self, attribute: Attribute, upcase: &Upcase) {
        let at = self.attributes.partition_point(|other| other.order(&attribute, upcase).is_le());
        self.attributes.insert(at, attribute);
    }
}

/// The attributes of a record, without the list, each with the cluster with which it begins.
fn gather(volume: &Volume, record: &Record, parts: &mut Vec<(Attribute, u64)>) -> Result<()> {
    volume.in_record(record, |record| {
        for part in record.attributes()? {
            if part.kind != kind::ATTRIBUTE_LIST {
                parts.push(Attribute::parse(&part, volume.boot.clusters)?);
            }
        }
        Ok(())
    })
}
