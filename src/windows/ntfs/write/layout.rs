//! Storing a file: which of its attributes stand in which of its records.
//!
//! All of a file is laid out anew each time. While its attributes fit into the base record they stand there; values that
//! may leave it do so, the largest first; only then an attribute list is made. The base keeps the list and, as far as they
//! fit, what is looked for first: standard information, the root of an index, names. Mapping pairs that one record does
//! not hold are parted between records, the first of them in the base if there is room, as `$MFT` needs it.

use super::super::flaw::{flaw, refused};
use super::super::record::{Record, Reference, kind};
use super::super::runs;
use super::super::stream::MAX_LIST;
use super::super::volume::system_file;
use super::Edit;
use super::attribute::{Attribute, Clusters, Value};
use super::list;
use super::node::Node;
use crate::error::Result;

/// What a list in clusters takes in the base: its header and mapping pairs of three runs of any size.
const LIST_IN_CLUSTERS: usize = 0x40 + 3 * 17;
/// A value may leave the record that is longer than what then stands there in its place.
const WORTH_MOVING: usize = 0x40;

/// A part of an attribute in a record.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Which of the node's.
    attribute: usize,
    /// Which of its runs, and the cluster with which they begin.
    runs: Option<(usize, usize, u64)>,
}

impl Part {
    fn lowest(&self) -> u64 {
        self.runs.map_or(0, |(_, _, lowest)| lowest)
    }

    fn to_bytes(self, node: &Node, instance: u16) -> Vec<u8> {
        let attribute = &node.attributes[self.attribute];
        match (self.runs, attribute.clusters()) {
            (Some((from, to, lowest)), Some(clusters)) => {
                attribute.to_bytes(Some((lowest, &clusters.runs[from..to])), instance)
            }
            _ => attribute.to_bytes(None, instance),
        }
    }
}

impl Edit {
    /// Writes the records of a file, of which more or fewer may be needed than before.
    pub(in crate::windows::ntfs) fn store(&mut self, node: &mut Node) -> Result<()> {
        let room = self.room_for_attributes(&node.base)?;
        let total = |node: &Node| node.attributes.iter().map(Attribute::len).sum::<usize>();
        while total(node) > room
            && let Some(largest) = largest_that_may_leave(node)
        {
            self.move_out(&mut node.attributes[largest])?;
        }
        if total(node) <= room {
            let parts = (0..node.attributes.len()).map(|attribute| Part { attribute, runs: None });
            let list = std::mem::take(&mut node.list);
            self.free_clusters(&list)?;
            return self.store_records(node, vec![parts.collect()], None);
        }
        let mut reserve = LIST_IN_CLUSTERS;
        loop {
            let records = place(&node.attributes, room, reserve)?;
            let parts = records.iter().flatten();
            let len: usize = parts.map(|part| list::entry_len(&node.attributes[part.attribute])).sum();
            let resident = 0x18 + len.next_multiple_of(8);
            if len as u64 > MAX_LIST {
                return Err(refused("the file would be in more parts than an attribute list can name"));
            }
            if resident <= reserve || reserve > LIST_IN_CLUSTERS && resident > room / 2 {
                return self.store_records(node, records, Some((len, resident <= reserve)));
            }
            // Room for a list in the record, unless that is half of it.
            if resident > room / 2 {
                return self.store_records(node, records, Some((len, false)));
            }
            reserve = resident;
        }
    }

    /// Bytes that a record has for attributes.
    pub(super) fn room_for_attributes(&self, record: &Record) -> Result<usize> {
        let first = self.volume.in_record(record, Record::first_attribute)?;
        // The mark behind the last one takes 8.
        Ok((self.volume.boot.record_size as usize).saturating_sub(first + 8))
    }

    /// Puts a value that stands in the record into clusters.
    fn move_out(&mut self, attribute: &mut Attribute) -> Result<()> {
        let Some(bytes) = attribute.bytes().map(<[u8]>::to_vec) else { return Ok(()) };
        let clusters = self.allocate_for(bytes.len() as u64)?;
        self.write_runs(&clusters.runs, 0, &bytes)?;
        self.zero_runs(&clusters.runs, bytes.len() as u64, clusters.allocated)?;
        attribute.value = Value::Clusters(Clusters {
            size: bytes.len() as u64,
            initialized: bytes.len() as u64,
            ..clusters
        });
        Ok(())
    }

