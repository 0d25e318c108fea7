//! Attribute lists: each attribute of a file has its entry, each entry its attribute, and the extents of a stream follow
//! each other.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;
use zerocopy::FromBytes;

use super::attributes::oddly_sparse;
use super::context::Context;
use super::extent::{self, Extent};
use super::fault::NtfsFault;
use super::finding::{Place, label, units};
use super::names::FileName;
use super::scan::{Scan, check_short_names, file_names};
use super::table::Marks;
use crate::error::Result;
use crate::windows::ntfs::record::{Attribute, Record, Reference, Value, kind};
use crate::windows::ntfs::stream::{ListEntry, MAX_LIST, Stream};

/// An entry of a list.
struct Listed {
    /// Its first byte in the list.
    at: usize,
    kind: u32,
    name: Vec<u16>,
    lowest: u64,
    reference: Reference,
    instance: u16,
    /// Whether its attribute was found.
    met: bool,
}

impl Listed {
    fn is(&self, kind: u32, name: &[u16]) -> bool {
        self.kind == kind && self.name == name
    }
}

/// Looks at the lists of all files that have one, and at the records that continue files.
pub(super) fn check(cx: &mut Context, scan: &mut Scan) -> Result<()> {
    let listed: Vec<u32> =
        scan.files.bases().filter(|(_, file)| file.is(Marks::LISTED)).map(|(number, _)| number).collect();
    let mut claimed = RoaringBitmap::new();
    for number in listed {
        cx.job.check()?;
        let Some(base) = cx.read(number.into())? else { continue };
        let whole = match List::read(cx, &base)? {
            Some(list) => list.check(cx, scan, &base, &mut claimed)?,
            None => false,
        };
        if !whole {
            scan.files.at(number).marks |= Marks::DAMAGED;
        }
    }
    for &(extent, base) in &scan.extents {
        if !claimed.contains(extent) {
            let place = cx.record(extent.into());
            let expected = format!("an entry in the attribute list of record {}", base.number());
            cx.add(NtfsFault::ListMissing, place, expected, "none for this record");
        }
    }
    Ok(())
}

struct List {
    entries: Vec<Listed>,
    place: Place,
}

impl List {
    fn read(cx: &mut Context, base: &Record) -> Result<Option<Self>> {
        let place = cx.record(base.number);
        let Ok(Some(attribute)) = base.attribute(kind::ATTRIBUTE_LIST, "", 0) else { return Ok(None) };
        let place = Place { structure: "attribute list", ..place.of(&attribute) };
        let list = match Stream::of(&attribute, &cx.volume.boot) {
            Ok(stream) => stream.read(cx.volume, MAX_LIST),
            Err(flaw) => {
                cx.findings.flaw(NtfsFault::Unreadable, place, flaw);
                return Ok(None);
            }
        };
        let Some(bytes) = cx.findings.catch(base.number, list)? else { return Ok(None) };
        let (entries, whole) = parse(&bytes);
        if !whole {
            cx.add(NtfsFault::ListEntry, place.clone(), "entries that end with the list", "other lengths");
        }
        for pair in entries.windows(2) {
            let [first, second] = pair else { continue };
            let names = || cx.volume.upcase.compare(first.name.iter().copied(), second.name.iter().copied());
            let order = first.kind.cmp(&second.kind).then_with(names).then(first.lowest.cmp(&second.lowest));
            if order == Ordering::Greater {
                let found =
                    format!("{} behind {}", label(second.kind, &second.name), label(first.kind, &first.name));
                cx.add(NtfsFault::ListOrder, place.clone(), "entries by type, name and lowest VCN", found);
                break;
            }
        }
        Ok(whole.then_some(Self { entries, place }))
    }

    /// Holds the list against the records that it names. Whether all was there.
    fn check(
        mut self,
        cx: &mut Context,
        scan: &mut Scan,
        base: &Record,
        claimed: &mut RoaringBitmap,
    ) -> Result<bool> {
        let mut whole = true;
        // Records whose attributes are not known.
        let mut unread = BTreeSet::new();
        let mut extents: BTreeMap<(u32, Vec<u16>), Vec<Extent>> = BTreeMap::new();
        let mut names: Vec<FileName> = Vec::new();
        let numbers: BTreeSet<u64> =
            self.entries.iter().map(|entry| entry.reference.number()).chain([base.number]).collect();
        for number in numbers {
            let place = cx.record(number);
            // A record continues one file: each is looked at once, whatever lists say.
            if !u32::try_from(number).is_ok_and(|number| claimed.insert(number)) && number != base.number {
                cx.add(NtfsFault::ExtentBase, place, "a part of one file", "a second list that names it");
                unread.insert(number);
                continue;
            }
            let record = match number == base.number {
                true => base.clone(),
                false => match cx.read(number)? {
                    Some(record) => record,
                    None => {
                        unread.insert(number);
                        continue;
                    }
                },
            };
            whole &= self.check_record(cx, &record, base);
            let Ok(attributes) = record.attributes() else {
                unread.insert(number);
                continue;
            };
            let listed = || attributes.iter().filter(|attribute| attribute.kind != kind::ATTRIBUTE_LIST);
            // Those whose entries have their numbers come first, so that what is left goes together.
            let mut unmatched = Vec::new();
            for attribute in listed() {
                match self.by_instance(cx, &place, number, attribute) {
                    Some(same) => whole &= same,
                    None => unmatched.push(attribute),
                }
            }
            for attribute in unmatched {
                whole = false;
                self.by_place(cx, &place, number, attribute);
            }
            for attribute in listed() {
                let Some(Ok((extent, runs))) = Extent::of(&place, &record, attribute) else { continue };
                if !record.in_use().unwrap_or(false) {
                    // Nobody else has taken them into account.
                    runs.iter().for_each(|run| scan.space.claim(cx, &extent.place, run));
                }
                extents.entry((attribute.kind, units(attribute.name))).or_default().push(extent);
            }
            names.extend(file_names(&attributes).map(|(_, name)| name));
        }
        for entry in self.entries.iter().filter(|entry| !entry.met) {
            let number = entry.reference.number();
            whole = false;
            if unread.contains(&number) {
                continue;
            }
            let expected = format!("{} in record {number}", label(entry.kind, &entry.name));
            let place = Place { attribute: Some(label(entry.kind, &entry.name)), ..self.place.clone() };
            cx.add(NtfsFault::ListStale, place, expected, format!("none; entry at byte {}", entry.at));
        }
        for ((kind, name), mut extents) in extents {
            extents.sort_by_key(|extent| extent.lowest);
            whole &= extent::check_whole(cx, &extents, oddly_sparse(base.number, kind, &name));
        }
        check_short_names(cx, base.number, names.into_iter());
        Ok(whole && unread.is_empty())
    }

