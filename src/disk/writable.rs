//! A disk that is open for writing.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::write::WriteLayer;
use super::{Disk, LayerInfo, MappingKind, is_zero};
use crate::error::{Error, Result};

/// Bytes that are looked at for zeros at once.
const PIECE: u64 = 1 << 20;

/// An image that is open for writing, over its parents, which are only read. Many threads may use it at once.
///
/// What [`flush`](Self::flush) returned for is there after a power cut at any moment; every later write is there
/// wholly, not at all, or sector by sector. [`close`](Self::close) leaves the image as it is when it was shut down
/// properly; without it, that is attempted when the value is dropped, and failures are not reported.
///
/// ```
/// use diskport::copy::{Copy, OutputFormat};
/// use diskport::{Disk, MIB, Open};
///
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("new.raw");
/// Copy::new(&Disk::empty(64 * MIB, 512)).to(OutputFormat::Raw).write_file(&path)?;
/// let disk = Open::new().open_writable(&path)?;
/// disk.write_at(b"boot", 0)?;
/// disk.flush()?;
/// disk.write_zeroes(4096, MIB)?;
/// disk.close()?;
/// # Ok::<(), diskport::Error>(())
/// ```
pub struct WritableDisk {
    disk: Disk,
    top: Arc<dyn WriteLayer>,
    state: RwLock<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// A flush failed: what is durable is unknown.
    Poisoned,
    Closed,
}

/// What [`WritableDisk::compact`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Bytes of the image's file before.
    pub before: u64,
    /// Bytes of the image's file after.
    pub after: u64,
}

impl WritableDisk {
    /// The disk of `top` over the layers of `disk` below its first, which `top` replaces.
    pub(crate) fn new(disk: &Disk, top: Arc<dyn WriteLayer>) -> Self {
        let disk = disk.with_top(top.clone());
        Self { disk, top, state: RwLock::new(State::Open) }
    }

    /// The virtual size in bytes.
    pub fn size(&self) -> u64 {
        self.disk.size()
    }

    /// What the image said of itself when it was opened.
    pub fn info(&self) -> &LayerInfo {
        self.top.info()
    }

