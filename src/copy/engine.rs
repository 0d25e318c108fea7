//! The engine: a plan of what there is to copy, workers that read and prepare it, and a sink that takes it in order.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::encode::{Batch, Encoded, Encoder};
use super::reflink::Reflink;
use crate::disk::Disk;
use crate::disk::ahead::Ahead;
use crate::disk::pipeline::Pipeline;
use crate::disk::plan::{Item, Plan};
use crate::error::Result;
use crate::job::{Cancel, Job, Phase};
use crate::sink::{Packet, Sink, Watcher};

/// Bytes of a batch, about: large enough that system calls cost nothing beside the copying.
const BATCH: u64 = 1 << 20;
/// Spans of a batch at most.
const SPANS: usize = 256;
/// How far ahead of reading the storage is told what is to come.
const HORIZON: u64 = 16 << 20;

/// What a copy did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Bytes that were handed to the sink: payload, compressed where it compresses.
    pub(super) written: u64,
    /// Bytes that were read from the source, zeros among data included.
    pub(super) read: u64,
    /// Bytes that source and output share.
    pub(super) shared: u64,
}

/// Someone who keeps account of what the sink has taken.
pub(super) trait Recorder {
    /// The sink has taken `packet`, and with it all data before `position`.
    fn took(&mut self, packet: &Packet, position: u64) -> Result<()>;
}

/// How a copy is run.
pub(super) struct Run<'a> {
    /// Whether zeros among data are left out.
    pub(super) detect_zeros: bool,
    /// Threads that read and prepare data.
    pub(super) threads: usize,
    pub(super) job: &'a Job,
    pub(super) watchers: Vec<Watcher>,
    /// The bytes of the disk that are copied: what comes before them is in the sink.
    pub(super) range: Range<u64>,
    pub(super) recorder: Option<&'a mut dyn Recorder>,
}

/// Copies the content of `disk` into `sink`.
pub(super) fn run(disk: &Disk, sink: &mut dyn Sink, run: Run<'_>) -> Result<Counts> {
    let Run { detect_zeros, threads, job, watchers, range, mut recorder } = run;
    // What was learnt of it when it was opened no longer holds.
    disk.check_unchanged()?;
    job.begin_at(Phase::Copy, range.end, range.start);
    let mut throttle = job.throttle();
    let encoding = sink.encoding();
    let encoder = Encoder::new(disk.clone(), encoding, detect_zeros, !watchers.is_empty());
    // Who wants to see the data has them read.
    let is_seen = !watchers.is_empty() || recorder.is_some();
    let places = if is_seen { Vec::new() } else { sink.places() };
    let shared = Arc::new(AtomicU64::new(0));
    let extents = Reflink::new(disk, disk.extents(range.clone()).skip_holes(), places, shared.clone());
    let grain = encoding.grain();
    let size = (BATCH.min(throttle.piece()) / grain * grain).max(grain);
    let mut batches = Batches::new(disk, Plan::over(extents, range.end, grain, size), size);
    let mut pipeline = Pipeline::new(threads, move |batch: Batch| {
        let end = batch.spans.last().map_or(0, |span| span.start + span.len);
        encoder.encode(&batch).map(|encoded| (encoded, end))
    });
    let mut counts = Counts::default();
    loop {
        job.check()?;
        while pipeline.pending() <= threads {
            match batches.next(job.token())? {
                Some(batch) => {
                    throttle.pass(batch.bytes, job.token())?;
                    counts.read += batch.bytes;
                    pipeline.push(batch);
                }
                None => break,
            }
        }
        let Some(result) = pipeline.pop() else { break };
        let (Encoded { packet, plain }, end) = result?;
        show(&watchers, plain);
        counts.written += packet.pieces.iter().map(|piece| piece.len as u64).sum::<u64>();
        sink.write(&packet)?;
        if let Some(recorder) = &mut recorder {
            recorder.took(&packet, end)?;
        }
        job.set_done(end);
    }
    show(&watchers, None);
    // What comes last makes the output whole.
    disk.check_unchanged()?;
    sink.finish()?;
    job.set_done(range.end);
    counts.shared = shared.load(Ordering::Relaxed);
    Ok(counts)
}

/// A watcher that went away says itself why.
fn show(watchers: &[Watcher], packet: Option<Arc<Packet>>) {
    for watcher in watchers {
        let _ = watcher.send(packet.clone());
    }
}

/// The spans of a plan in batches, announced to the storage before they are read.
struct Batches {
    /// Bytes of a batch, about.
    size: u64,
    plan: Plan,
    /// Planned and announced.
    ahead: VecDeque<Batch>,
    bytes_ahead: u64,
    storage: Ahead,
    ended: bool,
}

impl Batches {
    /// Batches of `size` bytes, about.
    fn new(disk: &Disk, plan: Plan, size: u64) -> Self {
        Self { size, plan, ahead: VecDeque::new(), bytes_ahead: 0, storage: Ahead::new(disk), ended: false }
    }

    fn next(&mut self, cancel: &Cancel) -> Result<Option<Batch>> {
        while !self.ended && self.bytes_ahead < HORIZON {
            self.plan_one(cancel)?;
        }
        let batch = self.ahead.pop_front();
        self.bytes_ahead -= batch.as_ref().map_or(0, |batch| batch.bytes);
        Ok(batch)
    }

    /// Plans one more batch.
    fn plan_one(&mut self, cancel: &Cancel) -> Result<()> {
        let mut batch = Batch::default();
        while batch.bytes < self.size && batch.spans.len() < SPANS {
            cancel.check()?;
            match self.plan.next().transpose()? {
                Some(Item::Span(span)) => {
                    span.parts.iter().for_each(|part| self.storage.announce(part));
                    batch.bytes += span.len;
                    batch.spans.push(span);
                }
                Some(Item::Run(_)) => {}
                None => {
                    self.ended = true;
                    break;
                }
            }
        }
        self.storage.flush();
        self.bytes_ahead += batch.bytes;
        if !batch.spans.is_empty() {
            self.ahead.push_back(batch);
        }
        Ok(())
    }
}
