//! Region tables, [MS-VHDX] 2.2.3, and which parts of the file are taken.

use std::ops::Range;

use uuid::{Uuid, uuid};
use zerocopy::FromBytes;

use super::header::HEADER_SECTION;
use super::layout::{RegionTableEntry, RegionTableHeader};
use crate::error::{Problem, Result};
use crate::leaves::Format::Vhdx;
use crate::leaves::MIB;
use crate::storage::ImageFile;

pub(super) const OFFSETS: [u64; 2] = [192 << 10, 256 << 10];
pub(super) const TABLE: usize = 64 << 10;
const HEADER: usize = size_of::<RegionTableHeader>();
const ENTRY: usize = size_of::<RegionTableEntry>();
const MAX_ENTRIES: usize = (TABLE - HEADER) / ENTRY;

pub(super) const BAT: Uuid = uuid!("2dc27766-f623-4200-9d64-115e9bfd4a08");
pub(super) const METADATA: Uuid = uuid!("8b7ca206-4790-4b9a-b8fe-575f050f886e");

/// A part of the file that a structure has for itself.
#[derive(Debug, Clone)]
pub(crate) struct Reserved {
    pub(crate) name: &'static str,
    pub(crate) range: Range<u64>,
}

/// The regions that a reader needs, and all parts of the file that payload may not touch.
pub(crate) struct Regions {
    pub(crate) bat: Range<u64>,
    pub(crate) metadata: Range<u64>,
    /// Where the log lies.
    pub(crate) log: Option<Range<u64>>,
    /// In order, not overlapping.
    pub(crate) reserved: Vec<Reserved>,
    /// Where a copy of the table lies that is not valid.
    pub(crate) damaged: Option<u64>,
}

struct Region {
    /// Where its entry lies in the file.
    at: u64,
    guid: Uuid,
    offset: u64,
    length: u64,
    required: bool,
}

/// Reads the region table; `log` is where the log lies.
pub(crate) fn read(file: &ImageFile, log: Option<Range<u64>>) -> Result<Regions> {
    let [first, second] = [table(file, OFFSETS[0])?, table(file, OFFSETS[1])?];
    let (regions, damaged) = match (first, second) {
        (Some(first), Some(second)) => {
            let same = first.len() == second.len()
                && first
                    .iter()
                    .zip(&second)
                    .all(|(a, b)| (a.guid, a.offset, a.length) == (b.guid, b.offset, b.length));
            if !same {
                return Err(file.defect(
                    Vhdx,
                    Problem::Ambiguous,
                    "region table",
                    OFFSETS[1],
                    "two equal copies",
                    "two valid copies that name different regions",
                ));
            }
            (first, None)
        }
        (Some(first), None) => (first, Some(OFFSETS[1])),
        (None, Some(second)) => (second, Some(OFFSETS[0])),
        (None, None) => {
            return Err(file.defect(
                Vhdx,
                Problem::Checksum,
                "region table",
                OFFSETS[0],
                "a table with signature \"regi\" and a right CRC-32C, here or in the second copy",
                "neither",
            ));
        }
    };
    let bat = find(file, &regions, BAT, "BAT region")?;
    let metadata = find(file, &regions, METADATA, "metadata region")?;
    let reserved = reserve(file, &regions, log.clone())?;
    Ok(Regions { bat, metadata, log, reserved, damaged })
}

