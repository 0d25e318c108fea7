//! Files that are repaired, which the job can stop at any call.
//!
//! A repair changes a file as a cut may find it at any write: the storage that refuses the next call is such a cut, and the repair
//! can be run again.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::job::Job;
use crate::storage::forward::{forward_facts, forward_writes};
use crate::storage::resolver::Placed;
use crate::storage::{
    FileIdentity, Fingerprint, ImageFile, ReadAt, Reference, Resolver, WritableFile, WriteAt,
};

/// Tells a job how far a repair is, by the bytes that it has read and written, and stops the repair with it.
#[derive(Clone)]
pub(super) struct Watch {
    job: Job,
    moved: Arc<AtomicU64>,
}

impl Watch {
    pub(super) fn new(job: &Job) -> Self {
        Self { job: job.clone(), moved: Arc::default() }
    }

    /// `file`, which can be stopped.
    pub(super) fn over(&self, file: WritableFile) -> WritableFile {
        let storage = Stoppable { storage: file.storage().clone(), watch: self.clone() };
        file.with_storage(Arc::new(storage))
    }

    fn pass(&self, bytes: u64) -> io::Result<()> {
        self.job.check().map_err(io::Error::other)?;
        let moved = self.moved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.job.set_done(moved.min(self.job.progress().total()));
        Ok(())
    }
}

/// A file that can be stopped.
struct Stoppable {
    storage: Arc<dyn WriteAt>,
    watch: Watch,
}

impl ReadAt for Stoppable {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.watch.pass(buf.len() as u64)?;
        self.storage.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.storage.size()
    }

    fn file(&self) -> Option<Arc<File>> {
        self.storage.file()
    }

    forward_facts!(self => self.storage);
}

impl WriteAt for Stoppable {
    forward_writes!(self => self.storage, self.watch.pass(0)?);
}

/// Opens the files that can be stopped of an image, as another resolver does.
pub(super) struct StoppableExtents<'a> {
    pub(super) extents: Placed<'a>,
    pub(super) watch: Watch,
}

impl Resolver for StoppableExtents<'_> {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        self.extents.open(reference)
    }

    fn open_writable(&self, reference: &Reference<'_>) -> Result<Option<WritableFile>> {
        Ok(self.extents.open_writable(reference)?.map(|file| self.watch.over(file)))
    }
}
