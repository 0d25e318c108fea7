//! What is done to an image, step by step, with what its disk may hold after a cut at any moment.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use diskport::storage::{Faults, FaultyStorage, WriteAt};
use diskport::{Child, Error, Format, Open, WritableDisk};

use crate::bytes::Bytes;
use crate::expected::{Expected, SECTOR, pattern};
use crate::image::{Image, Top, opener};
use crate::recorder::{Change, Recorded, Recorder};

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
}

impl Op {
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
        ]
    }
}

/// Bytes to which a disk is made smaller at most.
const SMALLEST: u64 = 8192;

/// Why an operation did not pass.
#[derive(Debug)]
pub enum Failure {
    /// It said so itself.
    Said(Error),
    /// It passed, and the disk could not be read afterwards.
    Unread(Error),
    /// It passed, and did something wrong.
    Wrong(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Said(error)
    }
}

impl Failure {
    fn after(self, op: &Op) -> Self {
        match self {
            Self::Wrong(what) => Self::Wrong(format!("after {op:?}: {what}")),
            said => said,
        }
    }

    /// The error that a failing storage leads to; anything else is a failure of the test.
    pub fn storage_error(self) -> Result<Error, String> {
        match self {
            Self::Said(error @ Error::Io { .. }) | Self::Unread(error @ Error::Io { .. }) => Ok(error),
            other => Err(format!("not an input or output error: {other}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(error) | Self::Unread(error) => write!(f, "{error}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.to_string()
    }
}

/// From which event on what is expected.
#[derive(Clone)]
pub struct Segment {
    pub from: usize,
    pub expected: Expected,
    /// Which image is looked at.
    pub top: Top,
}

/// An image at work.
pub struct Work {
    recorder: Recorder,
    names: Vec<String>,
    files: Vec<FaultyStorage<Recorded>>,
    faults: Arc<Faults>,
    top: Top,
    disk: Option<WritableDisk>,
    expected: Expected,
    segments: Vec<Segment>,
    /// Counts the operations that wrote.
    writer: u8,
}

impl Work {
    /// Begins work on a copy of `image`, whose disk holds `content`; `faults` happen on the way.
    pub fn new(image: &Image, content: &Bytes, faults: Arc<Faults>) -> Self {
        // What is written to a raw disk need not be whole sectors.
        let raw = image.top.format == Some(Format::Raw);
        let recorder = if raw { Recorder::by_sectors() } else { Recorder::default() };
        let storage = |bytes: &Bytes| FaultyStorage::with(recorder.add(bytes.clone()), faults.clone());
        let files = image.files.iter().map(|(_, bytes)| storage(bytes)).collect();
        let names = image.files.iter().map(|(name, _)| name.clone()).collect();
        let mut work = Self {
            recorder,
            names,
            files,
            faults,
            top: image.top,
            disk: None,
            expected: Expected::flushed(content.clone()),
            segments: Vec::new(),
            writer: 0,
        };
        work.mark();
        work
    }

    /// What is expected now.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Which image is worked on.
    pub fn top(&self) -> Top {
        self.top
    }

    /// The image as it lies now.
    pub fn image(&self) -> Image {
        let bytes = self.files.iter().map(|file| file.inner().bytes()).collect();
        self.image_of(bytes, self.top)
    }

    /// The image `top` when the files hold `bytes`.
    pub fn image_of(&self, bytes: Vec<Bytes>, top: Top) -> Image {
        Image { files: self.names.iter().cloned().zip(bytes).collect(), top }
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
        let parents = self.top.own;
        let result = self.change(op).map_err(|failure| failure.after(op));
        let (_, log) = self.recorder.history();
        if let Some(event) = log[begin..].iter().find(|event| event.file < parents) {
            return Err(Failure::Wrong(format!("{op:?} wrote to a parent: {event:?}")));
        }
        result?;
        self.check_live().map_err(|failure| failure.after(op))
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
                let whole = range.start.next_multiple_of(SECTOR)..range.end / SECTOR * SECTOR;
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
                self.expected.change(|disk| disk.set_size(size + by));
                self.end(|disk| disk.resize(size + by, false))
            }
            Op::Shrink(by) => {
                let less = size.saturating_sub(*by).max(SMALLEST);
                self.expected.change(|disk| disk.zero(less..size));
                self.expected.change(|disk| disk.set_size(less));
                self.end(|disk| disk.resize(less, true))
            }
            Op::Compact => self.end(|disk| disk.compact().map(drop)),
            Op::Reopen => self.end(WritableDisk::close),
            Op::Child => {
                self.take().close()?;
                self.flushed();
                let parent = self.opener().open(self.files[self.top.main].clone())?;
                let file = self.recorder.add(Bytes::default());
                let storage = FaultyStorage::with(file.clone(), self.faults.clone());
                Child::of(&parent).write_storage(Arc::new(storage.clone()), &self.names[self.top.main])?;
                // As when a file is published; only now does it get its name.
                storage.sync().map_err(|source| Error::Io {
                    operation: "sync",
                    file: String::new(),
                    source,
                })?;
                self.top = Top { main: file.index(), own: file.index(), format: None };
                self.names.push(format!("child-{}", file.index()));
                self.files.push(storage);
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
        self.segments.push(Segment { from, expected, top: self.top });
    }

    /// Opens the image for writing.
    pub fn open_top(&mut self) -> Result<(), Failure> {
        self.disk = Some(self.opener().open_writable_storage(self.files[self.top.main].clone())?);
        Ok(())
    }

    fn opener(&self) -> Open {
        opener(self.names.iter().map(String::as_str).zip(&self.files), self.top)
    }

    fn disk(&self) -> &WritableDisk {
        self.disk.as_ref().expect("is open between operations")
    }

    fn take(&mut self) -> WritableDisk {
        self.disk.take().expect("is open between operations")
    }
}
