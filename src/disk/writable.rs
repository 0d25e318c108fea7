//! A disk that is open for writing.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::layer::Mapping;
use super::view::{Shown, State};
use super::write::WriteLayer;
use super::{Disk, Extent, LayerInfo, MappingKind, Warning};
use crate::error::{Error, Result};
use crate::job::{Job, Phase};
use crate::storage::ImageFile;

/// Bytes that are looked at for zeros at once.
const PIECE: u64 = 1 << 20;

/// An image that is open for writing, over its parents, which are only read. Many threads may use it at once.
///
/// What [`flush`](Self::flush) returned for is there after a power cut at any moment; every later write is there
/// wholly, not at all, or sector by sector. [`close`](Self::close) leaves the image as it is when it was shut down
/// properly; without it, that is attempted when the value is dropped, and failures are not reported.
///
/// ```
/// use diskport::copy::{Convert, OutputFormat};
/// use diskport::{Disk, MIB, Open};
///
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("new.raw");
/// Convert::new(&Disk::empty(64 * MIB, 512)).to(OutputFormat::Raw).create(&path)?;
/// let disk = Open::new().open_writable(&path)?;
/// disk.write_at(b"boot", 0)?;
/// disk.flush()?;
/// disk.write_zeroes(4096, MIB)?;
/// disk.close()?;
/// # Ok::<(), diskport::Error>(())
/// ```
pub struct WritableDisk {
    shown: Arc<Shown>,
    top: Arc<dyn WriteLayer>,
    reopen: Reopen,
    /// What lasts tells it, and is stopped by it.
    job: Job,
    /// Held by whoever changes the image: together by writes of whole units, alone by all else. It is taken before
    /// the [state](Shown::state), so that nobody who waits for a change to end stands before those who only read.
    changes: RwLock<()>,
    /// Whether anything was written.
    changed: AtomicBool,
}

/// A change that has not returned yet.
struct Unfinished<'a>(&'a AtomicBool);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Opens the image again, after it was closed.
type Reopen = Arc<dyn Fn() -> Result<WritableDisk> + Send + Sync>;

/// What [`WritableDisk::compact`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Bytes of the image's files before.
    pub before: u64,
    /// Bytes of them after.
    pub after: u64,
}

impl WritableDisk {
    /// The disk of `top` over the layers of `disk` below its first, which `top` replaces. `reopen` opens it another time, after
    /// it was closed.
    pub(crate) fn new(
        disk: &Disk,
        top: Arc<dyn WriteLayer>,
        job: Job,
        reopen: impl Fn() -> Result<Self> + Send + Sync + 'static,
    ) -> Self {
        let shown = Arc::new(Shown::new(disk.with_top(top.clone())));
        let (changes, changed) = (RwLock::new(()), AtomicBool::new(false));
        Self { shown, top, job, reopen: Arc::new(reopen), changes, changed }
    }

    /// The virtual size in bytes.
    pub fn size(&self) -> u64 {
        self.shown.disk.size()
    }

    /// What the image said of itself when it was opened.
    pub fn info(&self) -> &LayerInfo {
        self.top.info()
    }

