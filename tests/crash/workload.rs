//! What is done to an image, step by step, with what its disk may hold after a cut at any moment.

use std::ops::Range;
use std::sync::Arc;

use diskport::storage::{Faults, FaultyStorage, WriteAt};
use diskport::{Child, Error, ErrorClass, Format, Open, WritableDisk};

use crate::bytes::Bytes;
use crate::expected::{Expected, SECTOR, pattern};
use crate::failure::Failure;
use crate::image::{Image, Top, merge, opener, record_parent};
use crate::recorder::{Change, Recorded, Recorder};
use crate::target::child_format;

/// One operation. What lies beyond the disk's end is left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Write(Range<u64>),
    Zero(Range<u64>),
    Discard(Range<u64>),
    Flush,
    /// Makes the disk larger by so many bytes.
    Grow(u64),
    /// Makes the disk smaller by so many bytes, whatever they hold.
    Shrink(u64),
    Compact,
    /// A child, on which the work goes on.
    Child,
    Reopen,
    /// A child goes into its parent, on which the work goes on.
    Merge,
    /// A child is given its parent again.
    Rebase,
}

impl Op {
    /// Whether it is for children alone.
    pub fn needs_parent(&self) -> bool {
        matches!(self, Self::Merge | Self::Rebase)
    }

    /// The operations that workloads consist of, on a disk with blocks of so many bytes, of which the second is free.
    pub fn all(block: u64) -> Vec<Self> {
        vec![
            // A whole block; pages of one; a page of another; bytes that begin and end within sectors; sectors of two blocks.
            Self::Write(block..2 * block),
            Self::Write(block + block / 2..block + block / 2 + 8192),
            Self::Write(4096..8192),
            Self::Write(1636..2336),
            Self::Write(2 * block - 1536..2 * block + 1536),
            Self::Zero(0..block + 8192),
            Self::Discard(block / 2..2 * block),
            Self::Flush,
            Self::Grow(block),
            Self::Shrink(block),
            Self::Compact,
            Self::Child,
            Self::Reopen,
            Self::Merge,
            Self::Rebase,
        ]
    }
}

/// Bytes to which a disk is made smaller at most.
const SMALLEST: u64 = 8192;

/// From which event on what is expected.
#[derive(Clone)]
pub struct Segment {
    pub from: usize,
    pub expected: Expected,
    /// How many files there are.
    files: usize,
    /// The layers of the image that is looked at, the base first.
    chain: Vec<Top>,
    /// Whether the topmost two are being merged.
    pub merging: bool,
}

/// An image at work.
pub struct Work {
    recorder: Recorder,
    names: Vec<String>,
    files: Vec<FaultyStorage<Recorded>>,
    faults: Arc<Faults>,
    chain: Vec<Top>,
    disk: Option<WritableDisk>,
    expected: Expected,
    segments: Vec<Segment>,
    /// Counts the operations that wrote.
    writer: u8,
    refusals: usize,
}

impl Work {
    /// Begins work on a copy of `image`, whose disk holds `content`; `faults` happen on the way.
    pub fn new(image: &Image, content: &Bytes, faults: Arc<Faults>) -> Self {
        // What is written to a raw disk need not be whole sectors.
        let raw = image.top().format == Format::Raw;
        let recorder = if raw { Recorder::by_sectors() } else { Recorder::default() };
        let storage = |bytes: &Bytes| FaultyStorage::with(recorder.add(bytes.clone()), faults.clone());
        let files = image.files.iter().map(|(_, bytes)| storage(bytes)).collect();
        let names = image.files.iter().map(|(name, _)| name.clone()).collect();
        let mut work = Self {
            recorder,
            names,
            files,
            faults,
            chain: image.chain.clone(),
            disk: None,
            expected: Expected::flushed(content.clone()),
            segments: Vec::new(),
            writer: 0,
            refusals: 0,
        };
        work.mark();
        work
    }

    /// What is expected now.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// How many changes of the size were refused.
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// The layer that is written to.
    fn top(&self) -> Top {
        self.chain[self.chain.len() - 1]
    }

    /// The image as it lies now.
    pub fn image(&self) -> Image {
        self.image_of(self.files.iter().map(|file| file.inner().bytes()).collect(), self.last())
    }

    /// The image at the time of `segment`, when the files hold `bytes`.
    pub fn image_of(&self, bytes: Vec<Bytes>, segment: &Segment) -> Image {
        let names = self.names[..segment.files].iter().cloned();
        Image { files: names.zip(bytes).collect(), chain: segment.chain.clone() }
    }

