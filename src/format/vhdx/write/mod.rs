//! Writing a VHDX in place.
//!
//! Payload goes straight to its place. What makes it visible (BAT and sector bitmaps) is gathered in memory and goes
//! through the log when it is flushed, after the payload has become durable.

pub(super) mod headers;
pub(super) mod journal;
mod log_writer;
mod open;
mod pack;
mod parent;
mod pending;
mod resize;
mod state;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use open::{open, recover};

use self::journal::{Journal, Session};
use self::state::{BLOCK_SECTORS, State, Target};
use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Identity, Layer, LayerInfo, Mapping, MappingKind, Sealed};
use crate::error::{Error, Result};
use crate::format::vhdx::skeleton::check_size;
use crate::job::Job;
use crate::storage::{ImageFile, WritableFile};

/// A VHDX that is open for writing.
struct Writer {
    info: LayerInfo,
    files: [ImageFile; 1],
    file: WritableFile,
    /// The blocks stay where they are: a "fixed" disk.
    fixed: bool,
    /// Held while the metadata are changed or published: by one at a time, and before `journal` and `state`.
    change: Mutex<()>,
    journal: Arc<Mutex<Journal>>,
    /// Whether payload that is in the file already may be written to: the session has said so.
    begun: AtomicBool,
    /// Locked for writing while the metadata change in memory, never while anything is written or made durable: those who read
    /// wait for neither. But what runs alone keeps it.
    state: RwLock<State>,
}

/// What is written.
#[derive(Clone, Copy)]
enum Source<'a> {
    Data(&'a [u8]),
    Zeros(u64),
}

impl Source<'_> {
    fn len(self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Zeros(len) => len,
        }
    }

    fn split_at(self, at: u64) -> (Self, Self) {
        match self {
            Self::Data(data) => {
                let (front, back) = data.split_at(at as usize);
                (Self::Data(front), Self::Data(back))
            }
            Self::Zeros(len) => (Self::Zeros(at), Self::Zeros(len - at)),
        }
    }
}

impl Writer {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in the file that its content changes, before it does.
    fn begin(&self) -> Result<()> {
        self.journal().begin(Session::DataChanged)?;
        self.begun.store(true, Ordering::Release);
        Ok(())
    }

    /// Sees to it that `sectors` of the metadata can be changed together.
    fn make_room(&self, sectors: usize) -> Result<()> {
        let is_full = self.journal().room() < sectors;
        if is_full { self.publish() } else { Ok(()) }
    }

    /// Makes everything durable.
    fn publish(&self) -> Result<()> {
        self.journal().publish()?;
        self.lock().give_back();
        Ok(())
    }

    /// Writes `source` at the virtual `offset`: straight to where it is stored, block by block where it is not.
    fn put(&self, mut offset: u64, mut source: Source<'_>) -> Result<()> {
        while source.len() > 0 {
            let state = self.read();
            let run = state.bat().map(&state.view, offset, source.len())?;
            let stored = match run.kind {
                MappingKind::Stored { offset, .. } if self.begun.load(Ordering::Acquire) => Some(offset),
                _ => None,
            };
            let block_end = state.block_end(offset >> state.bat().block_shift);
            drop(state);
            let len = if stored.is_some() { run.len } else { source.len().min(block_end - offset) };
            let (now, later) = source.split_at(len);
            match stored {
                Some(place) => self.write_to(place, now)?,
                None => self.put_in_block(offset..offset + len, now)?,
            }
            offset += len;
            source = later;
        }
        Ok(())
    }

    /// Writes `source` to `range`, which lies within one block, and makes it visible.
    fn put_in_block(&self, range: Range<u64>, source: Source<'_>) -> Result<()> {
        loop {
            let change = self.change();
            self.begin()?;
            let mut state = self.lock();
            let target = state.target(&range)?;
            let within = range.start & (state.block_size() - 1);
            let block_size = state.block_size();
            drop((state, change));

            let written = self.write_target(target, within, source);
            let _change = self.change();
            let written = written.and_then(|()| self.make_room(BLOCK_SECTORS));
            let mut state = self.lock();
            let done = written.and_then(|()| state.commit(&range, target));
            if let (Target::Part(room) | Target::Whole(room), Ok(false) | Err(_)) = (target, &done) {
                state.release(room, block_size);
            }
            if done? {
                return Ok(());
            }
        }
    }