    /// The disk for reading, which always shows what was written. It must not be read while space is given back:
    /// [`Self::write_zeroes`], [`Self::discard`].
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
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
        let _state = self.shared()?;
        self.disk.read_at(buf, offset)
    }

    /// Writes `data` at the virtual `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] beyond the disk's end; [`Error::Io`]: then any part of the data may have been written, and the
    /// image is whole. [`Error::Poisoned`] after a failed flush.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let range = self.range(offset, data.len() as u64)?;
        if data.is_empty() {
            return self.shared().map(drop);
        }
        let unit = self.top.granularity();
        if range.start.is_multiple_of(unit) && range.end.is_multiple_of(unit) {
            let _state = self.shared()?;
            return self.top.write(data, offset);
        }
        // Two writers of parts of one sector must not undo each other.
        let _state = self.alone()?;
        let whole = range.start / unit * unit..range.end.next_multiple_of(unit);
        let mut bytes = vec![0; (whole.end - whole.start) as usize];
        let (first, last) = (whole.start..whole.start + unit, whole.end - unit..whole.end);
        for edge in [first, last] {
            let at = (edge.start - whole.start) as usize;
            self.disk.read_at(&mut bytes[at..at + unit as usize], edge.start)?;
        }
        let at = (range.start - whole.start) as usize;
        bytes[at..at + data.len()].copy_from_slice(data);
        self.top.write(&bytes, whole.start)
    }

    /// Makes `len` bytes from `offset` on read as zeros, giving space back where the format can.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    pub fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        let range = self.range(offset, len)?;
        let unit = self.top.granularity();
        let inner = range.start.next_multiple_of(unit)..range.end / unit * unit;
        if inner.start >= inner.end {
            return self.write_at(&vec![0; len as usize], offset);
        }
        self.write_at(&vec![0; (inner.start - range.start) as usize], range.start)?;
        self.write_at(&vec![0; (range.end - inner.end) as usize], inner.end)?;
        let _state = self.alone()?;
        self.top.write_zeroes(inner.start, inner.end - inner.start)
    }

    /// Says that `len` bytes from `offset` on are no longer needed. Space is given back where the format can; each
    /// sector then reads as zeros or as it did before.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    pub fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let range = self.range(offset, len)?;
        let unit = self.top.granularity();
        let inner = range.start.next_multiple_of(unit)..range.end / unit * unit;
        let _state = self.alone()?;
        if inner.start >= inner.end { Ok(()) } else { self.top.discard(inner.start, inner.end - inner.start) }
    }

    /// Returns when everything written before is durable.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: then nothing is known of what is durable, and every later call fails with [`Error::Poisoned`].
    pub fn flush(&self) -> Result<()> {
        let mut state = self.alone()?;
        self.top.flush().inspect_err(|_| *state = State::Poisoned)
    }

    /// Makes everything durable and closes the image properly.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn close(self) -> Result<()> {
        self.finish(|_| Ok(()))
    }

    /// Changes the virtual size and closes the image. What is added reads as zeros; with `allow_loss` what is cut
    /// need not be zeros.
    ///
    /// # Errors
    ///
    /// [`Error::ShrinkLosesData`], [`Error::SizeLimit`], [`Error::Unsupported`] for a size of no whole sectors, and as [`flush`](Self::flush).
    pub fn resize(self, size: u64, allow_loss: bool) -> Result<()> {
        if size == 0 || !size.is_multiple_of(self.top.granularity()) {
            let what = format!("a size of {size} bytes is no whole number of sectors");
            return Err(Error::Unsupported { what });
        }
        if size < self.size() && !allow_loss {
            self.check_zeros(size..self.size())?;
        }
        self.finish(|top| top.resize(size))
    }

    /// Gives the space of unused blocks and of those that hold only zeros back, and closes the image.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn compact(self) -> Result<Compaction> {
        let file = self.top.files()[0].clone();
        let measure = || file.storage().size().map_err(|e| Error::io("measure", file.name(), e));
        let before = measure()?;
        self.release_zeros()?;
        self.flush()?;
        self.finish(|top| top.pack())?;
        Ok(Compaction { before, after: measure()? })
    }

    /// Does what ends the use of the image, and closes it.
    pub(crate) fn finish(&self, last: impl FnOnce(&dyn WriteLayer) -> Result<()>) -> Result<()> {
        let mut state = self.alone()?;
        *state = State::Poisoned;
        // What was written before is not lost when the last step is refused.
        self.top.flush()?;
        last(&*self.top)?;
        self.top.close()?;
        *state = State::Closed;
        Ok(())
    }

    /// Hands every stored run of zeros of the top layer to [`WriteLayer::write_zeroes`], block by block.
    fn release_zeros(&self) -> Result<()> {
        let _state = self.alone()?;
        let unit = self.top.info().block_size.unwrap_or(PIECE);
        let mut buf = vec![0; PIECE.min(unit) as usize];
        let mut at = 0;
        while at < self.size() {
            let end = (at / unit * unit + unit).min(self.size());
            let run = self.top.map(at, self.size() - at)?;
            if !matches!(run.kind, MappingKind::Stored { .. }) {
                at += run.len;
                continue;
            }
            let start = at / unit * unit;
            if self.reads_zeros(start..end, &mut buf)? {
                self.top.write_zeroes(start, end - start)?;
            }
            at = end;
        }
        Ok(())
    }

    fn reads_zeros(&self, range: Range<u64>, buf: &mut [u8]) -> Result<bool> {
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(buf.len() as u64) as usize;
            self.disk.read_at(&mut buf[..len], at)?;
            if !is_zero(&buf[..len]) {
                return Ok(false);
            }
            at += len as u64;
        }
        Ok(true)
    }

    /// Refuses when `range` holds anything but zeros.
    fn check_zeros(&self, range: Range<u64>) -> Result<()> {
        let size = range.start;
        let mut buf = vec![0; PIECE as usize];
        for extent in self.disk.extents(range).skip_holes() {
            let extent = extent?;
            let mut at = extent.start;
            let end = extent.start + extent.len;
            while extent.kind != MappingKind::Zero && extent.kind != MappingKind::Absent && at < end {
                let len = (end - at).min(PIECE) as usize;
                self.disk.read_at(&mut buf[..len], at)?;
                if let Some(byte) = buf[..len].iter().position(|&byte| byte != 0) {
                    let file = self.top.files()[0].name().to_owned();
                    return Err(Error::ShrinkLosesData { file, size, offset: at + byte as u64 });
                }
                at += len as u64;
            }
        }
        Ok(())
    }

    fn range(&self, offset: u64, len: u64) -> Result<Range<u64>> {
        let size = self.size();
        let end = offset.checked_add(len).filter(|&end| end <= size);
        end.map(|end| offset..end).ok_or(Error::OutOfRange { offset, len, size })
    }

    fn shared(&self) -> Result<RwLockReadGuard<'_, State>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        self.usable(*state).map(|()| state)
    }

    fn alone(&self) -> Result<RwLockWriteGuard<'_, State>> {
        let state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        self.usable(*state).map(|()| state)
    }

    fn usable(&self, state: State) -> Result<()> {
        match state {
            State::Open => Ok(()),
            State::Poisoned | State::Closed => {
                Err(Error::Poisoned { file: self.top.files()[0].name().to_owned() })
            }
        }
    }
}

impl Drop for WritableDisk {
    fn drop(&mut self) {
        if *self.state.get_mut().unwrap_or_else(PoisonError::into_inner) == State::Open {
            // Nobody is left to tell; who wants to know calls `close`.
            let _ = self.top.close();
        }
    }
}

impl fmt::Debug for WritableDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritableDisk").field("disk", &self.disk).finish_non_exhaustive()
    }
}
