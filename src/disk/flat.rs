//! The bytes of a disk as they are, from the file's first on: a raw disk, a fixed VHD, a flat extent.

use super::sink::{Encoding, Packet, Place, Sink, SinkStream};
use super::{FileIndex, Layer, LayerInfo, Mapping};
use crate::error::Result;
use crate::storage::{ImageFile, WritableFile};

/// An image whose bytes lie in one file as they are.
pub(crate) struct FlatLayer {
    info: LayerInfo,
    files: [ImageFile; 1],
}

impl FlatLayer {
    /// The caller has checked that the file is as long as the disk.
    pub(crate) fn new(info: LayerInfo, file: ImageFile) -> Self {
        Self { info, files: [file] }
    }
}

impl Layer for FlatLayer {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        Ok(Mapping::stored(limit.min(self.info.size - offset), FileIndex(0), offset))
    }
}

/// Runs of zeros of this many bytes stay holes of the file: what file systems allocate at least.
pub(crate) const FLAT_GRAIN: u64 = 4096;

/// Into a file: data go to their places, zeros stay holes.
pub(crate) struct FlatFile {
    file: WritableFile,
    size: u64,
}

impl FlatFile {
    pub(crate) fn new(file: WritableFile, size: u64) -> Result<Self> {
        file.set_size(size)?;
        Ok(Self { file, size })
    }

    /// Writes data to their place.
    pub(crate) fn put(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_all_at(data, offset)
    }

    /// The place of its bytes, which begin at `start` of the disk.
    pub(crate) fn place(&self, start: u64) -> Place {
        Place { start, len: self.size, file: self.file.clone(), offset: 0 }
    }
}

impl Sink for FlatFile {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: FLAT_GRAIN }
    }

    fn places(&self) -> Vec<Place> {
        vec![self.place(0)]
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        packet.iter().try_for_each(|(offset, data)| self.put(offset, data))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Into a pipe: zeros are written out.
pub(crate) struct FlatStream<'w> {
    out: SinkStream<'w>,
    size: u64,
}

impl<'w> FlatStream<'w> {
    pub(crate) fn new(out: SinkStream<'w>, size: u64) -> Self {
        Self { out, size }
    }
}

impl Sink for FlatStream<'_> {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: FLAT_GRAIN }
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        packet.iter().try_for_each(|(offset, data)| {
            self.out.zeros_to(offset)?;
            self.out.write_all(data)
        })
    }

    fn finish(&mut self) -> Result<()> {
        self.out.zeros_to(self.size)?;
        self.out.flush()
    }
}
