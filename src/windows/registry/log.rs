//! Transaction logs: what Windows was about to write into a hive.
//!
//! Of the two files, either holds a number of log entries (from Windows 8.1 on), or one set of pages after a bitmap
//! that says where they belong.

use std::ops::ControlFlow;
use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::bins::{MAX_BINS, bin};
use super::layout::{BIN_UNIT, BINS, BaseBlock, LOG_ENTRY, LogEntry, PageReference};
use super::marvin;
use super::sectors::{SECTOR, Sectors};
use crate::error::{Error, Result};
use crate::storage::ReadAt;

/// The largest log that is read; Windows' own have a few MiB.
const MAX_LOG: u64 = 32 << 20;
/// File types of logs: of the old format, and with entries.
const OLD: u32 = 1;
const ENTRIES: u32 = 6;

struct Log {
    base: BaseBlock,
    bytes: Vec<u8>,
}

/// The hive with what its logs hold; or, inside, why they cannot be replayed.
pub(super) fn replay(
    sectors: &Sectors,
    base: &BaseBlock,
    logs: &[Arc<dyn ReadAt>],
) -> Result<Result<Sectors, String>> {
    let mut usable = Vec::new();
    let mut reasons = Vec::new();
    for (index, log) in logs.iter().enumerate() {
        match Log::read(log.as_ref())? {
            Ok(log) => usable.push(log),
            Err(reason) => reasons.push(format!("log {}: {reason}", index + 1)),
        }
    }
    if logs.is_empty() {
        reasons.push("there is no log".to_owned());
    }
    for kind in [ENTRIES, OLD] {
        let of_kind: Vec<_> = usable.iter().filter(|log| log.base.file_type == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let mut replayed = sectors.clone();
        let attempt = match kind {
            ENTRIES => replay_entries(&mut replayed, base, of_kind)?,
            _ => replay_pages(&mut replayed, base, of_kind)?,
        };
        match attempt {
            Ok(()) => return Ok(Ok(replayed)),
            Err(reason) => reasons.push(reason),
        }
    }
    Ok(Err(reasons.join("; ")))
}

impl Log {
    fn read(file: &dyn ReadAt) -> Result<Result<Self, String>> {
        let failed = |e| Error::io("read", "registry log", e);
        let len = file.size().map_err(failed)?;
        if !(SECTOR as u64..=MAX_LOG).contains(&len) {
            return Ok(Err(format!("it has {len} bytes")));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let Ok((base, _)) = BaseBlock::read_from_prefix(&bytes) else {
            return Ok(Err("it is cut".to_owned()));
        };
        Ok(match (base.is_clean(), base.file_type.get()) {
            (false, _) => Err("its base block is not valid".to_owned()),
            (true, OLD | ENTRIES) => Ok(Self { base, bytes }),
            (true, other) => Err(format!("its file type is {other}")),
        })
    }

    /// Where its content begins: the base block takes one sector of the disk that it was made on.
    fn start(&self) -> usize {
        (self.base.clustering.get() as usize).clamp(1, 8) * SECTOR
    }
}

/// Applies the entries that follow the hive's own state, in the order of their numbers, through both logs.
fn replay_entries(
    sectors: &mut Sectors,
    base: &BaseBlock,
    mut logs: Vec<&Log>,
) -> Result<Result<(), String>> {
    logs.sort_by(|a, b| sequence_order(a.base.primary_sequence.get(), b.base.primary_sequence.get()));
    // The last number that was written in full. Windows sets out from there: what it repeats does no harm.
    let first = base.secondary_sequence.get();
    let mut header = *base;
    let mut last = None;
    if !base.is_sound() {
        // The later log has the base block, and is all that Windows applies then.
        logs.drain(..logs.len() - 1);
        if let Some(log) = logs.first() {
            header = log.base;
            header.file_type = 0.into();
        }
    }
    for log in logs {
        let mut at = SECTOR;
        let mut sequence = log.base.primary_sequence.get();
        while let Some((entry, body)) = entry(&log.bytes, at, sequence) {
            at += LOG_ENTRY + body.len();
            let applied_before = base.is_sound() && sequence_order(sequence, first).is_lt();
            let gap = last.is_some_and(|last: u32| sequence != last.wrapping_add(1));
            if !applied_before && (gap || apply(sectors, &entry, body)?.is_break()) {
                break;
            }
            if !applied_before {
                last = Some(sequence);
                header.bins_size = entry.bins_size;
            }
            sequence = sequence.wrapping_add(1);
        }
    }
    match last {
        None => Ok(Err(format!("no log entry follows the sequence number {first}"))),
        Some(last) => finish(sectors, header, last),
    }
}

/// Sequence numbers wrap around.
fn sequence_order(a: u32, b: u32) -> std::cmp::Ordering {
    (a.wrapping_sub(b) as i32).cmp(&0)
}

/// The entry at `at` and what follows its fields, when it is whole.
fn entry(log: &[u8], at: usize, sequence: u32) -> Option<(LogEntry, &[u8])> {
    let rest = log.get(at..)?;
    let (entry, _) = LogEntry::read_from_prefix(rest).ok()?;
    let size = entry.size.get() as usize;
    let whole = entry.signature == *b"HvLE" && entry.sequence == sequence && size.is_multiple_of(SECTOR);
    let body = rest.get(LOG_ENTRY..size).filter(|_| whole)?;
    let hashed = entry.hash_1 == marvin::hash(body) && entry.hash_2 == marvin::hash(&entry.as_bytes()[..32]);
    (hashed && is_bins_size(entry.bins_size.get())).then_some((entry, body))
}

fn is_bins_size(size: u32) -> bool {
    size != 0 && size.is_multiple_of(BIN_UNIT) && size <= MAX_BINS
}

/// Writes an entry's pages; breaks off where one does not fit.
fn apply(sectors: &mut Sectors, entry: &LogEntry, body: &[u8]) -> Result<ControlFlow<()>> {
    let references = (entry.pages.get() as usize).saturating_mul(size_of::<PageReference>());
    let Some((references, mut pages)) = body.split_at_checked(references) else {
        return Ok(ControlFlow::Break(()));
    };
    let mut writes = Vec::new();
    for reference in references.chunks_exact(size_of::<PageReference>()) {
        let Ok(PageReference { offset, size }) = PageReference::read_from_bytes(reference) else { continue };
        let (offset, size) = (offset.get(), size.get());
        let end = offset.checked_add(size).filter(|&end| end <= entry.bins_size.get());
        let Some((page, rest)) = end.and_then(|_| pages.split_at_checked(size as usize)) else {
            return Ok(ControlFlow::Break(()));
        };
        writes.push((offset, page));
        pages = rest;
    }
    for (offset, page) in writes {
        sectors.write(page, BINS + u64::from(offset))?;
    }
    Ok(ControlFlow::Continue(()))
}

/// Applies the latest log that is not older than the hive.
fn replay_pages(sectors: &mut Sectors, base: &BaseBlock, logs: Vec<&Log>) -> Result<Result<(), String>> {
    let timestamp = match base.is_sound() {
        true => base.last_written.get(),
        // The first bin has a copy of it.
        false => match bin(sectors, 0, MAX_BINS) {
            Ok(first) => first.timestamp.get(),
            Err(error) => return Ok(Err(error.to_string())),
        },
    };
    let current = logs.into_iter().filter(|log| log.base.last_written.get() >= timestamp);
    let Some(log) = current.max_by_key(|log| log.base.last_written.get()) else {
        return Ok(Err("all logs are older than the hive".to_owned()));
    };
    let mut header = log.base;
    header.file_type = 0.into();
    let (start, bins_size) = (log.start(), header.bins_size.get());
    let cut = || Ok(Err("the log is cut".to_owned()));
    let content = log.bytes.get(start..).and_then(|content| content.strip_prefix(b"DIRT"));
    if !is_bins_size(bins_size) {
        return Ok(Err(format!("the log is for bins of {bins_size} bytes")));
    }
    // A bit for each sector.
    let bitmap_len = bins_size as usize / SECTOR / 8;
    let Some(bitmap) = content.and_then(|content| content.get(..bitmap_len)) else { return cut() };
    let pages = (start + 4 + bitmap_len).next_multiple_of(start);
    let Some(mut pages) = log.bytes.get(pages..) else { return cut() };
    for sector in (0..bitmap_len * 8).filter(|sector| bitmap[sector / 8] >> (sector % 8) & 1 == 1) {
        let Some((page, rest)) = pages.split_at_checked(SECTOR) else { return cut() };
        sectors.write(page, BINS + (sector * SECTOR) as u64)?;
        pages = rest;
    }
    finish(sectors, header, base.primary_sequence.get())
}

/// Closes the hive: a new base block, over bins that must be whole.
fn finish(sectors: &mut Sectors, mut header: BaseBlock, sequence: u32) -> Result<Result<(), String>> {
    header.primary_sequence = sequence.into();
    header.secondary_sequence = sequence.into();
    header.checksum = header.sum().into();
    sectors.write(header.as_bytes(), 0)?;
    let bins_size = header.bins_size.get();
    if BINS + u64::from(bins_size) > sectors.len().max(sectors.replaced_end()) {
        return Ok(Err(format!("the logs are for bins of {bins_size} bytes, which the file does not have")));
    }
    let mut at = 0;
    while at < bins_size {
        match bin(sectors, at, bins_size) {
            Ok(bin) => at += bin.size.get(),
            Err(error @ Error::Damaged { .. }) => return Ok(Err(format!("after the replay: {error}"))),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(()))
}
