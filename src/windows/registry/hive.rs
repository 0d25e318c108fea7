//! A hive: its base block, and its cells.

use std::sync::Arc;

use super::bins::{MAX_BINS, MIN_CELL, damaged, show};
use super::layout::{BIN_UNIT, BINS, BaseBlock, Record};
use super::sectors::{ChangedSectors, Sectors};
use super::{log, name};
use crate::error::{Error, Result};
use crate::storage::ReadAt;

/// A registry hive, read on demand. A clone reads the same file.
#[derive(Clone)]
pub struct Hive {
    pub(super) sectors: Sectors,
    pub(super) bins_size: u32,
    pub(super) minor: u32,
    pub(super) root: u32,
    state: HiveState,
}

/// Whether a hive's file is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HiveState {
    /// It was closed properly.
    Clean,
    /// A change was under way; its logs were replayed, in memory.
    Replayed,
    /// A change was under way, and no log could be replayed. What is read may be old, or half of a change.
    Dirty {
        /// Why there was nothing to replay.
        reason: String,
    },
}

impl Hive {
    /// Opens a hive without its logs.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it is no hive, or damaged beyond what its logs could mend.
    pub fn open(file: impl ReadAt + 'static) -> Result<Self> {
        Self::open_with_logs(Arc::new(file), &[])
    }

    /// Opens a hive with its logs, `NAME.LOG1` and `NAME.LOG2`, as far as they exist. When the hive was not closed
    /// properly they are replayed, in memory.
    ///
    /// # Errors
    ///
    /// As for [`Hive::open`]. Logs that cannot be replayed are no error: see [`Hive::state`].
    pub fn open_with_logs(file: Arc<dyn ReadAt>, logs: &[Arc<dyn ReadAt>]) -> Result<Self> {
        let mut sectors = Sectors::new(file)?;
        let mut base = base_block(&sectors)?;
        let mut state = HiveState::Clean;
        if !base.is_clean() {
            match log::replay(&sectors, &base, logs)? {
                Ok(replayed) => (sectors, state) = (replayed, HiveState::Replayed),
                Err(reason) => state = HiveState::Dirty { reason },
            }
            base = base_block(&sectors)?;
        }
        check(&base, &sectors, &state)?;
        let (bins_size, root, minor) = (base.bins_size.get(), base.root.get(), base.minor.get());
        Ok(Self { sectors, bins_size, minor, root, state })
    }

    /// Whether the file is whole.
    pub fn state(&self) -> &HiveState {
        &self.state
    }

    /// When it was last written, as its base block has it: 100 ns since 1601. Windows does not keep it up since 8.1.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read.
    pub fn last_written(&self) -> Result<u64> {
        Ok(base_block(&self.sectors)?.last_written.get())
    }

    /// Bytes of the file, as it will be: more than it has now when changes, or the logs that were replayed, made the hive
    /// longer.
    pub fn file_size(&self) -> u64 {
        self.sectors.len().max(BINS + u64::from(self.bins_size))
    }

    /// All that has changed in the file: by edits, and by the logs that were replayed before. What lies behind the end of
    /// the file, and is not named, is zeros.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read.
    pub fn edits(&self) -> Result<Vec<ChangedSectors>> {
        self.sectors.edits()
    }

    /// The whole file, as it will be.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // As long as a file, and bins that were seen to be no longer than it, or were made.
        let mut bytes = vec![0; usize::try_from(self.file_size()).unwrap_or(usize::MAX)];
        self.sectors.read(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Bytes of an allocated cell's data, checked to lie in the hive.
    pub(super) fn cell_len(&self, offset: u32) -> Result<usize> {
        let mut size = [0; 4];
        if offset.is_multiple_of(MIN_CELL) && offset < self.bins_size {
            self.sectors.read(&mut size, BINS + u64::from(offset))?;
        }
        let size = i32::from_le_bytes(size);
        let len = size.unsigned_abs();
        if size >= 0 || len < MIN_CELL || self.bins_size - offset < len {
            let expected = format!("an allocated cell within {} bytes", self.bins_size);
            return Err(damaged("registry cell", offset, expected, format!("one of size {size}")));
        }
        Ok(len as usize - 4)
    }

    /// The first `len` bytes of a cell's data, which must have as many.
    pub(super) fn cell(&self, offset: u32, len: usize, structure: &'static str) -> Result<Vec<u8>> {
        let cell = self.cell_len(offset)?;
        if cell < len {
            return Err(damaged(
                structure,
                offset,
                format!("{len} bytes"),
                format!("a cell of {cell} bytes"),
            ));
        }
        let mut bytes = vec![0; len];
        self.sectors.read(&mut bytes, BINS + u64::from(offset) + 4)?;
        Ok(bytes)
    }

    /// The record in a cell.
    pub(super) fn record<R: Record>(&self, offset: u32) -> Result<R> {
        let bytes = self.cell(offset, size_of::<R>(), R::STRUCTURE)?;
        match R::read_from_bytes(&bytes) {
            Ok(record) if record.signature() == R::SIGNATURE => Ok(record),
            _ => Err(damaged(R::STRUCTURE, offset, show(&R::SIGNATURE), show(&bytes[..2]))),
        }
    }

    /// The name behind a record, as it lies in the file and as text.
    pub(super) fn name<R: Record>(&self, offset: u32, len: u16, compressed: bool) -> Result<String> {
        let bytes = self.cell(offset, size_of::<R>() + usize::from(len), R::STRUCTURE)?;
        Ok(name::decode(&bytes[size_of::<R>()..], compressed))
    }

    /// The list of offsets in a cell.
    pub(super) fn offsets(&self, offset: u32, count: usize, structure: &'static str) -> Result<Vec<u32>> {
        let bytes = self.cell(offset, count.saturating_mul(4), structure)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|offset| u32::from_le_bytes(*offset)).collect())
    }
}

impl std::fmt::Debug for Hive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hive").field("bins_size", &self.bins_size).field("state", &self.state).finish()
    }
}

pub(super) fn base_block(sectors: &Sectors) -> Result<BaseBlock> {
    let mut bytes = [0; size_of::<BaseBlock>()];
    sectors.read(&mut bytes, 0)?;
    Ok(zerocopy::transmute!(bytes))
}

fn check(base: &BaseBlock, sectors: &Sectors, state: &HiveState) -> Result<()> {
    let fail = |expected: &str, found: String| {
        let expected = expected.to_owned();
        Err(Error::Damaged { structure: "registry base block", offset: 0, expected, found })
    };
    if !base.is_sound() {
        let sum = format!("the signature regf and the checksum {:#x}", base.sum());
        return fail(&sum, format!("{} and {:#x}", show(&base.signature), base.checksum));
    }
    // Before 1.3, cells were laid out differently.
    let (major, minor) = (base.major.get(), base.minor.get());
    if major != 1 || !(3..=6).contains(&minor) {
        return fail("version 1.3 to 1.6", format!("{major}.{minor}"));
    }
    if base.file_type != 0 || base.file_format != 1 {
        return fail(
            "a primary file, type 0 and format 1",
            format!("{} and {}", base.file_type, base.file_format),
        );
    }
    let size = base.bins_size.get();
    // What a replayed log adds lies in memory.
    let end = match state {
        HiveState::Replayed => sectors.len().max(sectors.replaced_end()),
        _ => sectors.len(),
    };
    if size == 0 || !size.is_multiple_of(BIN_UNIT) || size > MAX_BINS || BINS + u64::from(size) > end {
        let expected = format!("bins of a multiple of {BIN_UNIT} bytes within {end} bytes");
        return fail(&expected, format!("{size} bytes"));
    }
    Ok(())
}
