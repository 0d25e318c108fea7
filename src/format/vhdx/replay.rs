//! Replaying the log, [MS-VHDX] 2.3.3: into memory. Who opens the file for writing copies it from there.

use zerocopy::FromBytes;

use super::allocation::MAX_FILE;
use super::layout::{LogDataSector, LogDescriptor, LogEntryHeader};
use super::log::{Entry, Log, SECTOR, Sequence};
use super::overlay::{Overlay, Source};
use crate::error::{Problem, Result};
use crate::leaves::Format::Vhdx;
use crate::leaves::Hint;
use crate::leaves::KIB;

/// The headers, at the beginning of the file, are written without the log and cannot be part of it.
const LOGGED_FROM: u64 = 192 * KIB;
/// Descriptors that one replay may have; a log of 1 MiB has room for a quarter of it.
const MAX_DESCRIPTORS: u64 = 1 << 17;

const HEADER: usize = size_of::<LogEntryHeader>();
const DESCRIPTOR: usize = size_of::<LogDescriptor>();

/// The file as it is when the sequence has been replayed.
pub(crate) fn replay(log: &Log<'_>, sequence: &Sequence) -> Result<Overlay> {
    let file = log.file;
    let mut overlay = Overlay::new(file.storage().clone(), file.size());
    if let Some((sector, head)) = sequence.entries.last() {
        // 2.3.3: what was flushed when the entry was written must be there.
        if head.flushed_file_offset > file.size() {
            return Err(file
                .defect_box(
                    Vhdx,
                    Problem::Truncated,
                    "log entry",
                    log.at(*sector),
                    format!("a file of at least {} bytes (FlushedFileOffset)", head.flushed_file_offset),
                    format!("{} bytes", file.size()),
                )
                .advise(Hint::AttachOnce)
                .into());
        }
        if head.last_file_offset > MAX_FILE {
            let found = format!("{}", head.last_file_offset);
            return Err(log.defect(*sector, format!("a LastFileOffset of at most {MAX_FILE}"), found));
        }
        overlay.extend(head.last_file_offset);
    }
    let mut descriptors = 0;
    for (sector, entry) in &sequence.entries {
        descriptors += replay_entry(log, *sector, entry, &mut overlay, MAX_DESCRIPTORS - descriptors)?;
    }
    overlay.seal();
    Ok(overlay)
}

/// Lays one entry over the file and returns the number of its descriptors, at most `limit`.
fn replay_entry(log: &Log<'_>, sector: u64, entry: &Entry, overlay: &mut Overlay, limit: u64) -> Result<u64> {
    let mut buf = vec![0; SECTOR as usize];
    log.file.read_exact_at(&mut buf, log.at(sector))?;
    let count = LogEntryHeader::read_from_prefix(&buf).map_or(0, |(header, _)| header.descriptor_count.get());
    let count = u64::from(count);
    let descriptor_sectors = (HEADER as u64 + count * DESCRIPTOR as u64).div_ceil(SECTOR);
    if count > limit || descriptor_sectors > entry.sectors {
        return Err(log.defect(
            sector,
            format!("descriptors that fit into {} sectors, at most {MAX_DESCRIPTORS} in all", entry.sectors),
            format!("{count} descriptors"),
        ));
    }
    let mut data_sectors = 0;
    for index in 0..count {
        let at = HEADER + index as usize * DESCRIPTOR;
        let (number, start) = (at as u64 / SECTOR, at % SECTOR as usize);
        if start == 0 {
            log.file.read_exact_at(&mut buf, log.at(sector + number))?;
        }
        let Ok((descriptor, _)) = LogDescriptor::read_from_prefix(&buf[start..]) else { break };
        let number = sector + number;
        check_sequence(log, number, entry, descriptor.sequence_number.get())?;
        let target = descriptor.file_offset.get();
        match &descriptor.signature {
            b"desc" => {
                check_target(log, number, target, SECTOR)?;
                let data = descriptor_sectors + data_sectors;
                if data >= entry.sectors {
                    return Err(log.defect(
                        number,
                        "a data sector for each data descriptor",
                        format!("an entry of {} sectors", entry.sectors),
                    ));
                }
                data_sectors += 1;
                let source = Source::Sector {
                    at: data_sector(log, sector + data, entry)?,
                    leading: descriptor.leading_bytes,
                    trailing: descriptor.trailing_bytes,
                };
                overlay.lay(target..target + SECTOR, source);
            }
            b"zero" => {
                let length = u64::from_le_bytes(descriptor.leading_bytes);
                check_target(log, number, target, length)?;
                overlay.lay(target..target + length, Source::Zero);
            }
            other => {
                let found = format!("{:?}", other.escape_ascii().to_string());
                return Err(log.defect(number, "a descriptor, \"desc\" or \"zero\"", found));
            }
        }
    }
    if descriptor_sectors + data_sectors != entry.sectors {
        return Err(log.defect(
            sector,
            format!("an entry of {} sectors", descriptor_sectors + data_sectors),
            format!("{} sectors", entry.sectors),
        ));
    }
    Ok(count)
}

/// Where the data sector lies in the file, if it is one of this entry.
fn data_sector(log: &Log<'_>, sector: u64, entry: &Entry) -> Result<u64> {
    let at = log.at(sector);
    let data: LogDataSector = log.file.read_struct(Vhdx, "log data sector", at)?;
    if &data.signature != b"data" {
        let found = format!("{:?}", data.signature.escape_ascii().to_string());
        return Err(log.defect(sector, "a data sector, \"data\"", found));
    }
    let number = u64::from(data.sequence_high.get()) << 32 | u64::from(data.sequence_low.get());
    check_sequence(log, sector, entry, number)?;
    Ok(at)
}

fn check_sequence(log: &Log<'_>, sector: u64, entry: &Entry, found: u64) -> Result<()> {
    if found == entry.sequence_number {
        return Ok(());
    }
    let expected = format!("the sequence number {} of the entry", entry.sequence_number);
    Err(log.defect(sector, expected, found.to_string()))
}

/// That a descriptor of `sector` may replace `length` bytes at `target`.
fn check_target(log: &Log<'_>, sector: u64, target: u64, length: u64) -> Result<()> {
    let end = target.checked_add(length).filter(|&end| end <= MAX_FILE);
    let place = &log.place;
    let allowed = length > 0
        && target.is_multiple_of(SECTOR)
        && length.is_multiple_of(SECTOR)
        && target >= LOGGED_FROM
        && end.is_some_and(|end| end <= place.start || target >= place.end);
    if allowed {
        return Ok(());
    }
    Err(log.defect(
        sector,
        format!(
            "a descriptor of whole sectors of {SECTOR} bytes, behind the headers, outside the log, below {MAX_FILE}"
        ),
        format!("{length} bytes at {target}"),
    ))
}