    /// A record that the list names belongs to the file.
    fn check_record(&self, cx: &mut Context, record: &Record, base: &Record) -> bool {
        let place = cx.record(record.number);
        let (sequence, in_use) = (record.sequence().unwrap_or(0), record.in_use().unwrap_or(false));
        let stale = self.entries.iter().find(|entry| {
            entry.reference.number() == record.number && entry.reference.sequence() != sequence
        });
        if let Some(entry) = stale {
            let expected = format!("sequence number {sequence} of record {}", record.number);
            let found = format!("{} at byte {}", entry.reference.sequence(), entry.at);
            cx.add(NtfsFault::ListSequence, self.place.clone(), expected, found);
        }
        if record.number == base.number {
            return stale.is_none();
        }
        if !in_use {
            cx.add(
                NtfsFault::ExtentFree,
                place,
                format!("a part of the file {} in use", base.number),
                "a free record",
            );
            return false;
        }
        let expected = (base.number, base.sequence().unwrap_or(0));
        let found = record.base().ok().flatten().map(|base| (base.number(), base.sequence()));
        if found != Some(expected) {
            let expected = format!("base record {}, sequence number {}", expected.0, expected.1);
            let found = found.map_or("none".to_owned(), |(number, sequence)| format!("{number}, {sequence}"));
            cx.add(NtfsFault::ExtentBase, place, expected, found);
            return false;
        }
        stale.is_none()
    }

    /// The entries for an attribute that are not another's.
    fn entries<'e>(
        &'e mut self,
        record: u64,
        attribute: &Attribute,
    ) -> impl Iterator<Item = &'e mut Listed> + use<'e> {
        let (kind, name) = (attribute.kind, units(attribute.name));
        let same = move |entry: &&mut Listed| {
            !entry.met && entry.reference.number() == record && entry.is(kind, &name)
        };
        self.entries.iter_mut().filter(same)
    }

    /// The entry with an attribute's number, and whether it says where the attribute begins; `None` without such an entry.
    fn by_instance(
        &mut self,
        cx: &mut Context,
        place: &Place,
        record: u64,
        attribute: &Attribute,
    ) -> Option<bool> {
        let lowest = lowest(attribute);
        let entry = self.entries(record, attribute).find(|entry| entry.instance == attribute.instance)?;
        entry.met = true;
        if entry.lowest != lowest {
            let found = format!("VCN {}", entry.lowest);
            let expected = format!("an entry with VCN {lowest}");
            cx.add(NtfsFault::ListLowestVcn, place.of(attribute), expected, found);
        }
        Some(entry.lowest == lowest)
    }

    /// Tells of an attribute that no entry has the number of.
    fn by_place(&mut self, cx: &mut Context, place: &Place, record: u64, attribute: &Attribute) {
        let (lowest, place) = (lowest(attribute), place.of(attribute));
        match self.entries(record, attribute).find(|entry| entry.lowest == lowest) {
            Some(entry) => {
                entry.met = true;
                let expected = format!("an entry with instance {}", attribute.instance);
                cx.add(NtfsFault::ListInstance, place, expected, entry.instance.to_string());
            }
            None => cx.add(NtfsFault::ListMissing, place, "an entry in the attribute list", "none"),
        }
    }
}

/// The VCN of an attribute's first cluster.
fn lowest(attribute: &Attribute) -> u64 {
    match attribute.value {
        Value::Resident(_) => 0,
        Value::NonResident(header, _) => header.lowest_vcn.get(),
    }
}

/// The entries of a list, and whether they end with it.
fn parse(list: &[u8]) -> (Vec<Listed>, bool) {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < list.len() {
        let rest = &list[at..];
        let Some(entry) = entry(rest, at) else { return (entries, false) };
        entries.push(entry);
        let len = usize::from(u16::from_le_bytes([rest[4], rest[5]]));
        at += len;
    }
    (entries, true)
}

fn entry(rest: &[u8], at: usize) -> Option<Listed> {
    let (header, _) = ListEntry::ref_from_prefix(rest).ok()?;
    let bytes = rest.get(..header.len.get().into()).filter(|bytes| bytes.len() >= size_of::<ListEntry>())?;
    let name = match header.name_len {
        0 => &[],
        len => bytes.get(header.name_offset.into()..)?.get(..2 * usize::from(len))?,
    };
    Some(Listed {
        at,
        kind: header.kind.get(),
        name: units(name),
        lowest: header.lowest_vcn.get(),
        reference: Reference(header.record.get()),
        instance: header.instance.get(),
        met: false,
    })
}
