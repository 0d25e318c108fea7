//! What differs between two disks, as a stream of blocks.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::pipeline::Pipeline;
use crate::disk::{Block, Buffer, Data, Disk, MayDiffer, Pool, WritableDisk};
use crate::error::Result;
use crate::job::{Job, Phase, Throttle};
use crate::leaves::is_zero;

/// Bytes of each disk that are compared at a time.
const PIECE: u64 = 1 << 20;
/// What is told apart, unless [`Differences::grain`] says otherwise.
const GRAIN: u64 = 4096;

/// The blocks of a disk that differ from those of another one, in order: an iterator.
///
/// What the maps of both show to be equal is not read: zeros on both sides, and what both take from the same place of the
/// same file, as two children of one parent do. The smaller disk is taken to go on with zeros.
///
/// ```
/// use diskport::compare::Differences;
/// use diskport::disk::Patch;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let old = diskport::open(image)?;
/// let new = old.patched(old.size(), vec![Patch { offset: 8192, bytes: vec![7; 100] }])?;
/// let changed: Vec<_> = Differences::between(&old, &new).collect::<Result<_, _>>()?;
/// assert_eq!((changed[0].offset, changed[0].len()), (8192, 4096));
/// assert_eq!(changed.len(), 1);
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// [`crate::Error::Cancelled`], and all that reading gives rise to; nothing follows them.
pub struct Differences {
    plan: MayDiffer,
    /// What is left of the range that the plan gave last.
    range: Range<u64>,
    work: Arc<Work>,
    pipeline: Option<Pipeline<Range<u64>, Result<Compared>>>,
    threads: usize,
    /// Found, in reverse order.
    found: Vec<Block>,
    size: u64,
    phase: Phase,
    job: Job,
    throttle: Throttle,
    failed: bool,
}

/// What the worker threads share.
struct Work {
    old: Old,
    new: Disk,
    grain: u64,
    buffers: Arc<Pool>,
}

/// The disk that is compared with.
enum Old {
    Disk(Disk),
    /// It is written to meanwhile.
    Writable(Arc<WritableDisk>),
}

/// A range that was compared.
struct Compared {
    end: u64,
    changes: Vec<Block>,
}

impl Differences {
    /// The blocks of `new` that differ from those of `old`.
    pub fn between(old: &Disk, new: &Disk) -> Self {
        Self::begin(old, Old::Disk(old.clone()), new)
    }

    /// The blocks of `new` that differ from those of `old`, which is written to meanwhile, behind what was yielded.
    pub(crate) fn behind(old: &Arc<WritableDisk>, new: &Disk) -> Self {
        Self { phase: Phase::Update, ..Self::begin(old.disk(), Old::Writable(old.clone()), new) }
    }

    fn begin(map: &Disk, old: Old, new: &Disk) -> Self {
        let size = map.size().max(new.size());
        Self {
            plan: MayDiffer::new(map, new, size),
            range: 0..0,
            work: Arc::new(Work { old, new: new.clone(), grain: GRAIN, buffers: Arc::default() }),
            pipeline: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            found: Vec::new(),
            size,
            phase: Phase::Compare,
            job: Job::new(),
            throttle: Job::new().throttle(),
            failed: false,
        }
    }

    /// Tells blocks of `grain` bytes apart, which is a power of two from 512 bytes to 1 MiB; 4096 by default. All of a block
    /// is yielded when any byte of it differs.
    pub fn grain(mut self, grain: u64) -> Self {
        let grain = grain.clamp(512, PIECE).next_power_of_two();
        if let Some(work) = Arc::get_mut(&mut self.work) {
            work.grain = grain;
        }
        self
    }

