//! Where two disks differ first.

use std::sync::Arc;

use super::in_step::{Window, Windows};
use crate::disk::pipeline::Pipeline;
use crate::disk::plan::Span;
use crate::disk::{Buffer, Disk, Pool};
use crate::error::Result;
use crate::job::{Job, Phase};
use crate::leaves::is_zero;

/// Where two disks differ first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The first byte that differs, or the size of the smaller disk when it is where the other goes on.
    pub offset: u64,
    /// Whether one disk ends there.
    pub is_end: bool,
}

/// The first difference between the contents of two disks, of any two formats; `None` when they are equal.
///
/// What both know to be zeros is not read. All cores read and compare.
///
/// # Errors
///
/// [`crate::Error::SourceChanged`], [`crate::Error::Cancelled`], and all that reading gives rise to.
pub fn compare(a: &Disk, b: &Disk, job: &Job) -> Result<Option<Difference>> {
    let (a, b) = (a.clone(), b.clone());
    job.attend(move |job| compare_as(Phase::Compare, &a, &b, job))
}

/// The same, as a phase of some operation.
pub(crate) fn compare_as(phase: Phase, a: &Disk, b: &Disk, job: &Job) -> Result<Option<Difference>> {
    let difference = difference(phase, a, b, job)?;
    // One that was written to meanwhile differs by that alone.
    [a, b].into_iter().try_for_each(Disk::check_unchanged)?;
    Ok(difference)
}

fn difference(phase: Phase, a: &Disk, b: &Disk, job: &Job) -> Result<Option<Difference>> {
    let size = a.size().max(b.size());
    job.begin(phase, size);
    let mut throttle = job.throttle();
    let mut windows = Windows::new(a, b);
    let comparer = Comparer { left: a.clone(), right: b.clone(), buffers: Arc::default() };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut pipeline = Pipeline::new(threads, move |window: Window| {
        comparer.first_difference(&window).map(|difference| (difference, window.end))
    });
    loop {
        job.check()?;
        while pipeline.pending() <= threads {
            match windows.next(job.token())? {
                Some(window) => {
                    throttle.pass(window.bytes, job.token())?;
                    pipeline.push(window);
                }
                None => break,
            }
        }
        let Some(result) = pipeline.pop() else { break };
        let (difference, end) = result?;
        if let Some(offset) = difference {
            return Ok(Some(Difference { offset, is_end: false }));
        }
        job.set_done(end.min(size));
    }
    job.set_done(size);
    Ok((a.size() != b.size()).then(|| Difference { offset: a.size().min(b.size()), is_end: true }))
}

/// Reads windows of two disks and compares them, on any number of threads at once.
struct Comparer {
    left: Disk,
    right: Disk,
    buffers: Arc<Pool>,
}

impl Comparer {
    fn first_difference(&self, window: &Window) -> Result<Option<u64>> {
        let left = self.read(&self.left, &window.left)?;
        let right = self.read(&self.right, &window.right)?;
        let (mut left, mut right) = (Data::new(&window.left, &left), Data::new(&window.right, &right));
        loop {
            let (x, y) = (left.at(), right.at());
            let Some(at) = [x, y].into_iter().flatten().min() else { return Ok(None) };
            let difference = if x == y {
                let len = left.len().min(right.len());
                first_difference(left.take(len), right.take(len))
            } else if x == Some(at) {
                first_nonzero(left.take_to(y))
            } else {
                first_nonzero(right.take_to(x))
            };
            if let Some(index) = difference {
                return Ok(Some(at + index as u64));
            }
        }
    }

    /// The bytes of the spans, one behind the other.
    fn read(&self, disk: &Disk, spans: &[Span]) -> Result<Buffer> {
        let len: u64 = spans.iter().map(|span| span.len).sum();
        let mut buffer = self.buffers.take(len as usize);
        let mut rest = &mut buffer[..];
        for span in spans {
            let (bytes, later) = rest.split_at_mut(span.len as usize);
            span.read(disk, bytes)?;
            rest = later;
        }
        Ok(buffer)
    }
}

/// What of a window's data is still to be compared, of one disk.
struct Data<'a> {
    spans: &'a [Span],
    bytes: &'a [u8],
    /// Bytes of the first span that are done.
    done: u64,
}

impl<'a> Data<'a> {
    fn new(spans: &'a [Span], bytes: &'a [u8]) -> Self {
        Self { spans, bytes, done: 0 }
    }

    /// Where the next bytes belong.
    fn at(&self) -> Option<u64> {
        self.spans.first().map(|span| span.start + self.done)
    }

    /// How many bytes follow each other there.
    fn len(&self) -> u64 {
        self.spans.first().map_or(0, |span| span.len - self.done)
    }

    fn take(&mut self, len: u64) -> &'a [u8] {
        let (bytes, later) = self.bytes.split_at(len as usize);
        self.bytes = later;
        self.done += len;
        if self.len() == 0 {
            self.spans = self.spans.get(1..).unwrap_or_default();
            self.done = 0;
        }
        bytes
    }

    /// The next bytes, which end before `end` at the latest.
    fn take_to(&mut self, end: Option<u64>) -> &'a [u8] {
        let room = end.zip(self.at()).map_or(u64::MAX, |(end, at)| end - at);
        self.take(self.len().min(room))
    }
}

fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    if is_zero(bytes) { None } else { bytes.iter().position(|&byte| byte != 0) }
}

fn first_difference(x: &[u8], y: &[u8]) -> Option<usize> {
    if x == y { None } else { x.iter().zip(y).position(|(x, y)| x != y) }
}
