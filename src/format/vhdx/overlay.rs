//! A file with the log laid over it, in memory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::log::SECTOR;
use crate::storage::{FileIdentity, Fingerprint, ReadAt, read_some};

/// The file below, with some of its sectors replaced.
///
/// What replaces a sector is not copied: it stays in the log, which nobody writes, and only where it lies is kept.
/// So the memory taken does not grow with the data in the log.
pub(crate) struct Overlay {
    below: Arc<dyn ReadAt>,
    below_size: u64,
    size: u64,
    /// What was laid so far, by its first byte; not overlapping. Moved to `runs` at the end.
    building: BTreeMap<u64, (u64, Source)>,
    runs: Vec<Run>,
    /// Which of the runs are sectors from the log.
    sectors: Vec<usize>,
}

/// What replaces a run of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// The log's data sector at `at`, but for the bytes that its descriptor holds.
    Sector { at: u64, leading: [u8; 8], trailing: [u8; 4] },
    /// Zeros.
    Zero,
}

struct Run {
    start: u64,
    end: u64,
    source: Source,
}

impl Overlay {
    /// The file as it is.
    pub(crate) fn new(below: Arc<dyn ReadAt>, size: u64) -> Self {
        let (building, runs, sectors) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { below, below_size: size, size, building, runs, sectors }
    }

    /// Replaces `range`, which is not empty and aligned to sectors, over whatever was laid there before.
    pub(crate) fn lay(&mut self, range: Range<u64>, source: Source) {
        while let Some((&start, &(end, old))) = self.building.range(..range.end).next_back() {
            if end <= range.start {
                break;
            }
            self.building.remove(&start);
            // Only runs of zeros are longer than a sector, so that only they are ever cut.
            if end > range.end {
                self.building.insert(range.end, (end, old));
            }
            if start < range.start {
                self.building.insert(start, (range.start, old));
            }
        }
        self.building.insert(range.start, (range.end, source));
        self.extend(range.end);
    }

    /// Makes the file at least `size` bytes long.
    pub(crate) fn extend(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    /// Says that nothing more will be laid; before, nothing laid is seen by a reader.
    pub(crate) fn seal(&mut self) {
        let building = std::mem::take(&mut self.building);
        self.runs = building.into_iter().map(|(start, (end, source))| Run { start, end, source }).collect();
        let runs = self.runs.iter().enumerate();
        self.sectors = runs
            .filter(|(_, run)| matches!(run.source, Source::Sector { .. }))
            .map(|(index, _)| index)
            .collect();
    }

    /// What is replaced, in order, and whether it is by zeros.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = (Range<u64>, bool)> {
        self.runs.iter().map(|run| (run.start..run.end, matches!(run.source, Source::Zero)))
    }

    /// The first run that ends after `offset`.
    fn run(&self, offset: u64) -> usize {
        self.runs.partition_point(|run| run.end <= offset)
    }

    /// Reads what the file below has; beyond its end there are zeros.
    fn read_below(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let inside = self.below_size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (inside, beyond) = buf.split_at_mut(inside);
        beyond.fill(0);
        self.below.read_exact_at(inside, offset)
    }

    fn read_run(&self, run: &Run, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let Source::Sector { at, leading, trailing } = run.source else {
            buf.fill(0);
            return Ok(());
        };
        let skip = (offset - run.start) as usize;
        self.below.read_exact_at(buf, at + skip as u64)?;
        // The data sector holds all but its first 8 and last 4 bytes, at the same places.
        let tail = SECTOR as usize - trailing.len();
        let replaced = leading.iter().enumerate().chain((tail..).zip(&trailing));
        for (index, &byte) in replaced {
            if let Some(place) = index.checked_sub(skip).and_then(|index| buf.get_mut(index)) {
                *place = byte;
            }
        }
        Ok(())
    }
}

impl ReadAt for Overlay {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = self.size.min(offset.saturating_add(buf.len() as u64));
        let Some(len) = end.checked_sub(offset) else { return Ok(0) };
        let mut next = self.run(offset);
        if end <= self.below_size && self.runs.get(next).is_none_or(|run| run.start >= end) {
            return read_some(&*self.below, &mut buf[..len as usize], offset);
        }
        let mut at = offset;
        while at < end {
            let start = (at - offset) as usize;
            let run = self.runs.get(next).filter(|run| run.start < end);
            let piece_end = match run {
                Some(run) if run.start <= at => run.end.min(end),
                Some(run) => run.start,
                None => end,
            };
            let piece = &mut buf[start..(piece_end - offset) as usize];
            match run {
                Some(run) if run.start <= at => {
                    self.read_run(run, piece, at)?;
                    next += 1;
                }
                _ => self.read_below(piece, at)?,
            }
            at = piece_end;
        }
        Ok(len as usize)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    /// A sector from the log is data; one that it zeroes is data where the file below has some.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let below = if offset < self.below_size { self.below.next_data(offset)? } else { None };
        if below.is_none() && self.below.size()? < self.below_size {
            // What was cut off since is no hole.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let first = self.run(offset);
        let sector = self.sectors.get(self.sectors.partition_point(|&index| index < first));
        let replaced = sector.and_then(|&index| self.runs.get(index));
        let replaced = replaced.map(|run| run.start.max(offset)..run.end);
        Ok(match (below, replaced) {
            (Some(below), Some(replaced)) if replaced.start < below.start => Some(replaced),
            (None, replaced) => replaced,
            (below, _) => below,
        })
    }

    fn will_need(&self, range: Range<u64>) {
        self.below.will_need(range);
    }

    fn allocated(&self) -> Option<u64> {
        self.below.allocated()
    }

    fn modified(&self) -> Option<i64> {
        self.below.modified()
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.below.fingerprint()
    }

    fn identity(&self) -> Option<FileIdentity> {
        self.below.identity()
    }
}
