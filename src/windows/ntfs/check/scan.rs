//! One pass over `$MFT`: each record by itself, and what the later parts of a check compare.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::attributes;
use super::context::Context;
use super::extent;
use super::fault::NtfsFault;
use super::finding::{Place, units};
use super::names::{DOS, FileName, INDEX, Names, WIN32};
use super::space::Space;
use super::table::{File, Marks, Table};
use crate::error::Result;
use crate::windows::ntfs::record::{Attribute, Record, Reference, SIGNATURE, Value, kind};
use crate::windows::ntfs::volume::system_file;

/// Bytes of `$MFT` that are read at once, about.
const CHUNK: u64 = 1 << 20;
/// Where a record's attributes say what it is named, and how: without the last bytes of a `$STANDARD_INFORMATION` of 1.2.
const SECURITY_ID: usize = 0x34;
const FILE_ATTRIBUTES: usize = 0x20;

/// What is gathered.
#[derive(Default)]
pub(super) struct Scan {
    pub files: Table,
    pub names: Names,
    pub space: Space,
    /// The records in use.
    pub in_use: RoaringBitmap,
    /// Records that continue others, and the references to those.
    pub extents: Vec<(u32, Reference)>,
    /// The first records of files with object ids, and the ids.
    pub object_ids: BTreeMap<[u8; 16], u32>,
    /// The first record that is all zeros, and how many are.
    unformatted: Option<(u32, u32)>,
    /// The files of `$Extend` that hold an index of all volume.
    pub extend: BTreeMap<String, u32>,
}

impl Scan {
    pub fn read(cx: &mut Context) -> Result<Self> {
        let mut scan = Self::default();
        let size = cx.volume.boot.record_size;
        let records = cx.volume.mft.size.min(cx.volume.mft.initialized) / size;
        // "Maximum number of files: 2^32 - 1" (Windows' documentation of NTFS).
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let step = u32::try_from(CHUNK / size).unwrap_or(1).max(1);
        let mut chunk = Vec::new();
        let mut first = 0;
        while first < records {
            cx.job.check()?;
            let count = step.min(records - first);
            chunk.resize(count as usize * size as usize, 0);
            let read = cx.volume.mft.read_at(cx.volume, &mut chunk, u64::from(first) * size);
            if cx.findings.catch(system_file::MFT, read)?.is_none() {
                break;
            }
            for (number, bytes) in (first..).zip(chunk.chunks_exact(size as usize)) {
                scan.record(cx, number, bytes)?;
            }
            first += count;
            cx.job.set_done(u64::from(first) * size);
        }
        if let Some((number, count)) = scan.unformatted {
            let place = cx.record(number.into());
            cx.add(
                NtfsFault::RecordUnformatted,
                place,
                "FILE records",
                format!("zeros in {count}, this one the first"),
            );
        }
        scan.names.sort();
        Ok(scan)
    }

    fn record(&mut self, cx: &mut Context, number: u32, bytes: &[u8]) -> Result<()> {
        let place = cx.record(number.into());
        let record = match Record::parse(number.into(), bytes.to_vec()) {
            Ok(record) => record,
            Err(flaw) => {
                let fault = match bytes {
                    _ if bytes.starts_with(SIGNATURE) || bytes.starts_with(b"BAAD") => NtfsFault::RecordTorn,
                    _ if bytes.iter().all(|&byte| byte == 0) => {
                        self.unformatted.get_or_insert((number, 0)).1 += 1;
                        return Ok(());
                    }
                    _ => NtfsFault::RecordSignature,
                };
                cx.findings.flaw(fault, place, flaw);
                if fault == NtfsFault::RecordTorn {
                    // It may be in use: nothing that it would tell is missed.
                    self.space.incomplete = true;
                    self.in_use.insert(number);
                    self.files.at(number).marks = Marks::IN_USE | Marks::DAMAGED | Marks::INDEX_DAMAGED;
                }
                return Ok(());
            }
        };
        if !record.in_use().unwrap_or(false) {
            return Ok(());
        }
        self.in_use.insert(number);
        let base = record.base().ok().flatten();
        self.begin(number, &record, base);
        attributes::check_header(cx, &place, &record);
        let attributes = match record.attributes() {
            Ok(attributes) => attributes,
            Err(flaw) => {
                cx.findings.flaw(NtfsFault::AttributeBounds, place, flaw);
                self.space.incomplete = true;
                self.files.at(number).marks |= Marks::DAMAGED | Marks::INDEX_DAMAGED;
                return Ok(());
            }
        };
        attributes::check_list(cx, &place, &record, &attributes);
        let owner = base.map_or(Some(number), |base| u32::try_from(base.number()).ok());
        let listed = attributes.iter().any(|attribute| attribute.kind == kind::ATTRIBUTE_LIST);
        for attribute in &attributes {
            let whole = base.is_none() && !listed;
            let odd = attributes::oddly_sparse(number.into(), attribute.kind, &units(attribute.name));
            if let Some(extent) = extent::check(cx, &mut self.space, &record, attribute, odd)?
                && whole
            {
                extent::check_whole(cx, &[extent], odd);
            }
            if let Some(owner) = owner {
                self.gather(cx, &place.of(attribute), &record, owner, attribute);
            }
        }
        if base.is_none() {
            let file = self.files.at(number);
            file.marks.set(Marks::LISTED, listed);
            if !file.is(Marks::STANDARD_INFORMATION) {
                cx.add(NtfsFault::NoStandardInformation, place, "$STANDARD_INFORMATION", "none");
            }
            if !listed {
                check_short_names(cx, number.into(), file_names(&attributes).map(|(_, name)| name));
            }
        }
        Ok(())
    }

