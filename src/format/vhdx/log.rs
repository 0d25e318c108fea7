//! Finding the active sequence of the log, [MS-VHDX] 2.3.2.
//!
//! The specification tries every 4 KiB of the log as the beginning of a sequence and reads entries from there, again
//! and again. Here each entry is checked once and linked to the one that follows it; an entry can be the next one
//! of a single other, so that the links make up disjoint chains. The sequence that the specification's search ends
//! with is the part of a chain from its last entry's tail on, of the chain whose last entry has the greatest
//! sequence number.

use std::ops::Range;

use uuid::Uuid;
use zerocopy::FromBytes;

use super::header::{Current, HEADER_SECTION};
use super::layout::LogEntryHeader;
use crate::error::{Error, Problem, Result};
use crate::leaves::Format::Vhdx;
use crate::leaves::Hint;
use crate::leaves::MIB;
use crate::storage::ImageFile;

/// Sectors of the log, and of what it replaces.
pub(crate) const SECTOR: u64 = 4096;
/// A dirty log that is longer is refused. Writers make logs of 1 MiB.
const MAX_LOG: u64 = 256 * MIB;
/// How much of the log is read at once.
const PIECE: u64 = 256 << 10;

/// Where the log lies.
pub(crate) fn place(file: &ImageFile, current: &Current) -> Result<Range<u64>> {
    let (offset, length) = (current.header.log_offset.get(), u64::from(current.header.log_length.get()));
    let defect = |problem, expected: &str| {
        let found = format!("{length} bytes at {offset}");
        file.defect(Vhdx, problem, "header", current.offset, format!("{expected} for the log"), found)
    };
    if !offset.is_multiple_of(MIB) || !length.is_multiple_of(MIB) || length == 0 {
        return Err(defect(Problem::Misaligned, "an offset and a length in whole MiB"));
    }
    if offset < HEADER_SECTION {
        return Err(defect(Problem::Overlap, "a place behind the header section"));
    }
    let end = offset.checked_add(length).ok_or_else(|| defect(Problem::OutOfFile, "a place in the file"))?;
    Ok(offset..end)
}

/// The log of a file that was not closed cleanly.
pub(crate) struct Log<'a> {
    pub(crate) file: &'a ImageFile,
    pub(crate) place: Range<u64>,
    guid: Uuid,
}

/// A valid entry: its checksum is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its number of sectors.
    pub(crate) sectors: u64,
    /// The sector of the oldest entry that was still needed.
    tail: usize,
    pub(crate) sequence_number: u64,
    pub(crate) flushed_file_offset: u64,
    pub(crate) last_file_offset: u64,
}

/// The entries to replay.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// Each with its sector, from tail to head.
    pub(crate) entries: Vec<(u64, Entry)>,
    /// Whether there are newer entries, which do not make up a valid sequence.
    pub(crate) newer_ignored: bool,
}

impl<'a> Log<'a> {
    /// The log at `place`, of which only entries called `guid` count.
    pub(crate) fn new(file: &'a ImageFile, place: Range<u64>, guid: Uuid) -> Result<Self> {
        let length = place.end - place.start;
        file.check_inside(Vhdx, "log", place.start, length)?;
        let log = Self { file, place, guid };
        if length > MAX_LOG {
            return Err(log.defect(
                0,
                format!("a log of at most {MAX_LOG} bytes"),
                format!("{length} bytes"),
            ));
        }
        Ok(log)
    }

    /// The number of sectors.
    pub(crate) fn sectors(&self) -> u64 {
        (self.place.end - self.place.start) / SECTOR
    }

    /// Where a sector lies in the file; they go on from the first after the last.
    pub(crate) fn at(&self, sector: u64) -> u64 {
        self.place.start + sector % self.sectors() * SECTOR
    }

