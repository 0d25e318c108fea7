//! A storage that remembers, in one order over several files, everything that was done to them.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diskport::storage::{ReadAt, WriteAt};

use crate::bytes::{Bytes, Memory};

/// One thing that was done to one file.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts the recorder's files.
    pub file: usize,
    pub change: Change,
}

#[derive(Clone)]
pub enum Change {
    Write { offset: u64, data: Arc<[u8]> },
    PunchHole(Range<u64>),
    SetSize(u64),
    Sync,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Write { offset, data } => write!(f, "write {} at {offset:#x}", data.len()),
            Change::PunchHole(range) => write!(f, "punch {:#x}..{:#x}", range.start, range.end),
            Change::SetSize(size) => write!(f, "set size {size:#x}"),
            Change::Sync => f.write_str("sync"),
        }
    }
}

/// Files in memory, and the log of what was done to them. A clone is the same recorder.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// As they were when they were added, and as they are now.
    files: Vec<(Bytes, Memory)>,
    log: Vec<Event>,
    by_sectors: bool,
}

impl Inner {
    /// A write as it goes into the log.
    fn logged(&self, memory: &Memory, data: &[u8], offset: u64) -> (u64, Arc<[u8]>) {
        if !self.by_sectors {
            return (offset, data.into());
        }
        let (start, end) = (offset / 512 * 512, (offset + data.len() as u64).next_multiple_of(512));
        let mut sectors = vec![0; (end - start) as usize];
        let len = memory.bytes().read(&mut sectors, start);
        (start, sectors[..len].into())
    }
}

impl Recorder {
    /// A recorder that logs whole sectors, as they are after a write: what a system that caches a file hands to
    /// the device. Otherwise each write is durable by itself, though two write to one sector.
    pub fn by_sectors() -> Self {
        Self(Arc::new(Mutex::new(Inner { by_sectors: true, ..Inner::default() })))
    }

    /// Adds a file that holds `bytes`, durably.
    pub fn add(&self, bytes: Bytes) -> Recorded {
        let memory = Memory::new(bytes.clone());
        let mut inner = self.lock();
        inner.files.push((bytes, memory.clone()));
        Recorded { recorder: self.clone(), file: inner.files.len() - 1, memory }
    }

    /// How many events there were so far.
    pub fn len(&self) -> usize {
        self.lock().log.len()
    }

    /// The files as they were when they were added, and all events since.
    pub fn history(&self) -> (Vec<Bytes>, Vec<Event>) {
        let inner = self.lock();
        (inner.files.iter().map(|(before, _)| before.clone()).collect(), inner.log.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One file of a [`Recorder`]. A clone is the same file.
#[derive(Clone)]
pub struct Recorded {
    recorder: Recorder,
    file: usize,
    memory: Memory,
}

impl Recorded {
    /// Counts the recorder's files.
    pub fn index(&self) -> usize {
        self.file
    }

    /// What it holds now.
    pub fn bytes(&self) -> Bytes {
        self.memory.bytes()
    }

    fn log(&self, change: Change) {
        self.recorder.lock().log.push(Event { file: self.file, change });
    }
}

impl ReadAt for Recorded {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.memory.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.memory.size()
    }
}

impl WriteAt for Recorded {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.memory.write_all_at(data, offset)?;
        let (offset, data) = self.recorder.lock().logged(&self.memory, data, offset);
        self.log(Change::Write { offset, data });
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.log(Change::SetSize(size));
        self.memory.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.log(Change::Sync);
        Ok(())
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.log(Change::PunchHole(range.clone()));
        self.memory.punch_hole(range)
    }
}
