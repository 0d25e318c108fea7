//! A record's header, and its attributes side by side: their order, their numbers, where they may lie.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::context::Context;
use super::fault::NtfsFault;
use super::finding::{Place, units};
use crate::windows::ntfs::record::{Attribute, Record, Value, kind};
use crate::windows::ntfs::volume::system_file;

/// Where the update sequence array stands in a record that has its own number: since NTFS 3.1.
const NUMBERED: u16 = 0x30;
/// Attributes that lie in their records, as `$AttrDef` of all volumes has it.
const RESIDENT: [u32; 6] = [
    kind::STANDARD_INFORMATION,
    kind::FILE_NAME,
    kind::OBJECT_ID,
    kind::VOLUME_NAME,
    kind::VOLUME_INFORMATION,
    kind::INDEX_ROOT,
];

pub(super) fn check_header(cx: &mut Context, place: &Place, record: &Record) {
    let Ok(header) = record.header() else { return };
    let (number, size) = (header.number.get(), record.bytes().len());
    let [low, high, ..] = header.update_sequence;
    if u16::from_le_bytes([low, high]) >= NUMBERED && u64::from(number) != record.number {
        cx.add(
            NtfsFault::RecordNumber,
            place.clone(),
            format!("number {}", record.number),
            number.to_string(),
        );
    }
    if header.allocated.get() as usize != size {
        let found = format!("{} bytes", header.allocated.get());
        cx.add(NtfsFault::RecordSize, place.clone(), format!("{size} bytes"), found);
    }
}

/// The attributes of a record, which are in order and have numbers of their own.
pub(super) fn check_list(cx: &mut Context, place: &Place, record: &Record, attributes: &[Attribute]) {
    let Ok(header) = record.header() else { return };
    // What ends the attributes takes 8 bytes.
    let end = attributes.last().map_or(0, |last| last.at + last.len) + 8;
    let used = header.used.get() as usize;
    if !attributes.is_empty() && used != end {
        cx.add(NtfsFault::RecordUsed, place.clone(), format!("{end} bytes in use"), format!("{used} bytes"));
    }
    let mut instances = BTreeSet::new();
    for attribute in attributes {
        let at = place.of(attribute);
        if !instances.insert(attribute.instance) {
            let found = format!("instance {} again", attribute.instance);
            cx.add(NtfsFault::InstanceTwice, at.clone(), "an instance number of its own", found);
        }
        if attribute.kind == kind::FILE_NAME && attribute.indexed & 1 == 0 {
            cx.add(NtfsFault::NameNotIndexed, at.clone(), "the indexed flag", "none");
        }
        let in_record = matches!(attribute.value, Value::Resident(_));
        if in_record && attribute.kind == kind::INDEX_ALLOCATION {
            cx.add(NtfsFault::AttributeResidency, at, "a value in clusters", "one in the record");
        } else if !in_record && RESIDENT.contains(&attribute.kind) {
            cx.add(NtfsFault::AttributeResidency, at, "a value in the record", "one in clusters");
        }
    }
    let next = header.next_instance.get();
    if let Some(last) = instances.last().filter(|last| **last >= next) {
        let expected = format!("a next instance number above {last}");
        cx.add(NtfsFault::InstanceNext, place.clone(), expected, next.to_string());
    }
    for pair in attributes.windows(2) {
        let [first, second] = pair else { continue };
        let at = place.of(second);
        match order(cx, first, second) {
            Ordering::Less => {}
            Ordering::Equal if second.kind == kind::FILE_NAME => {}
            Ordering::Equal => {
                cx.add(NtfsFault::AttributeTwice, at, "an attribute of its own", "the same again")
            }
            Ordering::Greater => {
                let expected = "attributes by type, name and lowest VCN";
                let found = format!("type {:#x} behind type {:#x}", second.kind, first.kind);
                cx.add(NtfsFault::AttributeOrder, at, expected, found);
            }
        }
    }
}

fn order(cx: &Context, a: &Attribute, b: &Attribute) -> Ordering {
    let lowest = |attribute: &Attribute| match attribute.value {
        Value::Resident(_) => 0,
        Value::NonResident(header, _) => header.lowest_vcn.get(),
    };
    let names = || {
        let (a, b) = (units(a.name), units(b.name));
        cx.volume.upcase.compare(a.iter().copied(), b.iter().copied()).then_with(|| a.cmp(&b))
    };
    a.kind.cmp(&b.kind).then_with(names).then_with(|| lowest(a).cmp(&lowest(b)))
}

/// Whether an attribute has holes as no other may: the list of bad clusters, and the journal.
pub(super) fn oddly_sparse(file: u64, kind: u32, name: &[u16]) -> bool {
    let is = |stream: &str| kind == kind::DATA && stream.encode_utf16().eq(name.iter().copied());
    (file == system_file::BAD_CLUSTERS && is("$Bad")) || is("$J")
}