    /// The active sequence.
    pub(crate) fn active(&self) -> Result<Sequence> {
        let entries = self.entries()?;
        let count = entries.len();
        let next = |at: usize| {
            let entry = entries[at]?;
            let next = (at + entry.sectors as usize) % count;
            (entries[next]?.sequence_number == entry.sequence_number.checked_add(1)?).then_some(next)
        };
        // Each entry's chain, named by its last entry.
        let mut last = vec![usize::MAX; count];
        let mut path = Vec::new();
        for (start, _) in entries.iter().enumerate().filter(|(_, entry)| entry.is_some()) {
            let mut at = start;
            while last[at] == usize::MAX {
                path.push(at);
                match next(at) {
                    Some(next) => at = next,
                    None => last[at] = at,
                }
            }
            let end = last[at];
            path.drain(..).for_each(|at| last[at] = end);
        }
        let mut head: Option<(usize, Entry)> = None;
        let mut newest = 0;
        for (at, entry) in entries.iter().enumerate() {
            let Some(entry) = *entry else { continue };
            newest = newest.max(entry.sequence_number);
            let ends_whole = last[at] == at && last.get(entry.tail) == Some(&at);
            if ends_whole && head.is_none_or(|(_, best)| best.sequence_number < entry.sequence_number) {
                head = Some((at, entry));
            }
        }
        let Some((_, head)) = head else {
            let expected = format!("a valid sequence of entries of the log {}", self.guid);
            return Err(self.defect(0, expected, "none"));
        };
        let mut sequence = Vec::new();
        let mut at = Some(head.tail);
        while let Some(sector) = at {
            sequence.extend(entries[sector].map(|entry| (sector as u64, entry)));
            at = next(sector);
        }
        Ok(Sequence { entries: sequence, newer_ignored: newest > head.sequence_number })
    }

    /// The valid entries, by their first sector.
    fn entries(&self) -> Result<Vec<Option<Entry>>> {
        let count = self.sectors() as usize;
        let mut entries = vec![None; count];
        // No sector inside an entry begins with "loge": the rest of the sectors begin with a descriptor or with
        // "data". So what claims to reach over the next beginning is none, and each sector is checksummed once,
        // whatever the log claims.
        let mut begins = Vec::new();
        let mut buf = vec![0; PIECE as usize];
        for piece in (self.place.start..self.place.end).step_by(PIECE as usize) {
            let len = PIECE.min(self.place.end - piece) as usize;
            self.file.read_exact_at(&mut buf[..len], piece)?;
            let first = (piece - self.place.start) / SECTOR;
            for (index, sector) in buf[..len].chunks_exact(SECTOR as usize).enumerate() {
                if sector.starts_with(b"loge") {
                    begins.push((first + index as u64, self.header(sector)));
                }
            }
        }
        for (index, (at, candidate)) in begins.iter().enumerate() {
            let Some((entry, checksum)) = candidate else { continue };
            let room = match begins.get(index + 1) {
                Some((next, _)) => next - at,
                None => begins[0].0 + self.sectors() - at,
            };
            if entry.sectors <= room && self.checksum(*at, entry.sectors, &mut buf)? == *checksum {
                entries[*at as usize] = Some(*entry);
            }
        }
        Ok(entries)
    }

    /// What an entry's first sector says, with its checksum; `None` when no valid entry can begin so.
    fn header(&self, sector: &[u8]) -> Option<(Entry, u32)> {
        let (header, _) = LogEntryHeader::read_from_prefix(sector).ok()?;
        let (length, tail) = (u64::from(header.entry_length.get()), u64::from(header.tail.get()));
        let log = self.place.end - self.place.start;
        let valid = Uuid::from_bytes_le(header.log_guid) == self.guid
            && header.sequence_number.get() > 0
            && (SECTOR..=log).contains(&length)
            && length.is_multiple_of(SECTOR)
            && tail < log
            && tail.is_multiple_of(SECTOR);
        let entry = Entry {
            sectors: length / SECTOR,
            tail: (tail / SECTOR) as usize,
            sequence_number: header.sequence_number.get(),
            flushed_file_offset: header.flushed_file_offset.get(),
            last_file_offset: header.last_file_offset.get(),
        };
        valid.then_some((entry, header.checksum.get()))
    }

    /// The checksum of an entry, counted with its own field zero.
    fn checksum(&self, sector: u64, sectors: u64, buf: &mut [u8]) -> Result<u32> {
        let mut crc = 0;
        let mut done = 0;
        while done < sectors {
            let at = self.at(sector + done);
            let len = (self.place.end - at).min(PIECE).min((sectors - done) * SECTOR);
            let piece = &mut buf[..len as usize];
            self.file.read_exact_at(piece, at)?;
            if done == 0 {
                piece[4..8].fill(0);
            }
            crc = crc32c::crc32c_append(crc, piece);
            done += len / SECTOR;
        }
        Ok(crc)
    }

    /// The error for a defect in a sector of the log.
    pub(crate) fn defect(&self, sector: u64, expected: impl Into<String>, found: impl Into<String>) -> Error {
        let at = self.at(sector);
        self.file.defect_box(Vhdx, Problem::Log, "log", at, expected, found).advise(Hint::AttachOnce).into()
    }
}