    /// How many threads read and compare; as many as there are cores by default. With 0 the caller's thread does.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: threads.min(256), ..self }
    }

    /// How far the comparison has come, what stops it, and how fast it may go.
    pub fn job(self, job: &Job) -> Self {
        job.begin(self.phase, self.size);
        Self { job: job.clone(), throttle: job.throttle(), ..self }
    }

    /// The next piece to compare: whole grains, but for the disk's end.
    fn piece(&mut self) -> Result<Option<Range<u64>>> {
        let grain = self.work.grain;
        while self.range.is_empty() {
            self.job.check()?;
            let Some((range, differs)) = self.plan.next().transpose()? else { return Ok(None) };
            if !differs {
                continue;
            }
            // Grains that an earlier range had a part of were compared with it.
            let start = (range.start / grain * grain).max(self.range.end);
            let end = range.end.next_multiple_of(grain).min(self.size);
            if start < end {
                self.range = start..end;
            }
        }
        let start = self.range.start;
        self.range.start = (start / PIECE * PIECE + PIECE).min(self.range.end);
        Ok(Some(start..self.range.start))
    }

    fn advance(&mut self) -> Result<Option<Block>> {
        loop {
            if let Some(block) = self.found.pop() {
                return Ok(Some(block));
            }
            self.job.check()?;
            while self.pipeline.as_ref().map_or(0, Pipeline::pending) <= self.threads {
                let Some(piece) = self.piece()? else { break };
                self.throttle.pass(piece.end - piece.start, self.job.token())?;
                let (work, threads) = (&self.work, self.threads);
                let start = || {
                    let work = work.clone();
                    Pipeline::new(threads, move |piece| work.compare(piece))
                };
                self.pipeline.get_or_insert_with(start).push(piece);
            }
            let Some(compared) = self.pipeline.as_mut().and_then(Pipeline::pop) else {
                self.work.check_unchanged()?;
                self.job.set_done(self.size);
                return Ok(None);
            };
            let Compared { end, changes } = compared?;
            self.job.set_done(end);
            self.found = changes;
            self.found.reverse();
        }
    }
}

impl Iterator for Differences {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.advance().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

impl Work {
    /// Refuses when a disk was written to meanwhile, but for one of which that is known.
    fn check_unchanged(&self) -> Result<()> {
        if let Old::Disk(old) = &self.old {
            old.check_unchanged()?;
        }
        self.new.check_unchanged()
    }

    fn compare(&self, piece: Range<u64>) -> Result<Compared> {
        let len = (piece.end - piece.start) as usize;
        let (mut old, mut new) = (self.buffers.take(len), self.buffers.take(len));
        match &self.old {
            Old::Disk(disk) => read(&mut old, piece.start, disk.size(), |buf, at| disk.read_at(buf, at))?,
            Old::Writable(disk) => {
                read(&mut old, piece.start, disk.size(), |buf, at| disk.read_at(buf, at))?;
            }
        }
        read(&mut new, piece.start, self.new.size(), |buf, at| self.new.read_at(buf, at))?;
        let mut changes = Vec::new();
        if *old != *new {
            self.changes(&old, &new, piece.start, &mut changes);
        }
        Ok(Compared { end: piece.end, changes })
    }

    /// The runs of grains that differ, of one kind each: bytes or zeros.
    fn changes(&self, old: &[u8], new: &[u8], start: u64, changes: &mut Vec<Block>) {
        let grain = self.grain as usize;
        let mut run: Option<(Range<usize>, bool)> = None;
        let mut end_run = |run: &mut Option<(Range<usize>, bool)>| {
            if let Some((range, zeros)) = run.take() {
                let data = match zeros {
                    true => Data::Zero(range.len() as u64),
                    false => Data::Bytes(Buffer::new(new[range.clone()].to_vec())),
                };
                changes.push(Block { offset: start + range.start as u64, data });
            }
        };
        for (index, (x, y)) in old.chunks(grain).zip(new.chunks(grain)).enumerate() {
            let at = index * grain;
            if x == y {
                end_run(&mut run);
                continue;
            }
            let zeros = is_zero(y);
            match &mut run {
                Some((range, kind)) if *kind == zeros => range.end = at + y.len(),
                _ => {
                    end_run(&mut run);
                    run = Some((at..at + y.len(), zeros));
                }
            }
        }
        end_run(&mut run);
    }
}

/// Fills `buf` from `start` on as far as a disk of `size` bytes reaches; the rest is zeros.
fn read(
    buf: &mut [u8],
    start: u64,
    size: u64,
    read_at: impl FnOnce(&mut [u8], u64) -> Result<()>,
) -> Result<()> {
    let len = size.saturating_sub(start).min(buf.len() as u64) as usize;
    let (inside, beyond) = buf.split_at_mut(len);
    beyond.fill(0);
    if len > 0 { read_at(inside, start) } else { Ok(()) }
}
