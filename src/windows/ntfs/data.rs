//! The content of a file, read where it is wanted: what is compressed is decompressed a unit at a time, so that no file
//! is ever held whole.

use std::ops::Range;

use super::file::File;
use super::flaw::{flaw, refused};
use super::record::{flag, kind};
use super::stream::{Place, Stream};
use super::volume::Volume;
use super::{compression, wof};
use crate::error::{Error, Result};

/// The content of a file, or of an alternate stream of it.
#[derive(Debug)]
pub struct FileData<'v> {
    volume: &'v Volume,
    stream: Stream,
    form: Form,
}

/// How the content is had from the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is.
    Stored,
    /// Compressed by NTFS, so many clusters at a time.
    Units(u64),
    /// Compressed by WOF: the size, and that of a chunk.
    Chunks(u64, u64),
}

impl<'v> File<'v> {
    /// The content; of an alternate stream when one is named. `None` when there is no such stream.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Layout`] for a file that is encrypted or a link, or compressed in a way that is not known here;
    /// [`crate::Error::Damaged`] for a directory without such a stream or what cannot be read, and what reading the disk
    /// gives rise to.
    pub fn data(&self, stream: &str) -> Result<Option<FileData<'v>>> {
        if !stream.is_empty() {
            let same =
                |name: &str| self.volume.upcase.compare(name.encode_utf16(), stream.encode_utf16()).is_eq();
            let names = self.streams()?.into_iter().map(|(name, _)| name);
            let Some(name) = names.into_iter().find(|name| same(name)) else { return Ok(None) };
            let found = Stream::find(self.volume, &self.record, kind::DATA, &name)?;
            return found.map(|stream| FileData::of(self.volume, stream)).transpose();
        }
        let data = self.content()?;
        match wof::reparse(self)? {
            wof::Reparse::None => FileData::of(self.volume, data).map(Some),
            wof::Reparse::Compressed { chunk } => {
                let stored = Stream::find(self.volume, &self.record, kind::DATA, wof::STREAM)?;
                let stored = stored
                    .ok_or_else(|| refused("the file is compressed, but its compressed data are missing"))?;
                let stored = FileData::of(self.volume, stored)?;
                match stored.form {
                    Form::Stored => {
                        Ok(Some(FileData { form: Form::Chunks(data.size, chunk as u64), ..stored }))
                    }
                    _ => Err(refused("the file is compressed twice, by WOF and by NTFS")),
                }
            }
            wof::Reparse::Other(tag) => Err(refused(&format!(
                "the file is a link or is stored elsewhere (reparse point {tag:#010x})"
            ))),
        }
    }

    /// The same; of a file whose content cannot be had, what is stored of it.
    pub(crate) fn data_or_stored(&self, stream: &str) -> Result<Option<FileData<'v>>> {
        match self.data(stream) {
            Err(Error::Layout { .. }) => {
                let found = Stream::find(self.volume, &self.record, kind::DATA, stream)?;
                Ok(found.map(|stream| FileData { volume: self.volume, stream, form: Form::Stored }))
            }
            found => found,
        }
    }

    /// The stream that has the content.
    pub(super) fn content(&self) -> Result<Stream> {
        match Stream::find(self.volume, &self.record, kind::DATA, "")? {
            Some(data) => Ok(data),
            None => {
                self.volume.in_record(&self.record, |_| Err(flaw("a file with data", "none: a directory?")))
            }
        }
    }
}

impl<'v> FileData<'v> {
    fn of(volume: &'v Volume, stream: Stream) -> Result<Self> {
        if stream.flags & flag::ENCRYPTED != 0 {
            return Err(refused("the file is encrypted (EFS)"));
        }
        let form = match (stream.flags & flag::COMPRESSION, &stream.place) {
            (0, _) | (_, Place::Resident(_)) => Form::Stored,
            _ => Form::Units(compression::unit(volume, &stream)?),
        };
        Ok(Self { volume, stream, form })
    }

    /// Bytes of it.
    pub fn size(&self) -> u64 {
        match self.form {
            Form::Chunks(size, _) => size,
            _ => self.stream.size,
        }
    }

    /// Fills `buf` with the bytes from `offset` on, which must all be there.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`], and what reading the disk gives rise to.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        match self.form {
            Form::Stored => self.stream.read_at(self.volume, buf, offset),
            Form::Units(unit) => compression::read_at(self.volume, &self.stream, unit, buf, offset),
            Form::Chunks(size, chunk) => wof::read_at(self.volume, &self.stream, (size, chunk), buf, offset),
        }
    }

    /// All of it, when that is at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at); [`crate::Error::Damaged`] for more than that.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>> {
        if self.size() > limit {
            let found = format!("{} bytes", self.size());
            return Err(flaw(format!("at most {limit} bytes"), found).at("NTFS attribute", 0));
        }
        let mut bytes = vec![0; self.size() as usize];
        self.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Where what is stored of it lies: the first byte of each run in the stream, and the bytes of the disk. Two files of
    /// which this is the same have the same content, where the disk has. `None` for what lies in a FILE record.
    pub(crate) fn places(&self) -> Option<Vec<(u64, Range<u64>)>> {
        let Place::Runs(runs) = &self.stream.place else { return None };
        let cluster = self.volume.boot.cluster_size;
        let mut start = 0;
        let mut places = Vec::new();
        for run in runs {
            if let Some(lcn) = run.lcn {
                let place = self.volume.on_disk(lcn * cluster);
                places.push((start, place..place + run.len * cluster));
            }
            start += run.len * cluster;
        }
        Some(places)
    }

    /// Whether the same bytes in the same places would mean the same content.
    pub(crate) fn is_like(&self, other: &FileData) -> bool {
        let sizes =
            |data: &FileData| (data.stream.size, data.stream.initialized, data.volume.boot.cluster_size);
        self.form == other.form && sizes(self) == sizes(other)
    }
}