    /// What is expected at a cut now.
    pub fn last(&self) -> &Segment {
        self.segments.last().expect("is marked from the beginning")
    }

    /// After a flush failed, nothing is done any more.
    pub fn check_poisoned(&self) -> Result<(), String> {
        let disk = self.disk();
        let refused = [
            disk.flush(),
            disk.write_at(&[1; 512], 0),
            disk.write_zeroes(0, 512),
            disk.discard(0, 512),
            disk.read_at(&mut [0; 512], 0),
        ];
        let poisoned = |result: &diskport::Result<()>| matches!(result, Err(Error::Poisoned { .. }));
        if refused.iter().all(poisoned) { Ok(()) } else { Err(format!("not poisoned: {refused:?}")) }
    }

    /// After a sync failed on the way, nothing is said to be durable any more.
    pub fn check_flush_refused(&self) -> Result<(), String> {
        match self.disk().flush() {
            Ok(()) => Err("a flush passes after a sync failed".to_owned()),
            Err(_) => Ok(()),
        }
    }

    /// Drops the disk without closing it.
    pub fn drop_disk(&mut self) {
        self.disk = None;
    }

    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// What is expected at a cut before the event `at`.
    pub fn segment(&self, at: usize) -> &Segment {
        let after = self.segments.partition_point(|segment| segment.from <= at);
        &self.segments[after - 1]
    }

