//! The account of clusters: each belongs to one file, and `$Bitmap` says so of these and of no others.
//!
//! The account is a compressed bitmap: at most 33 MB for each TiB of 4 KiB clusters, and far less where files are whole.

use roaring::RoaringBitmap;

use super::context::Context;
use super::fault::NtfsFault;
use super::finding::Place;
use crate::error::Result;
use crate::windows::ntfs::record::{Value, kind};
use crate::windows::ntfs::runs::{self, Run};
use crate::windows::ntfs::volume::system_file;

/// Bytes of `$Bitmap` that are read at once.
const CHUNK: u64 = 64 << 10;
/// Ranges of clusters whose owners are looked for.
const MAX_TOLD: usize = 100;

type Clusters = std::ops::RangeInclusive<u32>;

#[derive(Debug, Default)]
pub(super) struct Space {
    /// The clusters that files have.
    claimed: RoaringBitmap,
    /// Whether the runs of some file could not be read: its clusters are not missed.
    pub incomplete: bool,
}

impl Space {
    /// Takes a run into account.
    pub fn claim(&mut self, cx: &mut Context, place: &Place, run: &Run) {
        let Some(lcn) = run.lcn else { return };
        let clusters = cx.volume.boot.clusters;
        let end = lcn.saturating_add(run.len);
        let range = (u32::try_from(lcn), u32::try_from(end.saturating_sub(1)));
        let (Ok(first), Ok(last), true) = (range.0, range.1, end <= clusters) else {
            self.incomplete = true;
            let expected = format!("runs within {clusters} clusters");
            let found = format!("{} clusters at {lcn}", run.len);
            return cx.add(NtfsFault::RunBeyondEnd, place.clone(), expected, found);
        };
        let twice = run.len - self.claimed.insert_range(first..=last);
        if twice > 0 {
            let found =
                format!("{twice} clusters of those from {lcn} to {end} that another attribute has too");
            cx.add(NtfsFault::CrossLink, place.clone(), "clusters of its own", found);
        }
    }

    /// Holds the account against `$Bitmap`.
    pub fn check(mut self, cx: &mut Context) -> Result<()> {
        let Some(record) = cx.read(system_file::BITMAP)? else { return Ok(()) };
        let Some(bitmap) = cx.require(&record, kind::DATA, "")? else { return Ok(()) };
        let clusters = cx.volume.boot.clusters;
        let place = |cx: &Context, bit: u64| {
            cx.stream(system_file::BITMAP, &bitmap, (kind::DATA, ""), "$Bitmap", bit / 8)
        };
        if bitmap.size < clusters.div_ceil(8) {
            let expected = format!("at least {} bytes for {clusters} clusters", clusters.div_ceil(8));
            let at = place(cx, 0);
            cx.add(NtfsFault::BitmapSize, at, expected, format!("{} bytes", bitmap.size));
        }
        // No more than the volume needs is looked at, and no less than there is.
        let len = bitmap.size.min(clusters.div_ceil(8).next_multiple_of(8));
        let mut bytes = vec![0; CHUNK as usize];
        let mut at = 0;
        while at < len {
            cx.job.check()?;
            let chunk = &mut bytes[..CHUNK.min(len - at) as usize];
            let read = bitmap.read_at(cx.volume, chunk, at);
            if cx.findings.catch(system_file::BITMAP, read)?.is_none() {
                return Ok(());
            }
            self.compare(cx, &place, at * 8, chunk);
            at += CHUNK;
        }
        let mut ranges = Vec::new();
        let mut left = self.claimed.iter();
        while let Some(range) = left.next_range() {
            match cx.findings.is_full(NtfsFault::BitmapClear) || ranges.len() >= MAX_TOLD {
                true => cx.findings.count(NtfsFault::BitmapClear),
                false => ranges.push(range),
            }
        }
        for (range, owner) in owners(cx, ranges)? {
            let found = format!("clusters {} to {} marked free", range.start(), range.end());
            let mut at = place(cx, u64::from(*range.start()));
            at.record = owner;
            cx.add(NtfsFault::BitmapClear, at, "clusters of a file marked used", found);
        }
        Ok(())
    }

    /// Holds it against a part of `$Bitmap`, and takes out of it what is marked there.
    fn compare(
        &mut self,
        cx: &mut Context,
        place: &impl Fn(&Context, u64) -> Place,
        first: u64,
        bytes: &[u8],
    ) {
        let clusters = cx.volume.boot.clusters;
        let Ok(offset) = u32::try_from(first) else { return };
        let mut marked = RoaringBitmap::from_lsb0_bytes(offset, bytes);
        let end = first + bytes.len() as u64 * 8;
        if end > clusters {
            let tail = clusters.max(first);
            let set = marked.range_cardinality(range(tail, end));
            if set < end - tail {
                let found = format!("{} of them clear", end - tail - set);
                let expected = format!("the bits from {tail} on set");
                cx.add(NtfsFault::BitmapTail, place(cx, tail), expected, found);
            }
            marked.remove_range(range(tail, end));
        }
        let mut runs = marked.iter();
        while let Some(run) = runs.next_range() {
            let claimed = self.claimed.range_cardinality(run.clone());
            if claimed < u64::from(run.end() - run.start()) + 1 && !self.incomplete {
                let mut free: RoaringBitmap = RoaringBitmap::new();
                free.insert_range(run.clone());
                let mut used = self.claimed.range(run.clone());
                while let Some(range) = used.next_range() {
                    free.remove_range(range);
                }
                let mut leaks = free.iter();
                while let Some(leak) = leaks.next_range() {
                    let found = format!("clusters {} to {}", leak.start(), leak.end());
                    let expected = "clusters of files alone marked used";
                    cx.add(NtfsFault::BitmapLeak, place(cx, u64::from(*leak.start())), expected, found);
                }
            }
            self.claimed.remove_range(run);
        }
    }
}

/// A range of 32-bit numbers, which those of clusters are.
fn range(start: u64, end: u64) -> std::ops::Range<u32> {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    number(start)..number(end)
}

/// The records that have the first clusters of these ranges.
fn owners(cx: &Context, ranges: Vec<Clusters>) -> Result<Vec<(Clusters, Option<u64>)>> {
    let mut found: Vec<_> = ranges.into_iter().map(|range| (range, None)).collect();
    let records = cx.volume.mft.size / cx.volume.boot.record_size;
    for number in 0..records {
        cx.job.check()?;
        if found.iter().all(|(_, owner)| owner.is_some()) {
            break;
        }
        let Some(record) = cx.read(number)? else { continue };
        if !record.in_use().unwrap_or(false) {
            continue;
        }
        for attribute in record.attributes().unwrap_or_default() {
            let Value::NonResident(_, pairs) = attribute.value else { continue };
            for run in runs::decode(pairs, cx.volume.boot.clusters).unwrap_or_default() {
                let has = |range: &Clusters| {
                    run.lcn.is_some_and(|lcn| (lcn..run.end()).contains(&u64::from(*range.start())))
                };
                found.iter_mut().filter(|(range, _)| has(range)).for_each(|(_, owner)| *owner = Some(number));
            }
        }
    }
    Ok(found)
}
