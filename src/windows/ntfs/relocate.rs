//! Moving the clusters behind a volume's new end into free ones before it.
//!
//! Which files they belong to only the FILE records tell, so all of these are read once. Each cluster in use must belong
//! to one file; a volume of which that is not true is for chkdsk.

use std::collections::BTreeSet;

use super::edit::{Edit, name};
use super::flaw::{Flaw, refused};
use super::record::{Record, SIGNATURE, Value, kind};
use super::runs::{self, Run};
use super::shrink::no_room;
use super::volume::{Volume, system_file};
use crate::disk::Move;
use crate::error::{Error, Result};
use crate::leaves::Rule;

/// Bytes of records that are read at once.
const BATCH: u64 = 1 << 20;
/// Runs that are moved at most: 2 MiB of them.
const MAX_PIECES: usize = 1 << 16;
/// Clusters that are moved at most: 16 GiB of 4 KiB.
const MAX_CLUSTERS: u64 = 1 << 22;
/// Free runs that are considered, the longest ones: 1 MiB of them.
const MAX_FREE: usize = 1 << 16;
/// `$Boot`: the boot sector and what follows it.
const BOOT_FILE: u64 = 7;

/// Clusters that follow each other and have to move.
#[derive(Debug, Clone, Copy)]
struct Piece {
    lcn: u64,
    len: u64,
    /// The record that tells of them.
    record: u64,
    /// Whether they must stay together.
    whole: bool,
}

/// Clusters with the place found for them.
#[derive(Debug, Clone, Copy)]
struct Moved {
    from: u64,
    to: u64,
    len: u64,
}

/// Moves what lies in the clusters from `end` on; gives the bytes to be copied.
pub(super) fn relocate(edit: &mut Edit, end: u64) -> Result<Vec<Move>> {
    let pieces = find_pieces(edit, end)?;
    if pieces.is_empty() {
        return Ok(Vec::new());
    }
    if edit.volume.has_shadow_copies()? {
        return Err(refused(
            "the volume has shadow copies, which moving clusters would damage: delete them with vssadmin delete shadows",
        ));
    }
    check_owners(edit, &pieces, end)?;
    let moved = allocate(edit, &pieces, end)?;
    let records: BTreeSet<u64> = pieces.iter().map(|piece| piece.record).collect();
    for number in records {
        rewrite(edit, number, &moved, end)?;
    }
    edit.mft = remap(&edit.mft, &moved);
    edit.mirror = remap(&edit.mirror, &moved);
    for Moved { from, to, len } in &moved {
        edit.bitmap.set(*to..to + len, true)?;
        edit.bitmap.set(*from..end.clamp(*from, from + len), false)?;
    }
    let cluster = edit.volume.boot.cluster_size;
    let on_disk = |lcn: u64| edit.volume.on_disk(lcn * cluster);
    Ok(moved
        .iter()
        .map(|m| Move { from: on_disk(m.from), to: on_disk(m.to), len: m.len * cluster })
        .collect())
}

/// The runs that reach behind `end`, in the order in which they lie.
fn find_pieces(edit: &Edit, end: u64) -> Result<Vec<Piece>> {
    let volume = edit.volume;
    let mut pieces = Vec::new();
    for_each_record(volume, |record| {
        let record = edit.changed(record.number).unwrap_or(record);
        volume.in_record(record, |record| pieces_of(volume, record, end, &mut pieces))?;
        match pieces.len() > MAX_PIECES {
            true => Err(refused("too many files lie in what is to be cut off the volume")),
            false => Ok(()),
        }
    })?;
    pieces.sort_by_key(|piece| piece.lcn);
    match pieces.iter().find(|piece| piece.record == BOOT_FILE) {
        Some(_) => Err(refused("the volume cannot be so small: $Boot cannot be moved")),
        None => Ok(pieces),
    }
}

fn pieces_of(volume: &Volume, record: &Record, end: u64, pieces: &mut Vec<Piece>) -> Result<(), Flaw> {
    let boot = &volume.boot;
    for attribute in record.attributes()? {
        let Value::NonResident(header, pairs) = attribute.value else { continue };
        let owner = record.base()?.map_or(record.number, |base| base.number());
        let is_table = owner == system_file::MFT && attribute.kind == kind::DATA;
        // A record may take several clusters, which stay together.
        let together = if is_table { (boot.record_size / boot.cluster_size).max(1) } else { 1 };
        let mut vcn = header.lowest_vcn.get();
        for run in runs::decode(pairs, boot.clusters)? {
            if let Some(lcn) = run.lcn.filter(|_| run.end() > end) {
                let skipped = end.saturating_sub(lcn);
                let skipped = skipped.saturating_sub(vcn.saturating_add(skipped) % together);
                let whole = is_table || owner == system_file::MFT_MIRROR;
                pieces.push(Piece {
                    lcn: lcn + skipped,
                    len: run.len - skipped,
                    record: record.number,
                    whole,
                });
            }
            vcn = vcn.saturating_add(run.len);
        }
    }
    Ok(())
}

/// Calls `visit` with each record that is in use.
fn for_each_record(volume: &Volume, mut visit: impl FnMut(&Record) -> Result<()>) -> Result<()> {
    let (table, size) = (&volume.mft, volume.boot.record_size);
    let end = table.size.min(table.initialized) / size * size;
    let mut bytes = Vec::new();
    for offset in (0..end).step_by(BATCH as usize) {
        bytes.resize(BATCH.min(end - offset) as usize, 0);
        table.read_at(volume, &mut bytes, offset)?;
        for (bytes, number) in bytes.chunks_exact(size as usize).zip(offset / size..) {
            // What was never used has no signature.
            if !bytes.starts_with(SIGNATURE) {
                continue;
            }
            let record = Record::parse(number, bytes.to_vec())
                .map_err(|flaw| flaw.at("NTFS FILE record", number.saturating_mul(size)))?;
            if volume.in_record(&record, Record::in_use)? {
                visit(&record)?;
            }
        }
    }
    Ok(())
}

