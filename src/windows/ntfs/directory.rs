//! Directories: the index `$I30` of their files by name.
//!
//! Each entry of the index is one file, in whichever node of the tree it stands, so that the nodes are read one after
//! another as the index's bitmap tells which are in use: no tree that loops can be met.

use std::ops::ControlFlow;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::file::File;
use super::fixup;
use super::flaw::{Flaw, flaw};
use super::record::{Reference, kind};
use super::stream::Stream;
use super::upcase::Upcase;
use crate::error::Result;

const INDEX: &str = "$I30";
const BLOCK_SIGNATURE: &[u8; 4] = b"INDX";
/// Where the index header begins in a node.
const IN_ROOT: usize = 16;
const IN_BLOCK: usize = 24;
const LAST_ENTRY: u16 = 2;
const DIRECTORY: u32 = 0x1000_0000;
/// The name space of short names, of files that have a long one too.
const DOS: u8 = 2;
/// An index of this many bytes holds half a million names.
const MAX_INDEX: u64 = 64 << 20;

/// A file in a directory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// Its long name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    pub(super) reference: Reference,
}

/// The index's root attribute, before the index header.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Root {
    kind: U32,
    collation: U32,
    block_size: U32,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct IndexHeader {
    entries: U32,
    used: U32,
}

/// An entry of the index, and the file name that is its key.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct IndexEntry {
    reference: U64,
    len: U16,
    key_len: U16,
    flags: U16,
    reserved: U16,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FileName {
    parent: U64,
    times_and_sizes: [u8; 48],
    attributes: U32,
    reparse: U32,
    len: u8,
    space: u8,
}

/// A name of an index, in UTF-16, with what the entry says of the file.
struct Found<'a> {
    name: &'a [u16],
    is_directory: bool,
    reference: Reference,
}

/// The files of a directory, by name.
pub(super) fn entries(directory: &File) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let _: ControlFlow<()> = visit(directory, |found| {
        let name = String::from_utf16_lossy(found.name);
        entries.push(Entry { name, is_directory: found.is_directory, reference: found.reference });
        ControlFlow::Continue(())
    })?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The file of a name: the one whose case is the same, if there is one.
pub(super) fn find(directory: &File, name: &str, upcase: &Upcase) -> Result<Option<Reference>> {
    let name: Vec<u16> = name.encode_utf16().collect();
    let mut similar = None;
    let exact = visit(directory, |found| {
        if found.name == name {
            return ControlFlow::Break(found.reference);
        }
        if similar.is_none() && upcase.same(found.name, &name) {
            similar = Some(found.reference);
        }
        ControlFlow::Continue(())
    })?;
    Ok(exact.break_value().or(similar))
}

fn visit<T>(directory: &File, mut visit: impl FnMut(Found) -> ControlFlow<T>) -> Result<ControlFlow<T>> {
    let (volume, record) = (directory.volume, &directory.record);
    let Some(root) = Stream::find(volume, record, kind::INDEX_ROOT, INDEX)? else {
        let flaw = flaw("a directory", "a file without an index of names");
        return volume.in_record(record, |_| Err(flaw));
    };
    let root = root.read(volume, volume.boot.record_size)?;
    let block_size = volume.in_record(record, |_| block_size(&root))?;
    let done = volume.in_record(record, |_| node(&root, IN_ROOT, &mut visit))?;
    let Some(blocks) = Stream::find(volume, record, kind::INDEX_ALLOCATION, INDEX)? else { return Ok(done) };
    if done.is_break() {
        return Ok(done);
    }
    blocks.check_size(MAX_INDEX)?;
    let in_use = volume.required(record, kind::BITMAP, INDEX)?.read(volume, MAX_INDEX / 512 / 8)?;
    let mut block = vec![0; block_size];
    for number in 0..blocks.size / block_size as u64 {
        let byte = in_use.get((number / 8) as usize).copied().unwrap_or(0);
        if byte >> (number % 8) & 1 == 0 {
            continue;
        }
        let offset = number * block_size as u64;
        blocks.read_at(volume, &mut block, offset)?;
        let done =
            fixup::remove(&mut block, BLOCK_SIGNATURE).and_then(|()| node(&block, IN_BLOCK, &mut visit));
        let done = done.map_err(|flaw| flaw.at("NTFS index block", offset))?;
        if done.is_break() {
            return Ok(done);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The parent directory and the name that a `$FILE_NAME` attribute gives.
pub(super) fn file_name(bytes: &[u8]) -> Option<(Reference, String)> {
    let (file, units) = FileName::ref_from_prefix(bytes).ok()?;
    let units = units.get(..2 * usize::from(file.len))?.chunks_exact(2);
    let name: Vec<u16> = units.map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    Some((Reference(file.parent.get()), String::from_utf16_lossy(&name)))
}

fn block_size(root: &[u8]) -> Result<usize, Flaw> {
    let (root, _) = Root::ref_from_prefix(root).map_err(|_| flaw("an index root", "a part of one"))?;
    let size = root.block_size.get() as usize;
    match size.is_power_of_two() && (512..=64 << 10).contains(&size) {
        true => Ok(size),
        false => Err(flaw("index blocks of 512 bytes to 64 KiB", format!("{size} bytes"))),
    }
}

/// The long names of one node, whose index header lies at byte `at`.
fn node<T>(
    node: &[u8],
    at: usize,
    visit: &mut impl FnMut(Found) -> ControlFlow<T>,
) -> Result<ControlFlow<T>, Flaw> {
    let cut = || flaw("index entries within their node", "a length beyond it");
    let index = node.get(at..).unwrap_or_default();
    let (header, _) = IndexHeader::ref_from_prefix(index).map_err(|_| cut())?;
    let entries = header.entries.get() as usize..header.used.get() as usize;
    let mut rest = index.get(entries).ok_or_else(cut)?;
    let mut name = Vec::with_capacity(256);
    loop {
        let (entry, key) = IndexEntry::ref_from_prefix(rest).map_err(|_| cut())?;
        if entry.flags.get() & LAST_ENTRY != 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let (file, units) = FileName::ref_from_prefix(key).map_err(|_| cut())?;
        let units = units.get(..2 * usize::from(file.len)).ok_or_else(cut)?;
        name.clear();
        name.extend(units.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])));
        if file.space != DOS {
            let is_directory = file.attributes.get() & DIRECTORY != 0;
            let found = Found { name: &name, is_directory, reference: Reference(entry.reference.get()) };
            if let done @ ControlFlow::Break(_) = visit(found) {
                return Ok(done);
            }
        }
        let len = usize::from(entry.len.get());
        // An entry that is shorter than its header would be met for ever.
        rest = rest.get(len..).filter(|_| len >= size_of::<IndexEntry>()).ok_or_else(cut)?;
    }
}