/// The bytes of the table that is valid in `file`, with the region `guid` at `place`.
pub(super) fn moved(file: &ImageFile, regions: &Regions, guid: Uuid, place: &Range<u64>) -> Result<Vec<u8>> {
    let good = if regions.damaged == Some(OFFSETS[0]) { OFFSETS[1] } else { OFFSETS[0] };
    let mut bytes = file.read_vec(Vhdx, "region table", good, TABLE as u64, TABLE as u64)?;
    for bytes in bytes[HEADER..].chunks_exact_mut(ENTRY) {
        if let Ok(entry) = RegionTableEntry::mut_from_bytes(bytes)
            && Uuid::from_bytes_le(entry.guid) == guid
        {
            entry.file_offset = place.start.into();
            entry.length = ((place.end - place.start) as u32).into();
        }
    }
    bytes[4..8].fill(0);
    let checksum = crc32c::crc32c(&bytes);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// The table at `offset`, if it is valid. A valid table that breaks a rule is refused.
fn table(file: &ImageFile, offset: u64) -> Result<Option<Vec<Region>>> {
    let mut bytes = file.read_vec(Vhdx, "region table", offset, TABLE as u64, TABLE as u64)?;
    let Ok((header, _)) = RegionTableHeader::read_from_prefix(&bytes) else { return Ok(None) };
    bytes[4..8].fill(0);
    if &header.signature != b"regi" || crc32c::crc32c(&bytes) != header.checksum.get() {
        return Ok(None);
    }
    let count = header.entry_count.get() as usize;
    if count > MAX_ENTRIES {
        return Err(file.defect(
            Vhdx,
            Problem::Table,
            "region table",
            offset,
            format!("at most {MAX_ENTRIES} entries"),
            format!("{count} entries"),
        ));
    }
    let entries = bytes[HEADER..].chunks_exact(ENTRY).take(count).enumerate();
    let mut regions = Vec::with_capacity(count);
    for (index, entry) in entries {
        let Ok(entry) = RegionTableEntry::read_from_bytes(entry) else { break };
        let region = Region {
            at: offset + (HEADER + index * ENTRY) as u64,
            guid: Uuid::from_bytes_le(entry.guid),
            offset: entry.file_offset.get(),
            length: entry.length.get().into(),
            required: entry.required.get() & 1 != 0,
        };
        check(file, &region)?;
        regions.push(region);
    }
    Ok(Some(regions))
}

/// What holds for every region, known or not.
fn check(file: &ImageFile, region: &Region) -> Result<()> {
    let Region { at, guid, offset, length, required } = *region;
    let structure = "region table entry";
    if required && guid != BAT && guid != METADATA {
        return Err(file.defect(
            Vhdx,
            Problem::Unsupported,
            structure,
            at,
            "no required regions but BAT and metadata",
            format!("the required region {guid}"),
        ));
    }
    if !offset.is_multiple_of(MIB) || !length.is_multiple_of(MIB) {
        return Err(file.defect(
            Vhdx,
            Problem::Misaligned,
            structure,
            at,
            "offset and length in whole MiB",
            format!("offset {offset} and length {length} of the region {guid}"),
        ));
    }
    if offset.checked_add(length).is_none() {
        return Err(file.defect(
            Vhdx,
            Problem::OutOfFile,
            structure,
            at,
            "a region within the file",
            format!("{length} bytes at {offset}"),
        ));
    }
    Ok(())
}

/// The one region called `guid`, which must lie in the file.
fn find(file: &ImageFile, regions: &[Region], guid: Uuid, name: &'static str) -> Result<Range<u64>> {
    let mut found = regions.iter().filter(|region| region.guid == guid);
    let defect =
        |problem, at, found| file.defect(Vhdx, problem, "region table", at, format!("one {name}"), found);
    let Some(region) = found.next() else { return Err(defect(Problem::Value, OFFSETS[0], "none")) };
    if let Some(second) = found.next() {
        return Err(defect(Problem::Ambiguous, second.at, "two"));
    }
    if region.length == 0 {
        return Err(defect(Problem::Table, region.at, "an empty one"));
    }
    file.check_inside(Vhdx, name, region.offset, region.length)?;
    Ok(region.offset..region.offset + region.length)
}

/// All parts of the file that are taken, in order; no two may overlap.
fn reserve(file: &ImageFile, regions: &[Region], log: Option<Range<u64>>) -> Result<Vec<Reserved>> {
    let mut taken = vec![(OFFSETS[0], Reserved { name: "header section", range: 0..HEADER_SECTION })];
    taken.extend(log.map(|range| (OFFSETS[0], Reserved { name: "log", range })));
    taken.extend(regions.iter().filter(|region| region.length > 0).map(|region| {
        let name = match region.guid {
            BAT => "BAT region",
            METADATA => "metadata region",
            _ => "region of an unknown kind",
        };
        (region.at, Reserved { name, range: region.offset..region.offset + region.length })
    }));
    taken.sort_by_key(|(_, reserved)| reserved.range.start);
    for pair in taken.windows(2) {
        let [(first_at, first), (second_at, second)] = pair else { break };
        if first.range.end > second.range.start {
            return Err(file.defect(
                Vhdx,
                Problem::Overlap,
                "region table entry",
                (*first_at).max(*second_at),
                "regions that do not overlap each other, the header section or the log",
                format!(
                    "the {} at {:?} and the {} at {:?}",
                    first.name, first.range, second.name, second.range
                ),
            ));
        }
    }
    Ok(taken.into_iter().map(|(_, reserved)| reserved).collect())
}