/// Refuses a volume in whose tail a cluster belongs to two files, or is in use and belongs to none.
fn check_owners(edit: &Edit, pieces: &[Piece], end: u64) -> Result<()> {
    let inconsistent = |reason: String| Err(Error::NotConvertible { rule: Rule::DirtyVolume, reason });
    for pair in pieces.windows(2) {
        if let [a, b] = pair
            && a.lcn + a.len > b.lcn
        {
            let (first, second) = (name(edit.volume, a.record), name(edit.volume, b.record));
            return inconsistent(format!("{first} and {second} share the cluster {}", b.lcn));
        }
    }
    let owned: u64 = pieces.iter().map(|piece| piece.lcn + piece.len - piece.lcn.max(end)).sum();
    let mut used = 0;
    edit.bitmap.runs(end..edit.volume.boot.clusters, true, |run| used += run.end - run.start)?;
    match owned == used {
        true => Ok(()),
        false => inconsistent(format!(
            "$Bitmap has {used} clusters in use from {end} on, but files have {owned}: the volume is damaged"
        )),
    }
}

/// Finds a place before `end` for each piece: the shortest free run that holds it, or else the longest ones.
fn allocate(edit: &Edit, pieces: &[Piece], end: u64) -> Result<Vec<Moved>> {
    let mut free = free_runs(edit, end)?;
    let needed: u64 = pieces.iter().map(|piece| piece.len).sum();
    let room: u64 = free.iter().map(|(len, _)| len).sum();
    if needed > MAX_CLUSTERS {
        return Err(refused(&format!("more than {MAX_CLUSTERS} clusters would have to be moved")));
    }
    if needed > room {
        let cluster = edit.volume.boot.cluster_size;
        return Err(no_room(format!(
            "the volume has {} bytes free before its new end, and {} bytes would have to be moved there",
            room * cluster,
            needed * cluster
        )));
    }
    let mut order: Vec<&Piece> = pieces.iter().collect();
    order.sort_by_key(|piece| (!piece.whole, std::cmp::Reverse(piece.len), piece.lcn));
    let mut moved = Vec::new();
    for piece in order {
        let (mut from, mut left) = (piece.lcn, piece.len);
        while left > 0 {
            let fitting =
                free.range((left, 0)..).next().or_else(|| free.last().filter(|_| !piece.whole)).copied();
            let Some((len, to)) = fitting else {
                let file = name(edit.volume, piece.record);
                return Err(no_room(format!(
                    "no free run of clusters holds the {left} of {file} that must stay together"
                )));
            };
            free.remove(&(len, to));
            let taken = len.min(left);
            if len > taken {
                free.insert((len - taken, to + taken));
            }
            moved.push(Moved { from, to, len: taken });
            from += taken;
            left -= taken;
        }
    }
    moved.sort_by_key(|moved| moved.from);
    Ok(moved)
}

/// The longest free runs before `end`, as (clusters, first cluster).
fn free_runs(edit: &Edit, end: u64) -> Result<BTreeSet<(u64, u64)>> {
    let mut free = BTreeSet::new();
    edit.bitmap.runs(0..end, false, |run| {
        free.insert((run.end - run.start, run.start));
        if free.len() > MAX_FREE {
            free.pop_first();
        }
    })?;
    Ok(free)
}

/// Tells a record where its clusters are now.
fn rewrite(edit: &mut Edit, number: u64, moved: &[Moved], end: u64) -> Result<()> {
    let mut record = edit.record(number)?;
    let clusters = edit.volume.boot.clusters;
    let runs_of = |record: &Record| -> Result<Vec<(usize, Vec<Run>)>, Flaw> {
        let mut found = Vec::new();
        for attribute in record.attributes()? {
            if let Value::NonResident(_, pairs) = attribute.value {
                found.push((attribute.at, runs::decode(pairs, clusters)?));
            }
        }
        Ok(found)
    };
    let attributes = runs_of(&record);
    let attributes = edit.volume.in_record(&record, |_| attributes)?;
    // The last ones first: one that grows moves those behind it.
    for (at, runs) in attributes.into_iter().rev() {
        if runs.iter().any(|run| run.end() > end) {
            edit.map(&mut record, at, &remap(&runs, moved), |_| {})?;
        }
    }
    Ok(())
}

/// The runs as they are after the move.
fn remap(runs: &[Run], moved: &[Moved]) -> Vec<Run> {
    let mut remapped: Vec<Run> = Vec::new();
    let mut push = |len: u64, lcn: Option<u64>| match remapped.last_mut() {
        Some(last) if last.lcn.is_some() == lcn.is_some() && lcn.is_none_or(|lcn| last.end() == lcn) => {
            last.len += len
        }
        _ => remapped.push(Run { len, lcn }),
    };
    for run in runs {
        let Some(mut at) = run.lcn else {
            push(run.len, None);
            continue;
        };
        while at < run.end() {
            let next = moved.get(moved.partition_point(|moved| moved.from + moved.len <= at));
            let (stop, lcn) = match next {
                Some(moved) if moved.from <= at => (moved.from + moved.len, moved.to + at - moved.from),
                Some(moved) => (moved.from, at),
                None => (u64::MAX, at),
            };
            let stop = stop.min(run.end());
            push(stop - at, Some(lcn));
            at = stop;
        }
    }
    remapped
}
