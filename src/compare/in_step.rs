//! Two disks in step: what is to be read of both for the same range.

use std::collections::VecDeque;

use crate::disk::Disk;
use crate::disk::ahead::Ahead;
use crate::disk::plan::{Item, Plan, Span};
use crate::error::Result;
use crate::job::Cancel;

/// Spans are cut at multiples of this, so that a range of both disks stays in a core's cache.
const CUT: u64 = 256 << 10;
/// Runs of zeros of this many bytes are not read.
const GRAIN: u64 = 4096;
/// Bytes of both disks in a window, about.
const BYTES: u64 = 2 * CUT;
/// Spans of a window at most, but for its last cut.
const SPANS: usize = 256;
/// How far ahead of reading the storage is told what is to come.
const HORIZON: u64 = 16 << 20;

/// A range of two disks, with what each holds there; all else of it is zeros.
#[derive(Default)]
pub(super) struct Window {
    pub(super) left: Vec<Span>,
    pub(super) right: Vec<Span>,
    pub(super) bytes: u64,
    /// The first byte behind the range.
    pub(super) end: u64,
}

/// The windows of two disks, in order, as far as both reach. Where both are zeros there are none.
pub(super) struct Windows {
    left: Side,
    right: Side,
    ahead: VecDeque<Window>,
    bytes_ahead: u64,
}

impl Windows {
    pub(super) fn new(left: &Disk, right: &Disk) -> Self {
        let end = left.size().min(right.size());
        let (left, right) = (Side::new(left, end), Side::new(right, end));
        Self { left, right, ahead: VecDeque::new(), bytes_ahead: 0 }
    }

    /// The next window, announced to the storage some while ago.
    pub(super) fn next(&mut self, cancel: &Cancel) -> Result<Option<Window>> {
        while self.bytes_ahead < HORIZON {
            let window = self.plan(cancel)?;
            if window.bytes == 0 {
                break;
            }
            self.bytes_ahead += window.bytes;
            self.ahead.push_back(window);
        }
        let window = self.ahead.pop_front();
        self.bytes_ahead -= window.as_ref().map_or(0, |window| window.bytes);
        Ok(window)
    }

    fn plan(&mut self, cancel: &Cancel) -> Result<Window> {
        let mut window = Window::default();
        while window.bytes < BYTES && window.left.len() + window.right.len() < SPANS {
            let (left, right) = (self.left.start(cancel)?, self.right.start(cancel)?);
            let Some(start) = [left, right].into_iter().flatten().min() else { break };
            window.end = (start / CUT + 1) * CUT;
            for (side, spans) in [(&mut self.left, &mut window.left), (&mut self.right, &mut window.right)] {
                while side.start(cancel)?.is_some_and(|start| start < window.end) {
                    window.bytes += side.take(spans);
                }
            }
        }
        self.left.storage.flush();
        self.right.storage.flush();
        Ok(window)
    }
}

/// One of the two disks.
struct Side {
    plan: Plan,
    next: Option<Span>,
    storage: Ahead,
}

impl Side {
    fn new(disk: &Disk, end: u64) -> Self {
        let plan = Plan::new(disk.clone(), 0..end, GRAIN, CUT, true);
        Self { plan, next: None, storage: Ahead::new(disk) }
    }

    /// Where the next span begins.
    fn start(&mut self, cancel: &Cancel) -> Result<Option<u64>> {
        while self.next.is_none() {
            cancel.check()?;
            match self.plan.next().transpose()? {
                Some(Item::Span(span)) => self.next = Some(span),
                Some(Item::Run(_)) => {}
                None => return Ok(None),
            }
        }
        Ok(self.next.as_ref().map(|span| span.start))
    }

    /// Moves the next span to the others of a window, and returns its length.
    fn take(&mut self, spans: &mut Vec<Span>) -> u64 {
        let Some(span) = self.next.take() else { return 0 };
        span.parts.iter().for_each(|part| self.storage.announce(part));
        let len = span.len;
        spans.push(span);
        len
    }
}
