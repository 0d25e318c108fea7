//! A descriptor with a flat extent beside it: monolithicFlat and vmfs.

use super::super::layout::SECTOR;
use super::Descriptor;
use crate::disk::flat::FlatFile;
use crate::disk::sink::{Encoding, Packet, Sink};
use crate::error::Result;
use crate::storage::WritableFile;

/// The extent takes the data; the descriptor comes last.
pub(crate) struct Flat {
    extent: FlatFile,
    file: WritableFile,
    descriptor: Descriptor,
}

impl Flat {
    /// The descriptor goes to `file`, the data to `extent`.
    pub(crate) fn new(file: WritableFile, extent: WritableFile, descriptor: Descriptor) -> Result<Self> {
        let extent = FlatFile::new(extent, descriptor.sectors * SECTOR)?;
        Ok(Self { extent, file, descriptor })
    }
}

impl Sink for Flat {
    fn encoding(&self) -> Encoding {
        self.extent.encoding()
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        self.extent.write(packet)
    }

    fn finish(&mut self) -> Result<()> {
        self.extent.finish()?;
        self.file.write_all_at(self.descriptor.text().as_bytes(), 0)
    }
}
