//! The ranges of a disk that a sparse file holds.

use std::ops::Range;

use crate::disk::Disk;
use crate::disk::plan::{Item, Plan};
use crate::error::Result;

/// Bytes of what is told apart: a map of a large disk stays short.
pub(super) const GRAIN: u64 = 64 << 10;
/// What the engine cuts its reading at, so that both find the same.
const CUT: u64 = 1 << 20;

/// The ranges that hold data, in whole grains but for the disk's end; none touches the next.
pub(super) struct Stored {
    plan: Plan,
    next: Option<Range<u64>>,
}

impl Stored {
    pub(super) fn of(disk: &Disk) -> Self {
        Self { plan: Plan::new(disk.clone(), 0..disk.size(), GRAIN, CUT, true), next: None }
    }

    fn advance(&mut self) -> Result<Option<Range<u64>>> {
        let mut range = self.next.take();
        while let Some(item) = self.plan.next().transpose()? {
            let Item::Span(span) = item else { continue };
            match &mut range {
                Some(range) if range.end == span.start => range.end += span.len,
                Some(_) => {
                    self.next = Some(span.start..span.start + span.len);
                    return Ok(range);
                }
                None => range = Some(span.start..span.start + span.len),
            }
        }
        Ok(range)
    }
}

impl Iterator for Stored {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