    /// Writes the parts into their records, and the list, of which the length is given and whether it stands in the base.
    fn store_records(
        &mut self,
        node: &mut Node,
        records: Vec<Vec<Part>>,
        list: Option<(usize, bool)>,
    ) -> Result<()> {
        let base = node.reference(&self.volume)?;
        for surplus in node.extents.split_off(node.extents.len().min(records.len() - 1)) {
            self.free_record(surplus.number())?;
        }
        while node.extents.len() + 1 < records.len() {
            let extent = match node.number() {
                system_file::MFT => self.allocate_table_extent()?,
                _ => self.allocate_record()?,
            };
            let number = extent.number;
            let extent =
                extent.continuing(base).map_err(|flaw| self.volume.in_record_number(number, flaw))?;
            node.extents.push(self.volume.in_record(&extent, Record::reference)?);
            self.write_record(&extent)?;
        }
        let mut entries = Vec::new();
        let mut contents = Vec::new();
        for (index, parts) in records.iter().enumerate() {
            let reference = if index == 0 { base } else { node.extents[index - 1] };
            let mut attributes = Vec::new();
            for part in parts {
                // The list's own number is that behind the others'.
                let instance = attributes.len() as u16;
                attributes.push(part.to_bytes(node, instance));
                entries.push((*part, reference, instance));
            }
            contents.push(attributes);
        }
        entries.sort_by_key(|(part, ..)| (part.attribute, part.lowest()));
        let entry = |&(part, reference, instance): &(Part, Reference, u16)| {
            list::entry(&node.attributes[part.attribute], part.lowest(), reference, instance)
        };
        if let Some((len, in_base)) = list {
            let bytes: Vec<u8> = entries.iter().flat_map(entry).collect();
            debug_assert_eq!(bytes.len(), len);
            let mut attribute = Attribute::resident(kind::ATTRIBUTE_LIST, "", bytes);
            let old = std::mem::take(&mut node.list);
            self.free_clusters(&old)?;
            if !in_base {
                self.move_out(&mut attribute)?;
                node.list = attribute.clusters().map(|clusters| clusters.runs.clone()).unwrap_or_default();
            }
            let instance = contents[0].len() as u16;
            let behind = records[0]
                .iter()
                .take_while(|part| node.attributes[part.attribute].kind < kind::ATTRIBUTE_LIST)
                .count();
            contents[0].insert(behind, attribute.to_bytes(None, instance));
        }
        for (index, attributes) in contents.into_iter().enumerate() {
            let mut record = match index {
                0 => node.base.clone(),
                _ => self.volume.record(node.extents[index - 1].number())?,
            };
            let fits = record.set_attributes(&attributes);
            if !self.volume.in_record(&record, |_| fits)? {
                let flaw = flaw("attributes that fit into their record", "more");
                return self.volume.in_record(&record, |_| Err(flaw));
            }
            self.write_record(&record)?;
            if index == 0 {
                node.base = record;
            }
        }
        match node.number() {
            system_file::MFT => self.reload_table(),
            _ => Ok(()),
        }
    }
}

/// Of the values in the record that may be in clusters, the one that takes most.
fn largest_that_may_leave(node: &Node) -> Option<usize> {
    let may_leave = |attribute: &Attribute| {
        // `$AttrDef` says which may not. Windows wants the root directory's `$TXF_DATA` where it is.
        let kind = !matches!(
            attribute.kind,
            kind::STANDARD_INFORMATION
                | kind::FILE_NAME
                | kind::OBJECT_ID
                | kind::VOLUME_NAME
                | kind::VOLUME_INFORMATION
                | kind::INDEX_ROOT
                | kind::EA_INFORMATION
        ) && !attribute.is(kind::LOGGED_UTILITY_STREAM, "$TXF_DATA");
        kind && attribute.bytes().is_some_and(|bytes| bytes.len() > WORTH_MOVING)
    };
    let leaving = node.attributes.iter().enumerate().filter(|(_, attribute)| may_leave(attribute));
    leaving.max_by_key(|(_, attribute)| attribute.size()).map(|(at, _)| at)
}

/// The parts that go into each record, of which each has `room`, the base `reserve` less.
fn place(attributes: &[Attribute], room: usize, reserve: usize) -> Result<Vec<Vec<Part>>> {
    let mut records = vec![Vec::new()];
    let mut free = room.saturating_sub(reserve);
    let mut order: Vec<usize> = (0..attributes.len()).collect();
    order.sort_by_key(|&at| (rank(attributes[at].kind), attributes[at].len()));
    let mut rest = Vec::new();
    for attribute in order {
        let len = attributes[attribute].len();
        if len <= free {
            free -= len;
            records[0].push(Part { attribute, runs: None });
        } else {
            rest.push(attribute);
        }
    }
    rest.sort_unstable();
    for attribute in rest {
        let whole = &attributes[attribute];
        let Some(clusters) = whole.clusters() else {
            let len = whole.len();
            if len > room {
                return Err(refused("an attribute of the file is longer than a FILE record"));
            }
            if len > free {
                records.push(Vec::new());
                free = room;
            }
            free -= len;
            push(&mut records, Part { attribute, runs: None });
            continue;
        };
        let (mut from, mut lowest) = (0, 0);
        while from < clusters.runs.len() {
            let fitting = longest_that_fits(whole, &clusters.runs[from..], free);
            if fitting == 0 {
                if free == room {
                    return Err(refused("an attribute of the file is longer than a FILE record"));
                }
                records.push(Vec::new());
                free = room;
                continue;
            }
            let runs = &clusters.runs[from..from + fitting];
            free -= whole.len_with(runs::encode(runs).len());
            push(&mut records, Part { attribute, runs: Some((from, from + fitting, lowest)) });
            lowest += runs.iter().map(|run| run.len).sum::<u64>();
            from += fitting;
        }
    }
    for parts in &mut records {
        parts.sort_by_key(|part| (part.attribute, part.lowest()));
    }
    Ok(records)
}

fn push(records: &mut [Vec<Part>], part: Part) {
    if let Some(last) = records.last_mut() {
        last.push(part);
    }
}

/// What is to stand in the base record before other attributes.
fn rank(kind: u32) -> u8 {
    match kind {
        kind::STANDARD_INFORMATION => 0,
        kind::INDEX_ROOT => 1,
        kind::FILE_NAME => 2,
        _ => 3,
    }
}

/// How many of `runs` a part of `room` bytes tells of.
fn longest_that_fits(attribute: &Attribute, all: &[runs::Run], room: usize) -> usize {
    let (mut low, mut high) = (0, all.len());
    while low < high {
        let middle = (low + high).div_ceil(2);
        match attribute.len_with(runs::encode(&all[..middle]).len()) <= room {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    low
}
