//! What is to be read: the extents of a disk, cut along a grid.

use std::ops::Range;

use super::layer::MappingKind;
use super::read::read_extent;
use super::{Disk, Extent};
use crate::error::Result;

/// Cuts the extents of a disk into spans that hold bytes and runs that do not.
///
/// A span covers whole grains (but for the ends of the range), each of which holds at least one byte of data; it
/// does not cross a multiple of the largest span. Runs are all the rest.
pub(crate) struct Plan {
    extents: Box<dyn Iterator<Item = Result<Extent>> + Send + Sync>,
    /// What is left of the extents taken so far.
    rest: Option<Extent>,
    grain: u64,
    largest: u64,
    end: u64,
    failed: bool,
}

pub(crate) enum Item {
    Run(Run),
    Span(Span),
}

/// A range without bytes.
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// Whether no layer says anything of it.
    pub(crate) absent: bool,
}

/// A range to be read.
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// The extents that make it up.
    pub(crate) parts: Vec<Extent>,
}

impl Span {
    /// Reads the span into `buf`, which is as long as it.
    pub(crate) fn read(&self, disk: &Disk, buf: &mut [u8]) -> Result<()> {
        self.parts.iter().try_for_each(|part| {
            let start = (part.start - self.start) as usize;
            read_extent(disk, part, &mut buf[start..start + part.len as usize])
        })
    }
}

impl Plan {
    /// A plan of `range` with spans of whole grains, cut at multiples of `largest`, which is a multiple of `grain`.
    pub(crate) fn new(disk: Disk, range: Range<u64>, grain: u64, largest: u64, skip_holes: bool) -> Self {
        let end = range.end.min(disk.size());
        let extents = disk.extents(range);
        if skip_holes {
            Self::over(extents.skip_holes(), end, grain, largest)
        } else {
            Self::over(extents, end, grain, largest)
        }
    }

    /// The same over extents that end at `end`.
    pub(crate) fn over(
        extents: impl Iterator<Item = Result<Extent>> + Send + Sync + 'static,
        end: u64,
        grain: u64,
        largest: u64,
    ) -> Self {
        Self { extents: Box::new(extents), rest: None, grain, largest, end, failed: false }
    }

    /// The next extent or part of one, at most up to `end`.
    fn take(&mut self, end: u64) -> Result<Option<Extent>> {
        let next = self.rest.take().map(Ok).or_else(|| self.extents.next());
        let Some(extent) = next.transpose()? else { return Ok(None) };
        if extent.start >= end {
            self.rest = Some(extent);
            return Ok(None);
        }
        Ok(Some(self.keep_rest(extent, end)))
    }

    /// The part of `extent` before `end`; what lies after it is put back.
    fn keep_rest(&mut self, extent: Extent, end: u64) -> Extent {
        if extent.end() > end {
            self.rest = Some(extent.slice(end - extent.start, u64::MAX));
        }
        extent.slice(0, end - extent.start)
    }

    /// How far a run without bytes reaches that begins in `extent` at or after `from`, in whole grains.
    fn run_end(&self, extent: &Extent) -> u64 {
        if extent.end() == self.end { self.end } else { extent.end() / self.grain * self.grain }
    }

    fn item(&mut self) -> Result<Option<Item>> {
        let Some(first) = self.take(u64::MAX)? else { return Ok(None) };
        let start = first.start;
        if !first.is_data() && self.run_end(&first) > start {
            let run = self.keep_rest(first, self.run_end(&first));
            let absent = run.kind == MappingKind::Absent;
            return Ok(Some(Item::Run(Run { start, len: run.len, absent })));
        }
        self.rest = Some(first);
        let limit = (start / self.largest + 1) * self.largest;
        let mut parts: Vec<Extent> = Vec::new();
        let mut at = start;
        while let Some(part) = self.take(limit)? {
            // A run that covers a whole grain ends the span where that grain begins.
            let grain_start = part.start.next_multiple_of(self.grain);
            let part = if !part.is_data() && grain_start > start && self.run_end(&part) > grain_start {
                if grain_start == part.start {
                    self.put_back(part);
                    break;
                }
                let (head, tail) =
                    (part.slice(0, grain_start - part.start), part.slice(grain_start - part.start, u64::MAX));
                self.put_back(tail);
                parts.push(head);
                at = grain_start;
                break;
            } else {
                part
            };
            at = part.end();
            parts.push(part);
        }
        let len = at - start;
        Ok(Some(if parts.iter().any(Extent::is_data) {
            Item::Span(Span { start, len, parts })
        } else {
            // Parts that are too small by themselves, of which all may be absent.
            let absent = parts.iter().all(|part| part.kind == MappingKind::Absent);
            Item::Run(Run { start, len, absent })
        }))
    }

    /// Puts back a part without bytes, in front of what was put back before.
    fn put_back(&mut self, part: Extent) {
        self.rest = Some(match self.rest.take() {
            // Both are parts of one extent that was cut at the limit.
            Some(rest) => Extent { len: rest.end() - part.start, ..part },
            None => part,
        });
    }
}

impl Iterator for Plan {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.item().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}