    /// What the header says.
    fn begin(&mut self, number: u32, record: &Record, base: Option<Reference>) {
        let file = self.files.at(number);
        file.sequence = record.sequence().unwrap_or(0);
        file.links = record.header().map_or(0, |header| header.links.get());
        file.marks |= Marks::IN_USE;
        file.marks.set(Marks::DIRECTORY, record.is_directory().unwrap_or(false));
        if let Some(base) = base {
            file.marks |= Marks::EXTENT;
            self.extents.push((number, base));
        }
    }

    /// What an attribute says of the file that it belongs to.
    fn gather(
        &mut self,
        cx: &mut Context,
        place: &Place,
        record: &Record,
        owner: u32,
        attribute: &Attribute,
    ) {
        let unnamed = attribute.name.is_empty();
        let resident = match attribute.value {
            Value::Resident(value) => Some(value),
            Value::NonResident(..) => None,
        };
        let u32_at =
            |at: usize| -> Option<u32> { Some(u32::from_le_bytes(*resident?.get(at..)?.first_chunk()?)) };
        match attribute.kind {
            kind::STANDARD_INFORMATION => {
                let file = self.files.at(owner);
                file.marks |= Marks::STANDARD_INFORMATION;
                file.attributes = u32_at(FILE_ATTRIBUTES).unwrap_or(0);
                file.security = u32_at(SECURITY_ID).unwrap_or(0);
            }
            kind::FILE_NAME => {
                let Some(name) = resident.and_then(FileName::parse) else {
                    let expected = "a file name that is as long as it says";
                    return cx.add(NtfsFault::KeyName, place.clone(), expected, "another length");
                };
                if name.is_odd() {
                    let expected = "a name without NUL, /, : and \\";
                    cx.add(NtfsFault::NameCharacters, place.clone(), expected, format!("{:?}", name.text()));
                }
                if name.parent.number() == system_file::EXTEND {
                    self.extend.insert(name.text(), owner);
                }
                let file = self.files.at(owner);
                file.short_names = file.short_names.saturating_add((name.space == DOS).into());
                self.names.add(owner, &name);
            }
            kind::OBJECT_ID => {
                if let Some(id) = resident.and_then(|value| value.first_chunk()) {
                    self.object_ids.insert(*id, owner);
                    self.files.at(owner).marks |= Marks::OBJECT_ID;
                }
            }
            kind::DATA if unnamed => {
                let file = self.files.at(owner);
                (file.size, file.allocated) = match attribute.value {
                    // What it takes in the record.
                    Value::Resident(value) => (value.len() as u64, value.len().next_multiple_of(8) as u64),
                    Value::NonResident(header, _) if header.lowest_vcn.get() == 0 => {
                        let sizes = extent::Sizes::of(record, attribute, &header);
                        (sizes.size, sizes.present())
                    }
                    Value::NonResident(..) => return,
                };
            }
            kind::INDEX_ROOT => {
                let view = !attribute.is_named(INDEX);
                self.files.at(owner).marks |= if view { Marks::VIEW } else { Marks::NAMES };
            }
            kind::REPARSE_POINT => {
                let file = self.files.at(owner);
                file.marks |= Marks::REPARSE;
                file.tag = u32_at(0).unwrap_or(0);
            }
            _ => {}
        }
    }

    /// The links of each file, which are its names.
    pub fn check_links(&self, cx: &mut Context) {
        for (number, file) in self.files.bases() {
            if file.is(Marks::DAMAGED) {
                continue;
            }
            let names = self.names.count(number);
            let place = cx.record(number.into());
            if usize::from(file.links) != names {
                let found = format!("{} links", file.links);
                cx.add(NtfsFault::LinkCount, place, format!("{names} links, as it has names"), found);
            } else if names == 0 && u64::from(number) >= system_file::FIRST_USER {
                cx.add(NtfsFault::NoName, place, "a name", "none");
            }
        }
    }
}

/// The names that these attributes are, with their places in the record.
pub(super) fn file_names<'a>(
    attributes: &'a [Attribute<'a>],
) -> impl Iterator<Item = (usize, FileName)> + 'a {
    attributes.iter().filter(|attribute| attribute.kind == kind::FILE_NAME).filter_map(|attribute| {
        match attribute.value {
            Value::Resident(value) => Some((attribute.at, FileName::parse(value)?)),
            Value::NonResident(..) => None,
        }
    })
}

/// A short name stands beside a long one of the same directory.
pub(super) fn check_short_names(cx: &mut Context, record: u64, names: impl Iterator<Item = FileName>) {
    let names: Vec<FileName> = names.filter(|name| [WIN32, DOS].contains(&name.space)).collect();
    for short in names.iter().filter(|name| name.space == DOS) {
        let long = names.iter().any(|name| name.space == WIN32 && name.parent.0 == short.parent.0);
        if !long {
            let place = cx.record(record);
            cx.add(
                NtfsFault::DosNameAlone,
                place,
                "a long name in its directory",
                format!("{:?} alone", short.text()),
            );
        }
    }
}

/// Whether a file's entries need not tell its attributes as they are: those of the volume itself.
pub(super) fn is_system(number: u64, file: &File) -> bool {
    number < system_file::FIRST_USER || file.is(Marks::VIEW)
}
