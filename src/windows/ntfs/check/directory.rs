//! Directories: each entry leads to a file that has that name there, each name of a file has its entry, what the entry says of
//! the file is so, and all directories hang together.
//!
//! Windows brings the sizes and attributes in an entry up to date when a file is closed, in that entry through which it was
//! opened: of a file with several names the others lag, and are no fault.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

use super::context::Context;
use super::fault::NtfsFault;
use super::finding::Place;
use super::index::{self, Entry};
use super::names::{DOS, FileName, INDEX, Met};
use super::scan::{Scan, file_names, is_system};
use super::table::{File, Marks};
use crate::error::Result;
use crate::windows::ntfs::edit;
use crate::windows::ntfs::record::{Reference, kind};
use crate::windows::ntfs::stream::{MAX_LIST, Stream, references};
use crate::windows::ntfs::volume::system_file;

/// What entries have in their attributes beside those of the file.
const IS_DIRECTORY: u32 = 0x1000_0000;
/// The attributes that are held against the file's: those that Windows' documentation of file attributes names, up to
/// "encrypted".
const COMPARED: u32 = 0x7fa7;

/// The directories in the directories.
#[derive(Default)]
struct Hierarchy(BTreeMap<u32, u32>);

/// Looks at all directories, then at all names.
pub(super) fn check(cx: &mut Context, scan: &mut Scan) -> Result<()> {
    let directories: Vec<(u32, File)> =
        scan.files.bases().filter(|(_, file)| file.is(Marks::DIRECTORY) || file.is(Marks::NAMES)).collect();
    let mut hierarchy = Hierarchy::default();
    for (number, file) in directories {
        cx.job.check()?;
        let done = cx.job.progress().total() / 2 + u64::from(number) * cx.volume.boot.record_size;
        cx.job.set_done(done);
        let Some(record) = cx.read(number.into())? else { continue };
        let whole = index::walk(cx, &record, INDEX, &mut |cx, place, entry| {
            let directory = Reference::new(number.into(), file.sequence);
            Directory { scan, hierarchy: &mut hierarchy, directory, place }.entry(cx, entry)
        })?;
        if !whole {
            scan.files.at(number).marks |= Marks::INDEX_DAMAGED;
        }
    }
    check_lost(cx, scan)?;
    hierarchy.check(cx);
    Ok(())
}

struct Directory<'a> {
    scan: &'a mut Scan,
    hierarchy: &'a mut Hierarchy,
    directory: Reference,
    place: &'a Place,
}

impl Directory<'_> {
    fn entry(&mut self, cx: &mut Context, entry: &Entry) -> Result<()> {
        let Some(key) = FileName::parse(entry.key) else {
            let found = format!("{} bytes", entry.key.len());
            let expected = "a file name that is as long as it says";
            cx.add(NtfsFault::KeyName, self.place.clone(), expected, found);
            return Ok(());
        };
        let number = entry.file.number();
        let file = self.scan.files.get(number);
        let owner = u32::try_from(number).ok().filter(|_| file.is_base());
        let Some(owner) = owner else {
            let found = if file.is(Marks::IN_USE) { "a part of another file" } else { "a free record" };
            self.add(cx, NtfsFault::EntryToFree, &key, format!("the file {number}"), found.to_owned());
            return Ok(());
        };
        if key.parent != self.directory {
            let (expected, found) = (self.directory, key.parent);
            let text = |reference: Reference| {
                format!("directory {}, sequence number {}", reference.number(), reference.sequence())
            };
            self.add(cx, NtfsFault::KeyParent, &key, text(expected), text(found));
        }
        if file.is(Marks::DAMAGED) {
            self.scan.names.meet(owner, key.digest());
            return Ok(());
        }
        if entry.file.sequence() != file.sequence {
            let expected = format!("sequence number {} of record {number}", file.sequence);
            self.add(cx, NtfsFault::EntrySequence, &key, expected, entry.file.sequence().to_string());
        }
        // The name that the file should have: the entry's, in this directory.
        let name = FileName { parent: self.directory, ..key.clone() };
        match self.scan.names.meet(owner, name.digest()) {
            Met::Once => {}
            Met::Again => self.add(cx, NtfsFault::EntryTwice, &key, "one entry".to_owned(), "two".to_owned()),
            Met::Never => self.unknown(cx, owner, &name)?,
        }
        self.scan.files.at(owner).marks |= Marks::MET;
        if file.is(Marks::DIRECTORY) && key.space != DOS {
            // A record number of a directory that was scanned fits.
            self.hierarchy.0.insert(owner, u32::try_from(self.directory.number()).unwrap_or(u32::MAX));
        }
        self.duplicates(cx, &key, &file, number);
        Ok(())
    }

    /// An entry under a name that its file has not: what is wrong with the file's own names.
    fn unknown(&mut self, cx: &mut Context, owner: u32, name: &FileName) -> Result<()> {
        let number = u64::from(owner);
        let told = [NtfsFault::EntryWithoutName, NtfsFault::ParentWrong, NtfsFault::ParentSequence];
        if told.into_iter().any(|fault| cx.findings.is_full(fault)) {
            cx.findings.count(NtfsFault::EntryWithoutName);
            return Ok(());
        }
        let own = names_of(cx, number)?;
        let same = |own: &&FileName| own.name == name.name && own.space == name.space;
        let alike = own.iter().find(|own| same(own) && own.parent.number() == name.parent.number());
        let place = cx.record(number);
        let Some(own) = alike.or_else(|| own.iter().find(same)) else {
            self.add(
                cx,
                NtfsFault::EntryWithoutName,
                name,
                format!("a name of the file {number}"),
                "none".to_owned(),
            );
            return Ok(());
        };
        let (found, expected) = (own.parent, name.parent);
        if found == expected {
            // In a record that the scan has not seen as one in use.
            return Ok(());
        }
        self.scan.names.meet(owner, own.digest());
        let text = format!("{:?} in directory", name.text());
        match found.number() == expected.number() {
            true => cx.add(
                NtfsFault::ParentSequence,
                place,
                format!("{text} {}, sequence number {}", expected.number(), expected.sequence()),
                found.sequence().to_string(),
            ),
            false => cx.add(
                NtfsFault::ParentWrong,
                place,
                format!("{text} {}", expected.number()),
                format!("directory {}", found.number()),
            ),
        }
        Ok(())
    }

    /// What the entry says of the file.
    fn duplicates(&self, cx: &mut Context, key: &FileName, file: &File, number: u64) {
        // A short name and its long one are one link.
        let links = file.links.saturating_sub(file.short_names);
        if is_system(number, file) || (links > 1 && !cx.every_link) {
            return;
        }
        let directory = file.is(Marks::DIRECTORY);
        let (size, allocated) = if directory { (0, 0) } else { (file.size, file.allocated) };
        let bytes = |n: u64| format!("{n} bytes");
        // The logs of transactions lag too: Windows keeps them open.
        if (key.size, key.allocated) != (size, allocated) && !self.is_of_volume(cx) {
            if key.size != size {
                self.add(cx, NtfsFault::KeySize, key, bytes(size), bytes(key.size));
            }
            if key.allocated != allocated {
                self.add(cx, NtfsFault::KeyAllocated, key, bytes(allocated), bytes(key.allocated));
            }
        }
        let marked = key.attributes & IS_DIRECTORY != 0;
        if (key.attributes ^ file.attributes) & COMPARED != 0 || marked != directory {
            let expected = file.attributes & COMPARED | if directory { IS_DIRECTORY } else { 0 };
            let found = key.attributes & (COMPARED | IS_DIRECTORY);
            self.add(cx, NtfsFault::KeyAttributes, key, format!("{expected:#x}"), format!("{found:#x}"));
        }
        if file.is(Marks::REPARSE) && key.tag != file.tag {
            self.add(
                cx,
                NtfsFault::KeyReparse,
                key,
                format!("tag {:#x}", file.tag),
                format!("{:#x}", key.tag),
            );
        }
    }

    /// Whether it lies below `$Extend`.
    fn is_of_volume(&self, cx: &Context) -> bool {
        // Of many it is not asked, since it takes time.
        !cx.findings.is_full(NtfsFault::KeySize)
            && edit::name(cx.volume, self.directory.number()).starts_with("\\$Extend")
    }

    fn add(&self, cx: &mut Context, fault: NtfsFault, key: &FileName, expected: String, found: String) {
        let found = format!("{found}, of {:?}", key.text());
        cx.add(fault, self.place.clone(), expected, found);
    }
}