    /// The events from `begin` on before which a cut can lead to new states: before each sync, and where the
    /// expectation changes.
    pub fn cuts(&self, begin: usize) -> Vec<usize> {
        let (_, log) = self.recorder.history();
        let syncs = (begin..log.len()).filter(|&at| matches!(log[at].change, Change::Sync));
        let marks = self.segments.iter().map(|segment| segment.from).filter(|&from| from >= begin);
        let mut cuts: Vec<_> = syncs.chain(marks).chain([log.len()]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// Does `op`, and sees that the disk reads as it must and that no parent was written to.
    pub fn perform(&mut self, op: &Op) -> Result<(), Failure> {
        let begin = self.recorder.len();
        let parents = match (op, &self.chain[..]) {
            (Op::Merge, [.., base, _]) => base.own,
            _ => self.top().own,
        };
        let result = self.change(op).map_err(|failure| failure.after(&format!("{op:?}")));
        let (_, log) = self.recorder.history();
        if let Some(event) = log[begin..].iter().find(|event| event.file < parents) {
            return Err(Failure::Wrong(format!("{op:?} wrote to a parent: {event:?}")));
        }
        result?;
        self.check_live().map_err(|failure| failure.after(&format!("{op:?}")))
    }

    fn change(&mut self, op: &Op) -> Result<(), Failure> {
        let size = self.expected.size();
        let within = |range: &Range<u64>| range.start.min(size)..range.end.min(size);
        match op {
            Op::Write(range) => {
                let range = within(range);
                self.writer += 1;
                let data = pattern(self.writer, range.start, (range.end - range.start) as usize);
                self.expected.change(|disk| disk.write(&data, range.start));
                self.mark();
                Ok(self.disk().write_at(&data, range.start)?)
            }
            Op::Zero(range) => {
                let range = within(range);
                self.expected.change(|disk| disk.zero(range.clone()));
                self.mark();
                Ok(self.disk().write_zeroes(range.start, range.end - range.start)?)
            }
            Op::Discard(range) => {
                let range = within(range);
                // Of a raw disk, single bytes can be given up.
                let unit = if self.top().format == Format::Raw { 1 } else { SECTOR };
                let whole = range.start.next_multiple_of(unit)..range.end / unit * unit;
                self.expected.change(|disk| disk.zero(whole));
                self.mark();
                self.disk().discard(range.start, range.end - range.start)?;
                // What was given up reads as it pleases from here on.
                let mut found = vec![0; (range.end - range.start) as usize];
                self.disk().read_at(&mut found, range.start)?;
                self.expected.change(|disk| disk.write(&found, range.start));
                self.expected.check_last().map_err(Failure::Wrong)?;
                self.mark();
                Ok(())
            }
            Op::Flush => {
                self.disk().flush()?;
                self.flushed();
                Ok(())
            }
            Op::Grow(by) => {
                let before = self.expected.clone();
                self.expected.change(|disk| disk.set_size(size + by));
                self.end(|disk| disk.resize(size + by, false).map(drop))
                    .or_else(|failure| self.refused(before, failure))
            }
            Op::Shrink(by) => {
                let before = self.expected.clone();
                let less = size.saturating_sub(*by).max(SMALLEST).min(size);
                self.expected.change(|disk| disk.zero(less..size));
                self.expected.change(|disk| disk.set_size(less));
                self.end(|disk| disk.resize(less, true).map(drop))
                    .or_else(|failure| self.refused(before, failure))
            }
            Op::Compact => self.end(|disk| disk.compact().map(drop)),
            Op::Reopen => self.end(WritableDisk::close),
            Op::Child => {
                self.take().close()?;
                self.flushed();
                let parent = self.top();
                let disk = self.opener().open(self.files[parent.main].clone())?;
                let file = self.recorder.add(Bytes::default());
                let storage = FaultyStorage::with(file.clone(), self.faults.clone());
                Child::of(&disk).parent_name(&self.names[parent.main]).create(storage.clone())?;
                // As when a file is published; only now does it get its name.
                storage.sync().map_err(|error| Error::Io {
                    operation: "sync",
                    file: String::new(),
                    error,
                })?;
                let format = child_format(parent.format);
                self.chain.push(Top { main: file.index(), own: file.index(), format });
                self.names.push(format!("child-{}", file.index()));
                self.files.push(storage);
                self.mark();
                self.open_top()
            }
            Op::Merge | Op::Rebase if self.chain.len() < 2 => Ok(()),
            Op::Merge => {
                let base = self.chain[self.chain.len() - 2];
                let base_size = self.layer(base).open(self.files[base.main].clone())?.size();
                if base_size < size {
                    // It would have to grow first.
                    return Ok(());
                }
                self.take().close()?;
                self.flushed();
                self.segment_now().merging = true;
                merge(&self.names, &self.files, &self.chain)?;
                self.mark();
                self.expected.check(&self.opener().open(self.files[self.top().main].clone())?)?;
                // A larger base does not read as the child by itself; a raw one is another target.
                if base_size == size && base.format != Format::Raw {
                    self.chain.pop();
                    self.mark();
                }
                self.open_top()
            }
            Op::Rebase => {
                self.take().close()?;
                self.flushed();
                record_parent(&self.names, &self.files, &self.chain)?;
                self.mark();
                self.open_top()
            }
        }
    }

    /// Does what closes the disk, and opens it again.
    fn end(&mut self, last: impl FnOnce(WritableDisk) -> diskport::Result<()>) -> Result<(), Failure> {
        self.mark();
        last(self.take())?;
        self.flushed();
        self.open_top()
    }

    /// A size that an image cannot have is refused, and nothing has changed.
    fn refused(&mut self, before: Expected, failure: Failure) -> Result<(), Failure> {
        match failure {
            Failure::Said(error) if matches!(error.class(), ErrorClass::Precondition | ErrorClass::Usage) => {
                self.expected = before;
                self.refusals += 1;
                self.mark();
                self.open_top()
            }
            other => Err(other),
        }
    }

    fn check_live(&self) -> Result<(), Failure> {
        let disk = self.disk();
        if disk.size() != self.expected.size() {
            let sizes = format!("the size is {}, expected {}", disk.size(), self.expected.size());
            return Err(Failure::Wrong(sizes));
        }
        let mut piece = vec![0; 64 << 10];
        for start in (0..disk.size()).step_by(piece.len()) {
            let len = (disk.size() - start).min(piece.len() as u64) as usize;
            disk.read_at(&mut piece[..len], start).map_err(Failure::Unread)?;
            self.expected.check_now(&piece[..len], start).map_err(Failure::Wrong)?;
        }
        Ok(())
    }

    fn flushed(&mut self) {
        self.expected.flush();
        self.mark();
    }

    fn mark(&mut self) {
        let (from, expected) = (self.recorder.len(), self.expected.clone());
        let (files, chain) = (self.names.len(), self.chain.clone());
        self.segments.push(Segment { from, expected, files, chain, merging: false });
    }

    /// Opens the image for writing.
    pub fn open_top(&mut self) -> Result<(), Failure> {
        self.disk = Some(self.opener().open_writable(self.files[self.top().main].clone())?);
        Ok(())
    }

    fn opener(&self) -> Open {
        self.layer(self.top())
    }

    fn layer(&self, layer: Top) -> Open {
        opener(self.names.iter().map(String::as_str).zip(&self.files), layer)
    }

    fn segment_now(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("is marked from the beginning")
    }

    fn disk(&self) -> &WritableDisk {
        self.disk.as_ref().expect("is open between operations")
    }

    fn take(&mut self) -> WritableDisk {
        self.disk.take().expect("is open between operations")
    }
}
