//! Clusters taken and given back in `$Bitmap`.
//!
//! A cluster that is taken was free, and one that is given back was in use: else the volume is damaged, and nothing is
//! changed. What follows the MFT is left to it while there is room elsewhere.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use super::super::bitmap::Bitmap;
use super::super::flaw::flaw;
use super::super::runs::Run;
use super::Edit;
use super::attribute::Clusters;
use crate::error::{Error, Result};

/// Bytes of the bitmap that are changed at once.
const CHUNK: u64 = 4096;
/// Free runs that are chosen from at once, the longest ones: 1 MiB of them.
const MAX_FREE: usize = 1 << 16;

/// Clusters wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub clusters: u64,
    /// The one after which they go on, if they go on.
    pub after: Option<u64>,
    /// Clusters that stay together.
    pub together: u64,
    /// Whether they are for the MFT.
    pub table: bool,
}

impl Edit {
    /// Clusters for a value of so many bytes, with the sizes of a value of which none is there yet.
    pub(super) fn allocate_for(&mut self, bytes: u64) -> Result<Clusters> {
        let cluster = self.volume.boot.cluster_size;
        let clusters = bytes.div_ceil(cluster);
        let runs = self.allocate(Wanted { clusters, after: None, together: 1, table: false })?;
        Ok(Clusters { runs, allocated: clusters * cluster, size: bytes, ..Clusters::default() })
    }

    /// Takes clusters: those that go on, or else one run, or else the longest runs there are.
    pub(super) fn allocate(&mut self, wanted: Wanted) -> Result<Vec<Run>> {
        let mut taken = Vec::new();
        let mut left = wanted.clusters;
        if left > 0
            && let Some(after) = wanted.after
        {
            let end = after.saturating_add(left).min(self.volume.boot.clusters);
            let run = self.first_free(after..end, 1)?.filter(|run| run.start == after);
            self.take(&mut taken, run, &mut left, wanted.together)?;
        }
        for range in self.by_preference(wanted.table) {
            if left > 0 {
                let run = self.first_free(range, left)?;
                self.take(&mut taken, run, &mut left, wanted.together)?;
            }
        }
        while left > 0 {
            let longest = self.longest_free(wanted.table, wanted.together)?;
            if longest.is_empty() {
                return Err(self.no_room(wanted.clusters, taken.iter().map(|run| run.len).sum())?);
            }
            for run in longest {
                if left > 0 {
                    self.take(&mut taken, Some(run), &mut left, wanted.together)?;
                }
            }
        }
        Ok(taken)
    }

    /// Takes as much of a free run as is still wanted.
    fn take(
        &mut self,
        taken: &mut Vec<Run>,
        run: Option<Range<u64>>,
        left: &mut u64,
        together: u64,
    ) -> Result<()> {
        let Some(run) = run else { return Ok(()) };
        let len = (run.end - run.start).min(*left) / together * together;
        if len == 0 {
            return Ok(());
        }
        self.set_clusters(run.start..run.start + len, true)?;
        *left -= len;
        self.cursor = run.start + len;
        join(taken, &[Run { len, lcn: Some(run.start) }]);
        Ok(())
    }

    pub(super) fn free_clusters(&mut self, runs: &[Run]) -> Result<()> {
        for run in runs {
            if let Some(lcn) = run.lcn {
                self.set_clusters(lcn..run.end(), false)?;
            }
        }
        Ok(())
    }

    /// What follows the MFT, as Windows keeps it free: an eighth of the volume.
    fn zone(&self) -> Range<u64> {
        let clusters = self.volume.boot.clusters;
        let start = self.volume.mft.runs().last().map_or(0, Run::end).min(clusters);
        start..start.saturating_add(clusters / 8).min(clusters)
    }

    /// All clusters, in the order in which they are looked through.
    fn by_preference(&self, table: bool) -> Vec<Range<u64>> {
        let (zone, clusters) = (self.zone(), self.volume.boot.clusters);
        let cursor = self.cursor.min(clusters);
        let mut ranges = Vec::new();
        for part in [cursor..clusters, 0..cursor] {
            ranges.push(part.start.min(zone.start)..part.end.min(zone.start));
            ranges.push(part.start.max(zone.end)..part.end.max(zone.end));
        }
        ranges.insert(if table { 0 } else { ranges.len() }, zone);
        ranges.retain(|range| range.start < range.end);
        ranges
    }

    /// The first free run of at least so many clusters.
    fn first_free(&self, within: Range<u64>, clusters: u64) -> Result<Option<Range<u64>>> {
        let mut found = None;
        Bitmap::read(&self.volume)?.search(within, false, clusters, |run| {
            match run.end - run.start >= clusters {
                true => {
                    found = Some(run);
                    ControlFlow::Break(())
                }
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok(found)
    }

    /// The longest free runs, outside of what is left to the MFT if there are any.
    fn longest_free(&self, table: bool, together: u64) -> Result<Vec<Range<u64>>> {
        let mut longest = BTreeSet::new();
        let bitmap = Bitmap::read(&self.volume)?;
        let zone = self.zone();
        let mut ranges = self.by_preference(table);
        ranges.retain(|range| *range != zone);
        for ranges in [ranges, vec![zone]] {
            for range in ranges {
                bitmap.runs(range, false, |run| {
                    if run.end - run.start >= together {
                        longest.insert((run.end - run.start, run.start));
                    }
                    if longest.len() > MAX_FREE {
                        longest.pop_first();
                    }
                })?;
            }
            if !longest.is_empty() {
                break;
            }
        }
        Ok(longest.into_iter().rev().map(|(len, start)| start..start + len).collect())
    }

    /// What is said when clusters are wanted that are not there; `taken` of them are marked already.
    fn no_room(&self, clusters: u64, taken: u64) -> Result<Error> {
        let cluster = self.volume.boot.cluster_size;
        let free = self.volume.free()? + taken * cluster;
        Ok(Error::VolumeFull { needed: clusters * cluster, free })
    }

    /// Marks clusters, all of which were marked otherwise.
    pub(super) fn set_clusters(&mut self, clusters: Range<u64>, used: bool) -> Result<()> {
        let stream = Bitmap::read(&self.volume)?.into_stream();
        let mut at = clusters.start;
        while at < clusters.end {
            let byte = at / 8;
            let end = clusters.end.min((byte + CHUNK) * 8);
            let mut bytes = vec![0; (end.div_ceil(8) - byte) as usize];
            stream.read_at(&self.volume, &mut bytes, byte)?;
            for cluster in at..end {
                let (place, mask) = (&mut bytes[(cluster / 8 - byte) as usize], 1 << (cluster % 8));
                if (*place & mask != 0) == used {
                    let (expected, found) = if used { ("free", "in use") } else { ("in use", "free") };
                    return Err(flaw(format!("cluster {cluster} to be {expected}"), found)
                        .at("NTFS $Bitmap", self.volume.on_disk(0)));
                }
                *place ^= mask;
            }
            self.write_runs(stream.runs(), byte, &bytes)?;
            at = end;
        }
        Ok(())
    }
}

/// Puts runs behind others; what follows each other on the volume becomes one.
pub(super) fn join(runs: &mut Vec<Run>, more: &[Run]) {
    for run in more {
        match runs.last_mut() {
            Some(last) if last.lcn.is_some() && run.lcn == Some(last.end()) => last.len += run.len,
            _ => runs.push(*run),
        }
    }
}