/// All names of a file.
fn names_of(cx: &Context, number: u64) -> Result<Vec<FileName>> {
    let Some(base) = cx.read(number)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    let mut records = vec![number];
    if let Ok(Some(list)) = base.attribute(kind::ATTRIBUTE_LIST, "", 0)
        && let Ok(list) = Stream::of(&list, &cx.volume.boot)
        && let Ok(list) = list.read(cx.volume, MAX_LIST)
    {
        records.extend(references(&list, kind::FILE_NAME, "").iter().map(|record| record.number()));
        records.sort_unstable();
        records.dedup();
    }
    for record in records {
        let Some(record) = cx.read(record)? else { continue };
        let Ok(attributes) = record.attributes() else { continue };
        names.extend(file_names(&attributes).map(|(_, name)| name));
    }
    Ok(names)
}

/// The names that no directory has.
fn check_lost(cx: &mut Context, scan: &Scan) -> Result<()> {
    for (owner, digest) in scan.names.unmet() {
        let (number, file) = (u64::from(owner), scan.files.get(owner.into()));
        let fault = if file.is(Marks::MET) { NtfsFault::LostName } else { NtfsFault::LostRecord };
        if !file.is_base() || file.is(Marks::DAMAGED) {
            continue;
        }
        if cx.findings.is_full(fault) {
            cx.findings.count(fault);
            continue;
        }
        let Some(name) = names_of(cx, number)?.into_iter().find(|name| name.digest() == digest) else {
            continue;
        };
        let parent = scan.files.get(name.parent.number());
        if parent.is(Marks::INDEX_DAMAGED) {
            continue;
        }
        let expected = format!("an entry for {:?} in directory {}", name.text(), name.parent.number());
        let place = cx.record(number);
        let found = match parent.is(Marks::DIRECTORY | Marks::IN_USE) {
            true => "none",
            false => "no such directory",
        };
        cx.add(fault, place, expected, found);
    }
    Ok(())
}

impl Hierarchy {
    /// All directories that are in one lie below the root.
    fn check(&self, cx: &mut Context) {
        let root = system_file::ROOT as u32;
        let mut known = RoaringBitmap::new();
        known.insert(root);
        for &directory in self.0.keys() {
            let mut path = BTreeSet::new();
            let mut at = directory;
            while !known.contains(at) {
                if !path.insert(at) {
                    let place = cx.record(directory.into());
                    cx.add(
                        NtfsFault::DirectoryLoop,
                        place,
                        "a way to the root",
                        "directories within each other",
                    );
                    break;
                }
                // One that is in no directory is told of as lost.
                let Some(&parent) = self.0.get(&at) else { break };
                at = parent;
            }
            known.extend(path);
        }
    }
}
