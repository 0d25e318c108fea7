//! `$Secure`: the descriptors in `$SDS`, each with a copy, and the indexes `$SII` and `$SDH` over them, by id and by hash.

use std::collections::BTreeMap;

use super::context::Context;
use super::fault::NtfsFault;
use super::finding::Place;
use super::index;
use super::scan::Scan;
use crate::error::Result;
use crate::windows::ntfs::record::{Record, kind};
use crate::windows::ntfs::stream::Stream;
use crate::windows::ntfs::volume::system_file;

const SDS: &str = "$SDS";
/// Descriptors lie in blocks of this size; the copies are one block further on.
const BLOCK: u64 = 256 << 10;
/// Bytes of an entry before the descriptor: hash, id, offset, length.
const HEADER: usize = 20;
const ALIGNMENT: usize = 16;
/// Bytes of `$SDS` that are looked at: Windows' have a few MB.
const MAX_SDS: u64 = 1 << 30;

/// What tells where a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    hash: u32,
    id: u32,
    offset: u64,
    len: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let offset = u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
        Some(Self { hash: u32_at(0)?, id: u32_at(4)?, offset, len: u32_at(16)? })
    }
}

/// The hash of a descriptor: rotated by three bits, then the next number added.
fn hash(descriptor: &[u8]) -> u32 {
    let numbers = descriptor.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    numbers.fold(0u32, |hash, number| hash.rotate_left(3).wrapping_add(number))
}

/// Looks at `$Secure`, and at the ids that files have.
pub(super) fn check(cx: &mut Context, scan: &Scan) -> Result<()> {
    let Some(record) = cx.read(system_file::SECURE)? else { return Ok(()) };
    let has = |name: &str| record.attributes().is_ok_and(|all| all.iter().any(|a| a.is_named(name)));
    if !has(SDS) && !scan.files.get(system_file::SECURE).is(super::table::Marks::LISTED) {
        // A volume before NTFS 3.0 has descriptors in each file.
        return Ok(());
    }
    let Some(stream) = cx.require(&record, kind::DATA, SDS)? else { return Ok(()) };
    let descriptors = read_descriptors(cx, &stream)?;
    let by_id = read_index(cx, &record, "$SII")?;
    let by_hash = read_index(cx, &record, "$SDH")?;
    let (Some(descriptors), Some(by_id), Some(by_hash)) = (descriptors, by_id, by_hash) else {
        return Ok(());
    };
    let place = |cx: &Context| Place { structure: "$Secure", ..cx.record(system_file::SECURE) };
    for (id, header) in &by_id {
        if descriptors.get(id) != Some(header) {
            let at = place(cx);
            cx.add(
                NtfsFault::SiiData,
                at,
                format!("id {id} as in $SDS: {:?}", descriptors.get(id)),
                format!("{header:?}"),
            );
        }
        if !by_hash.contains_key(id) {
            let at = place(cx);
            cx.add(NtfsFault::SdhMissing, at, format!("id {id} in $SDH, as in $SII"), "none");
        }
    }
    for (id, header) in &by_hash {
        if descriptors.get(id) != Some(header) {
            let at = place(cx);
            cx.add(
                NtfsFault::SdhData,
                at,
                format!("id {id} as in $SDS: {:?}", descriptors.get(id)),
                format!("{header:?}"),
            );
        }
        if !by_id.contains_key(id) {
            let at = place(cx);
            cx.add(NtfsFault::SiiMissing, at, format!("id {id} in $SII, as in $SDH"), "none");
        }
    }
    for (number, file) in scan.files.bases().filter(|(_, file)| file.security != 0) {
        let id = file.security;
        if by_id.contains_key(&id) || by_hash.contains_key(&id) {
            continue;
        }
        let place = cx.record(number.into());
        match descriptors.contains_key(&id) {
            true => cx.add(NtfsFault::SiiMissing, place, format!("id {id} in $SII"), "none"),
            false => cx.add(NtfsFault::SecurityId, place, "a security id that $Secure has", id.to_string()),
        }
    }
    Ok(())
}

/// The descriptors by id.
fn read_descriptors(cx: &mut Context, stream: &Stream) -> Result<Option<BTreeMap<u32, Header>>> {
    let mut found = BTreeMap::new();
    let (mut block, mut copy) = (Vec::new(), Vec::new());
    let size = stream.size.min(MAX_SDS);
    let mut start = 0;
    while start < size {
        cx.job.check()?;
        for (bytes, at) in [(&mut block, start), (&mut copy, start + BLOCK)] {
            bytes.resize(BLOCK.min(size.saturating_sub(at)) as usize, 0);
            let read = stream.read_at(cx.volume, bytes, at);
            if cx.findings.catch(system_file::SECURE, read)?.is_none() {
                return Ok(None);
            }
        }
        let mut at = 0;
        while let Some(header) = block.get(at..).and_then(Header::parse) {
            if header.len == 0 {
                // What chkdsk removed.
                at += ALIGNMENT;
                continue;
            }
            let len = header.len as usize;
            let offset = start + at as u64;
            let place = cx.stream(system_file::SECURE, stream, (kind::DATA, SDS), SDS, offset);
            let entry =
                block.get(at..at.saturating_add(len)).filter(|_| len >= HEADER && header.offset == offset);
            let Some(entry) = entry else {
                let expected = format!("an entry at {offset}, within its block");
                cx.add(NtfsFault::SdsEntry, place, expected, format!("{header:?}"));
                break;
            };
            let expected = hash(&entry[HEADER..]);
            if header.hash != expected {
                let found = format!("{:#x} of id {}", header.hash, header.id);
                cx.add(NtfsFault::SdsHash, place.clone(), format!("hash {expected:#x}"), found);
            }
            if copy.get(at..at + len) != Some(entry) {
                let at = cx.stream(system_file::SECURE, stream, (kind::DATA, SDS), SDS, offset + BLOCK);
                cx.add(NtfsFault::SdsMirror, at, format!("a copy of id {}", header.id), "something else");
            }
            found.insert(header.id, header);
            at = (at + len).next_multiple_of(ALIGNMENT);
        }
        start += 2 * BLOCK;
    }
    Ok(Some(found))
}

/// The entries of an index by id; `None` when not all of it can be read.
fn read_index(cx: &mut Context, record: &Record, name: &str) -> Result<Option<BTreeMap<u32, Header>>> {
    let mut found = BTreeMap::new();
    let whole = index::walk(cx, record, name, &mut |cx, place, entry| {
        match Header::parse(entry.data) {
            Some(header) => {
                found.insert(header.id, header);
            }
            None => {
                let found = format!("{} bytes", entry.data.len());
                cx.add(NtfsFault::IndexEntry, place.clone(), format!("{HEADER} bytes beside the key"), found);
            }
        }
        Ok(())
    })?;
    Ok(whole.then_some(found))
}
