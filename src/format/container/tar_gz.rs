//! A raw disk as the file `disk.raw` in a compressed tar: what Google Compute Engine imports.
//!
//! The tar is what `tar --format=oldgnu -Sczf` makes, which Google's instructions ask for: the map of the sparse file comes first, then
//! only what it says is stored. So the time is that of the data, whatever the size of the disk.

use std::ops::Range;

use super::gzip::Gzip;
use super::sparse::{GRAIN, Stored};
use super::tar;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::tools::context::OutputOptions;
use crate::sink::{Encoding, Packet, Sink, SinkStream};

/// The name that Google demands.
const NAME: &str = "disk.raw";
/// That of gzip.
const DEFAULT_LEVEL: u32 = 6;

/// The tar being written.
pub(crate) struct TarGz<'w> {
    out: Gzip<'w>,
    stored: Stored,
    /// What of a stored range is still to come.
    range: Range<u64>,
    disk: Disk,
}

impl<'w> TarGz<'w> {
    /// Begins with the map of `disk`.
    pub(crate) fn new(out: SinkStream<'w>, disk: &Disk, options: &OutputOptions) -> Result<Self> {
        disk.check_reads_again("a tar.gz, which begins with the map of its disk,")?;
        let (mut count, mut bytes) = (0, 0);
        for range in Stored::of(disk) {
            let range = range?;
            count += 1;
            bytes += range.end - range.start;
        }
        let mut out = Gzip::new(out, options.level.unwrap_or(DEFAULT_LEVEL), options.threads)?;
        // The last entry, of nothing, says where the file ends, as tar's own does.
        let end = std::iter::once(Ok((disk.size(), 0)));
        let entries = Stored::of(disk).map(|range| range.map(|range| (range.start, range.end - range.start)));
        tar::gnu_sparse(NAME, disk.size(), bytes, count + 1, entries.chain(end), |block| {
            out.write_all(block)
        })?;
        Ok(Self { out, stored: Stored::of(disk), range: 0..0, disk: disk.clone() })
    }

    /// Writes zeros for what is stored and did not come, up to `end`, which is stored itself unless it is the disk's.
    fn advance_to(&mut self, end: u64) -> Result<()> {
        loop {
            let now = end.min(self.range.end);
            if now > self.range.start {
                self.out.write_zeros(now - self.range.start)?;
                self.range.start = now;
            }
            if !self.range.is_empty() {
                return Ok(());
            }
            match self.stored.next().transpose()? {
                Some(range) => self.range = range,
                None => return Ok(()),
            }
            if self.range.start > end {
                return Ok(());
            }
        }
    }

    /// The map that was written no longer holds.
    fn changed(&self) -> Error {
        let file = self.disk.chain().iter().find_map(|layer| layer.files().first());
        Error::SourceChanged { path: file.map_or_else(String::new, |file| file.name().to_owned()) }
    }
}

impl Sink for TarGz<'_> {
    fn encoding(&self) -> Encoding {
        Encoding::Plain { grain: GRAIN }
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        for (offset, data) in packet.iter() {
            self.advance_to(offset)?;
            let end = offset + data.len() as u64;
            if self.range.start != offset || self.range.end < end {
                return Err(self.changed());
            }
            self.out.write_all(data)?;
            self.range.start = end;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.advance_to(self.disk.size())?;
        let padding = tar::padding(self.out.position());
        self.out.write_zeros(padding)?;
        let ending = tar::ending(self.out.position());
        self.out.write_zeros(ending)?;
        self.out.finish()
    }
}