    /// What is odd about the chain and its layers but does not hinder writing.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.shown.disk.warnings()
    }

    /// The disk for reading, which always shows what was written. It must not be read while space is given back:
    /// [`Self::write_zeroes`], [`Self::discard`].
    pub(crate) fn disk(&self) -> &Disk {
        &self.shown.disk
    }

    /// The disk for whatever takes a [`Disk`]: a map, a stream of blocks, a digest, a copy. It shows what is written
    /// meanwhile, so that what takes long may see part of a change; who wants one state of the content lets nobody write. It can
    /// be no parent, and reading it fails with [`Error::Closed`] when this disk was closed.
    ///
    /// The disk may be written to, and space of it given back, while a view is read: its extents say what holds data, but not
    /// where in the image's files, where something else may lie soon.
    ///
    /// ```
    /// use diskport::copy::{Convert, OutputFormat};
    /// use diskport::{Disk, MIB, Open};
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let (path, backup) = (folder.path().join("disk.raw"), folder.path().join("backup.raw"));
    /// Convert::new(&Disk::empty(64 * MIB, 512)).to(OutputFormat::Raw).create(&path)?;
    /// let disk = Open::new().open_writable(&path)?;
    /// disk.write_at(b"boot", 0)?;
    /// Convert::new(&disk.view()?).to(OutputFormat::Raw).create(&backup)?;
    /// disk.write_at(b"more", 512)?;
    /// # let mut boot = [0; 4];
    /// # diskport::open(&backup)?.read_at(&mut boot, 0)?;
    /// # assert_eq!(&boot, b"boot");
    /// # Ok::<(), diskport::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] after a failed flush, or when a write panicked.
    pub fn view(&self) -> Result<Disk> {
        self.shown.view()
    }

    /// What tells how far a change has come that lasts, and stops it.
    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// The image itself.
    pub(crate) fn top(&self) -> &dyn WriteLayer {
        &*self.top
    }

    /// Fills `buf` with the bytes from the virtual `offset` on.
    ///
    /// # Errors
    ///
    /// As [`Disk::read_at`].
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.shown.read_at(buf, offset)
    }

    /// Writes `data` at the virtual `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] beyond the disk's end; [`Error::Io`]: then any part of the data may have been written, and the
    /// image is whole. [`Error::Poisoned`] after a failed flush, or when a write panicked.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let range = self.change(offset, data.len() as u64)?;
        if data.is_empty() {
            return self.shared().map(drop);
        }
        let unit = self.top.granularity();
        if range.start.is_multiple_of(unit) && range.end.is_multiple_of(unit) {
            let _changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
            let _state = self.shared()?;
            return self.attempt(|top| top.write(data, offset));
        }
        // Two writers of parts of one sector must not undo each other.
        let (_changes, _state) = self.one_by_one()?;
        let whole = range.start / unit * unit..range.end.next_multiple_of(unit);
        let mut bytes = vec![0; (whole.end - whole.start) as usize];
        let (first, last) = (whole.start, whole.end - unit);
        let is_cut = |unit_start| unit_start < range.start || unit_start + unit > range.end;
        for edge in [Some(first), Some(last).filter(|&last| last > first)].into_iter().flatten() {
            if is_cut(edge) {
                let at = (edge - first) as usize;
                self.shown.disk.read_at(&mut bytes[at..at + unit as usize], edge)?;
            }
        }
        let at = (range.start - first) as usize;
        bytes[at..at + data.len()].copy_from_slice(data);
        self.attempt(|top| top.write(&bytes, first))
    }

    /// Makes `len` bytes from `offset` on read as zeros, giving space back where the format can.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    pub fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        let range = self.change(offset, len)?;
        let unit = self.top.granularity();
        let inner = range.start.next_multiple_of(unit)..range.end / unit * unit;
        if inner.start >= inner.end {
            return self.write_at(&vec![0; len as usize], offset);
        }
        self.write_at(&vec![0; (inner.start - range.start) as usize], range.start)?;
        self.write_at(&vec![0; (range.end - inner.end) as usize], inner.end)?;
        let _alone = self.alone()?;
        self.attempt(|top| top.write_zeroes(inner.start, inner.end - inner.start))
    }

    /// Says that `len` bytes from `offset` on are no longer needed. Space is given back where the format can; each
    /// sector then reads as zeros or as it did before.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    pub fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let range = self.change(offset, len)?;
        let unit = self.top.granularity();
        let inner = range.start.next_multiple_of(unit)..range.end / unit * unit;
        let _alone = self.alone()?;
        if inner.start >= inner.end {
            return Ok(());
        }
        self.attempt(|top| top.discard(inner.start, inner.end - inner.start))
    }

    /// Returns when everything written before is durable. Who reads need not wait for it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: then nothing is known of what is durable, and every later call fails with [`Error::Poisoned`].
    pub fn flush(&self) -> Result<()> {
        let (_changes, state) = self.one_by_one()?;
        let flushed = self.attempt(|top| top.flush());
        drop(state);
        flushed.inspect_err(|_| {
            *self.shown.state.write().unwrap_or_else(PoisonError::into_inner) = State::Poisoned;
        })
    }

    /// Makes everything durable and closes the image properly.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn close(self) -> Result<()> {
        self.finish(|_| Ok(()))
    }

    /// Refuses a size that the disk cannot be given, before anything is changed.
    pub(crate) fn check_size(&self, size: u64) -> Result<()> {
        if size == 0 || !size.is_multiple_of(self.top.granularity()) {
            let what = format!("a size of {size} bytes is no whole number of sectors");
            return Err(Error::Unsupported { what });
        }
        self.top.check_size(size)
    }

    /// Refuses a size that cuts what is not zeros, but for the ranges in `expendable`, which are in order.
    pub(crate) fn check_cut(&self, size: u64, expendable: &[Range<u64>]) -> Result<()> {
        let mut at = size;
        for kept in expendable.iter().cloned().chain(std::iter::once(self.size()..self.size())) {
            if let Some(offset) = self.first_nonzero(at..kept.start.max(at))? {
                return Err(Error::ShrinkLosesData { file: self.name(), size, offset });
            }
            at = at.max(kept.end);
        }
        Ok(())
    }

    /// Changes the virtual size, and nothing of the content but what is cut, and closes the image. What is added reads as zeros.
    pub(crate) fn set_size(self, size: u64) -> Result<()> {
        self.check_size(size)?;
        self.finish(|top| top.resize(size, &self.job))
    }

    /// The same, and opens the image again with its new size.
    pub(crate) fn with_size(self, size: u64) -> Result<Self> {
        let reopen = self.reopen.clone();
        self.set_size(size)?;
        reopen()
    }

    /// Gives the space of unused blocks and of those that hold only zeros back, and closes the image. It reads as before, and
    /// its children still know it. When the job that the image was opened with is cancelled, what was given back by then stays so.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`], and as [`flush`](Self::flush).
    pub fn compact(self) -> Result<Compaction> {
        let before = self.occupied()?;
        if let Some(id) = self.top.info().data_id.filter(|_| !self.changed.load(Ordering::Relaxed)) {
            self.top.set_data_id(id);
        }
        let released = self.release_zeros();
        if matches!(released, Err(Error::Cancelled)) {
            self.finish(|_| Ok(()))?;
        }
        released?;
        self.flush()?;
        self.finish(|top| top.pack(&self.job))?;
        Ok(Compaction { before, after: self.occupied()? })
    }

    /// Does what ends the use of the image, and closes it.
    pub(crate) fn finish(&self, last: impl FnOnce(&dyn WriteLayer) -> Result<()>) -> Result<()> {
        let (_changes, mut state) = self.alone()?;
        *state = State::Poisoned;
        self.top.flush()?;
        let done = last(&*self.top);
        // What is refused has changed nothing, and what was written before is not lost by it.
        if !matches!(done, Err(Error::Io { .. } | Error::Poisoned { .. })) {
            self.top.close()?;
            *state = State::Closed;
        }
        done
    }

    /// Bytes of all files of the image.
    fn occupied(&self) -> Result<u64> {
        let size = |file: &ImageFile| file.storage().size().map_err(|e| Error::io("measure", file.name(), e));
        self.top.files().iter().map(size).sum()
    }

    /// Hands every stored block of zeros of the top layer to [`WriteLayer::write_zeroes`].
    fn release_zeros(&self) -> Result<()> {
        let _alone = self.alone()?;
        let block_size = self.top.info().block_size;
        let unit = block_size.unwrap_or(PIECE);
        let extents: Box<dyn Iterator<Item = Result<Extent>>> = match block_size {
            Some(_) => Box::new(self.shown.disk.extents(..)),
            // Holes have no space to give back.
            None => Box::new(self.shown.disk.extents(..).skip_holes()),
        };
        self.job.begin(Phase::Compact, self.size());
        let mut at = 0;
        for extent in extents {
            self.job.check()?;
            let extent = extent?;
            self.job.set_done(extent.start);
            if extent.depth > 0 || !matches!(extent.kind, MappingKind::Stored { .. }) {
                continue;
            }
            at = at.max(extent.start / unit * unit);
            while at < extent.start + extent.len {
                self.job.check()?;
                let end = (at + unit).min(self.size());
                if self.first_nonzero(at..end)?.is_none() {
                    self.attempt(|top| top.write_zeroes(at, end - at))?;
                }
                at = end;
            }
        }
        self.job.set_done(self.size());
        Ok(())
    }

    /// The first byte in `range` that is not zero.
    fn first_nonzero(&self, range: Range<u64>) -> Result<Option<u64>> {
        let mut buf = Vec::new();
        for extent in self.shown.disk.extents(range).skip_holes() {
            self.job.check()?;
            let extent = extent?;
            let mut at = extent.start;
            let end = extent.start + extent.len;
            while extent.kind != MappingKind::Zero && extent.kind != MappingKind::Absent && at < end {
                self.job.check()?;
                buf.resize((end - at).min(PIECE) as usize, 0);
                self.shown.disk.read_at(&mut buf, at)?;
                if let Some(byte) = buf.iter().position(|&byte| byte != 0) {
                    return Ok(Some(at + byte as u64));
                }
                at += buf.len() as u64;
                self.job.set_done(at);
            }
        }
        Ok(None)
    }

    /// As [`WriteLayer::begin_in_place`], of whole units.
    pub(super) fn begin_in_place(&self, range: &Range<u64>) -> Result<()> {
        let range = self.change(range.start, range.end - range.start)?;
        let _changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let _state = self.shared()?;
        self.attempt(|top| top.begin_in_place(&range))
    }

    /// A run of the image itself, as its map has it.
    pub(super) fn map_top(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let _state = self.shared()?;
        self.top.map(offset, limit)
    }

    /// The range of a change, of which note is taken.
    fn change(&self, offset: u64, len: u64) -> Result<Range<u64>> {
        let size = self.size();
        let end = offset.checked_add(len).filter(|&end| end <= size);
        self.changed.store(true, Ordering::Relaxed);
        end.map(|end| offset..end).ok_or(Error::OutOfRange { offset, len, size })
    }

    /// Does something to the image. A panic in it is the end of all changes.
    fn attempt(&self, change: impl FnOnce(&dyn WriteLayer) -> Result<()>) -> Result<()> {
        let unfinished = Unfinished(&self.shown.broken);
        let done = change(&*self.top);
        std::mem::forget(unfinished);
        done
    }

    fn shared(&self) -> Result<RwLockReadGuard<'_, State>> {
        self.shown.shared()
    }

    /// For a change that no other one may run beside, though readers may.
    fn one_by_one(&self) -> Result<(RwLockWriteGuard<'_, ()>, RwLockReadGuard<'_, State>)> {
        let changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        Ok((changes, self.shared()?))
    }

    fn alone(&self) -> Result<(RwLockWriteGuard<'_, ()>, RwLockWriteGuard<'_, State>)> {
        let changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let state = self.shown.state.write().unwrap_or_else(PoisonError::into_inner);
        self.shown.usable(*state).map(|()| (changes, state))
    }

    pub(crate) fn name(&self) -> String {
        self.shown.name()
    }
}

impl Drop for WritableDisk {
    fn drop(&mut self) {
        let mut state = self.shown.state.write().unwrap_or_else(PoisonError::into_inner);
        // After a panic in a change, the image is not said to be closed properly: nobody knows what it holds.
        // What was not changed is as it was, and costs no sync.
        if self.changed.load(Ordering::Relaxed) && self.shown.usable(*state).is_ok() {
            // Nobody is left to tell; who wants to know calls `close`.
            let _ = self.top.close();
        }
        // A view may be about to read.
        *state = State::Closed;
    }
}

impl fmt::Debug for WritableDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritableDisk").field("disk", &self.shown.disk).finish_non_exhaustive()
    }
}
