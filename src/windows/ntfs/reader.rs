//! A file as a storage: its bytes are read where they lie, when they are asked for.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::file::File;
use super::record::flag;
use super::runs::Run;
use super::stream::{Place, Stream};
use super::wof;
use crate::disk::Disk;
use crate::error::Result;
use crate::storage::{MemoryStorage, ReadAt};

impl File<'_> {
    /// Bytes of the file; 0 for a directory.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn size(&self) -> Result<u64> {
        if self.is_directory()? { Ok(0) } else { Ok(self.content()?.size) }
    }

    /// The file as a storage, which reads of it what is asked for. Of one that is compressed, or lies in its FILE record, all is read
    /// at once, when that is at most `limit` bytes. Changes that are gathered over the volume, and not yet written, are not seen.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn reader(&self, limit: u64) -> Result<Arc<dyn ReadAt>> {
        let data = self.content()?;
        match &data.place {
            Place::Runs(runs) if is_plain(&data) && matches!(wof::reparse(self)?, wof::Reparse::None) => {
                data.check_size(limit)?;
                Ok(Arc::new(Reader::new(self, &data, runs)))
            }
            _ => Ok(Arc::new(MemoryStorage::new(self.read(limit)?))),
        }
    }

    /// Where the file's clusters lie, in bytes of the disk; nowhere when it lies in its FILE record.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn places(&self) -> Result<Vec<Range<u64>>> {
        let cluster = self.volume.cluster_size();
        let place = |run: &Run| {
            let start = self.volume.on_disk(run.lcn? * cluster);
            Some(start..start + run.len * cluster)
        };
        Ok(self.content()?.runs().iter().filter_map(place).collect())
    }
}

fn is_plain(data: &Stream) -> bool {
    data.flags & (flag::COMPRESSION | flag::ENCRYPTED) == 0
}

struct Reader {
    disk: Disk,
    /// First byte of the file and, unless it is a hole, of the disk.
    runs: Vec<(u64, Option<u64>)>,
    size: u64,
    /// What lies behind reads as zeros.
    initialized: u64,
}

impl Reader {
    fn new(file: &File<'_>, data: &Stream, runs: &[Run]) -> Self {
        let cluster = file.volume.cluster_size();
        let mut start = 0;
        let mut placed = Vec::with_capacity(runs.len() + 1);
        for run in runs {
            placed.push((start, run.lcn.map(|lcn| file.volume.on_disk(lcn * cluster))));
            start += run.len * cluster;
        }
        // A file that is longer than its clusters ends with them.
        let size = data.size.min(start);
        Self { disk: file.volume.disk().clone(), runs: placed, size, initialized: data.initialized.min(size) }
    }
}

impl ReadAt for Reader {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let inside = self.initialized.saturating_sub(offset).min(len as u64) as usize;
        buf[inside..len].fill(0);
        let mut at = offset;
        let mut rest = &mut buf[..inside];
        while !rest.is_empty() {
            let next = self.runs.partition_point(|&(start, _)| start <= at);
            let end = self.runs.get(next).map_or(u64::MAX, |&(start, _)| start);
            let (piece, behind) = rest.split_at_mut((end - at).min(rest.len() as u64) as usize);
            match self.runs.get(next.wrapping_sub(1)) {
                Some(&(start, Some(place))) => Disk::read_at(&self.disk, piece, place + at - start)?,
                _ => piece.fill(0),
            }
            at += piece.len() as u64;
            rest = behind;
        }
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}
