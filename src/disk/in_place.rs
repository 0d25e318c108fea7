//! Where a disk that is open for writing may be written to by whoever does the input and output by himself.

use std::ops::{Range, RangeBounds};

use super::layer::{FileIndex, MappingKind};
use super::{WritableDisk, clip};
use crate::error::Result;
use crate::storage::ImageFile;

/// A run of a disk that is open for writing, and how it is written to; see [`WritableDisk::resolve_write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteExtent {
    /// First byte of the virtual disk.
    pub start: u64,
    /// Bytes of the virtual disk.
    pub len: u64,
    /// How it is written to.
    pub way: WriteWay,
}

impl WriteExtent {
    /// The first byte after the run.
    pub fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// How a run is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteWay {
    /// Straight into a file of the image: the run has its place there, and nothing else of the image changes with it.
    InPlace {
        /// Which of [`WritableDisk::files`].
        file: FileIndex,
        /// Offset in that file, in bytes.
        offset: u64,
    },
    /// By [`WritableDisk::write_at`] alone: it has no place yet, or is part of a sector.
    Through,
}

impl WritableDisk {
    /// The files that hold the image's bytes; a [`FileIndex`] counts into this slice.
    pub fn files(&self) -> &[ImageFile] {
        self.top().files()
    }

    /// How the parts of `range` are written to by a caller that does its own input and output, as an asynchronous one does: what
    /// has its place in a file already may be written there without asking this disk again. The runs are in order and
    /// without gaps; a range that ends beyond the disk ends with the disk. Before the first run is returned, the image says, where its
    /// format wants that said, that its content changes.
    ///
    /// What is [in place](WriteWay::InPlace) stays so until space is given back. So the caller sees to it that
    /// - between the question and the end of the write, nobody calls [`write_zeroes`](Self::write_zeroes),
    ///   [`discard`](Self::discard) or [`compact`](Self::compact), resizes the disk or closes it; writes, flushes and other questions may come,
    /// - no two writes of one sector run at once, be they in place or by [`write_at`](Self::write_at),
    /// - a write has ended before [`flush`](Self::flush) is called, if that is to make it durable: flush syncs the image's files,
    ///   and what was written through another handle of the same file, or to the same storage, with them,
    /// - not more than the run is written, and after a failed flush nothing any more.
    ///
    /// The image's file is locked, which some systems hold against its other handles, too: a clone of
    /// [the one that it has](crate::storage::ReadAt::file) may be written to everywhere.
    ///
    /// ```
    /// use diskport::copy::{Convert, OutputFormat};
    /// use diskport::disk::WriteWay;
    /// use diskport::storage::{FileStorage, WriteAt};
    /// use diskport::{Disk, MIB, Open};
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("new.raw");
    /// Convert::new(&Disk::empty(MIB, 512)).to(OutputFormat::Raw).create(&path)?;
    /// let disk = Open::new().open_writable(&path)?;
    /// let data = [7; 4096];
    /// for extent in disk.resolve_write(8192..8192 + 4096)? {
    ///     let extent = extent?;
    ///     let data = &data[(extent.start - 8192) as usize..][..extent.len as usize];
    ///     match extent.way {
    ///         WriteWay::InPlace { file, offset } => {
    ///             let file = disk.files()[file.0 as usize].storage().file().expect("a file of the system");
    ///             FileStorage::from_file(file.try_clone().expect("a handle")).expect("a file")
    ///                 .write_all_at(data, offset).expect("writes");
    ///         }
    ///         _ => disk.write_at(data, extent.start)?,
    ///     }
    /// }
    /// disk.flush()?;
    /// # let mut found = [0; 4096];
    /// # disk.read_at(&mut found, 8192)?;
    /// # assert_eq!(found, data);
    /// # Ok::<(), diskport::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotWritable`](crate::Error::NotWritable) when a part of the range lies in an extent that is only read,
    /// [`Error::Poisoned`](crate::Error::Poisoned), [`Error::Io`](crate::Error::Io).
    pub fn resolve_write(
        &self,
        range: impl RangeBounds<u64>,
    ) -> Result<impl Iterator<Item = Result<WriteExtent>> + '_> {
        let Range { start, end } = clip(range, self.size());
        let unit = self.top().granularity();
        let whole = start.next_multiple_of(unit).min(end)..(end / unit * unit).max(start);
        if whole.start < whole.end {
            self.begin_in_place(&whole)?;
        }
        let mut at = start;
        Ok(std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let found = self.run(at, end, &whole);
            at = found.as_ref().map_or(end, WriteExtent::end);
            Some(found)
        }))
    }

    /// The run at `at`, which ends at or before `end`; only what lies in `whole` sectors can be in place.
    fn run(&self, at: u64, end: u64, whole: &Range<u64>) -> Result<WriteExtent> {
        let through = |end| WriteExtent { start: at, len: end - at, way: WriteWay::Through };
        if whole.start >= whole.end || !whole.contains(&at) {
            let next = if at < whole.start && whole.start < whole.end { whole.start } else { end };
            return Ok(through(next));
        }
        let run = self.map_top(at, whole.end - at)?;
        Ok(match run.kind {
            MappingKind::Stored { file, offset } => {
                WriteExtent { start: at, len: run.len, way: WriteWay::InPlace { file, offset } }
            }
            _ => through(at + run.len),
        })
    }
}