    fn write_target(&self, target: Target, within: u64, source: Source<'_>) -> Result<()> {
        let place = match target {
            Target::Block(place) => place,
            Target::Part(room) => room.place,
            Target::Whole(room) => {
                self.zero(room.place..room.place + room.stale)?;
                if matches!(source, Source::Zeros(_)) {
                    return Ok(());
                }
                room.place
            }
        };
        self.write_to(place + within, source)
    }

    fn write_to(&self, place: u64, source: Source<'_>) -> Result<()> {
        match source {
            Source::Data(data) => self.file.write_all_at(data, place),
            Source::Zeros(len) => self.zero(place..place + len),
        }
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        if range.is_empty() { Ok(()) } else { self.file.zero(range) }
    }

    /// Makes `len` bytes from `offset` on zeros; with `whole_blocks`, only blocks that become free by it.
    fn zero_blocks(&self, offset: u64, len: u64, whole_blocks: bool) -> Result<()> {
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let state = self.read();
            let run = state.bat().map(&state.view, at, end - at)?;
            let reads_zeros = match run.kind {
                MappingKind::Absent => !state.bat().differencing || whole_blocks,
                kind => kind == MappingKind::Zero,
            };
            let block = at >> state.bat().block_shift;
            let piece = at..end.min(state.block_end(block));
            let (present, _) = state.payload(block)?;
            let frees = state.covers(&piece, block) && self.frees(&state, block);
            drop(state);
            if reads_zeros && !(present.is_present() && frees) {
                at += run.len;
                continue;
            }
            if frees {
                let _change = self.change();
                self.begin()?;
                self.make_room(1)?;
                self.lock().set_zero(block)?;
            } else if !whole_blocks {
                self.put(at, Source::Zeros(piece.end - at))?;
            }
            at = piece.end;
        }
        Ok(())
    }

    /// Whether `block` may go to the state ZERO. Not in a fixed disk; and not where there is no parent beneath: some readers look for
    /// one all the same, and fail.
    fn frees(&self, state: &State, block: u64) -> bool {
        !self.fixed && state.parent_size.is_none_or(|size| state.block_end(block) <= size)
    }
}

impl Sealed for Writer {}

impl Layer for Writer {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let state = self.read();
        state.bat().map(&state.view, offset, limit)
    }
}

impl WriteLayer for Writer {
    fn granularity(&self) -> u64 {
        self.info.logical_sector_size.into()
    }

    fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        self.put(offset, Source::Data(data))
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        self.zero_blocks(offset, len, false)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.zero_blocks(offset, len, true)
    }

    fn begin_in_place(&self, _: &Range<u64>) -> Result<()> {
        let _change = self.change();
        self.begin()
    }

    fn flush(&self) -> Result<()> {
        let _change = self.change();
        self.publish()
    }

    fn close(&self) -> Result<()> {
        let mut state = self.lock();
        state.publish()?;
        let end = state.allocation.end();
        state.journal().close(end)
    }

    fn check_size(&self, size: u64) -> Result<()> {
        check_size(size, self.info.logical_sector_size).map(drop)
    }

    fn resize(&self, size: u64, job: &Job) -> Result<()> {
        self.set_size(size, job)
    }

    fn pack(&self, job: &Job) -> Result<()> {
        pack::pack(&mut self.lock(), job)
    }

    fn set_parent(&self, parent: &ParentLink<'_>) -> Result<()> {
        if self.info.parent.is_none() {
            return Err(Error::NoParent { file: self.file.name().to_owned() });
        }
        parent::set(&mut self.lock(), parent)
    }

    fn set_data_id(&self, id: Identity) {
        if let Identity::Uuid(guid) = id {
            self.journal().set_data_write_guid(guid);
            self.begun.store(false, Ordering::Release);
        }
    }
}
