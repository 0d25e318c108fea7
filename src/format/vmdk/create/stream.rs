//! streamOptimized, strictly forwards.
//!
//! The layout is that of VMware's disklib and of VirtualBox, which every reader takes: header with the directory
//! "at the end", descriptor, grains each behind its marker, a grain table behind its marker after the grains it
//! covers, the directory, the footer, end of stream ("Virtual Disk Format 5.0", section "Stream-Optimized
//! Compressed Sparse Extents"). Header version 3, or ESXi refuses the file.

#[cfg(feature = "digest")]
use std::ops::Range;

use byteorder::{ByteOrder, LittleEndian};
use zerocopy::{FromZeros, IntoBytes};

use super::super::layout::{
    COMPRESSION_DEFLATE, GD_AT_END, GRAIN_MARKER, GTES_PER_GT, HeaderFlags, KDMV, KDMV_UNFINISHED,
    MARKER_END_OF_STREAM, MARKER_FOOTER, MARKER_GRAIN_DIRECTORY, MARKER_GRAIN_TABLE, Marker, NEWLINE_TEST,
    SECTOR, SparseExtentHeader,
};
use super::Descriptor;
use super::descriptor::EMBEDDED_SECTORS;
use super::sparse::{GRAIN, GRAIN_SECTORS, grain_tables, sector32};
use crate::error::Result;
use crate::format::tools::table::TableWriter;
#[cfg(feature = "digest")]
use crate::sink::Seen;
use crate::sink::{Encoding, Framing, Packet, Sink, SinkStream};

/// A streamOptimized VMDK being written.
pub(crate) struct Stream<'w> {
    out: SinkStream<'w>,
    header: SparseExtentHeader,
    level: Option<u32>,
    table: TableWriter,
    /// The sector of each grain table, 0 where there is none.
    directory: Vec<u32>,
}

impl<'w> Stream<'w> {
    /// Begins with the header and the descriptor. `level` is that of deflate, if one was asked for.
    pub(crate) fn new(mut out: SinkStream<'w>, descriptor: &Descriptor, level: Option<u32>) -> Result<Self> {
        let sectors = descriptor.sectors;
        let flags = HeaderFlags::NEWLINE_TEST | HeaderFlags::COMPRESSED | HeaderFlags::MARKERS;
        let header = SparseExtentHeader {
            magic: KDMV,
            version: 3.into(),
            flags: flags.bits().into(),
            capacity: sectors.into(),
            grain_size: GRAIN_SECTORS.into(),
            descriptor_offset: 1.into(),
            descriptor_size: EMBEDDED_SECTORS.into(),
            num_gtes_per_gt: GTES_PER_GT.into(),
            rgd_offset: 0.into(),
            gd_offset: GD_AT_END.into(),
            over_head: GRAIN_SECTORS.into(),
            unclean_shutdown: 0,
            newline_test: NEWLINE_TEST,
            compress_algorithm: COMPRESSION_DEFLATE.into(),
            pad: [0; 433],
        };
        // A file that is cut off is no disk: what makes it one comes last.
        let magic = if out.file().is_some() { KDMV_UNFINISHED } else { KDMV };
        out.write_all(SparseExtentHeader { magic, ..header }.as_bytes())?;
        out.write_all(&descriptor.embedded())?;
        out.zeros_to(GRAIN_SECTORS * SECTOR)?;
        let tables = sectors.div_ceil(GRAIN_SECTORS).div_ceil(GTES_PER_GT.into());
        Ok(Self { out, header, level, table: grain_tables(), directory: vec![0; tables as usize] })
    }

    /// Goes on to the table of `grain`, and writes the one that the data have passed.
    fn turn_to(&mut self, grain: Option<u64>) -> Result<()> {
        let (out, directory) = (&mut self.out, &mut self.directory);
        self.table.turn_to(grain, |number, bytes| {
            directory[number as usize] = sector32(marked(out, MARKER_GRAIN_TABLE, bytes)?)?;
            Ok(())
        })
    }
}

/// Writes a marker and what it announces, and returns the sector of the latter.
fn marked(out: &mut SinkStream<'_>, kind: u32, content: &[u8]) -> Result<u64> {
    let mut marker = Marker::new_zeroed();
    marker.value = (content.len() as u64).div_ceil(SECTOR).into();
    marker.kind = kind.into();
    out.write_all(marker.as_bytes())?;
    let start = out.position();
    out.write_all(content)?;
    out.zeros_to(out.position().next_multiple_of(SECTOR))?;
    Ok(start / SECTOR)
}

impl Sink for Stream<'_> {
    fn encoding(&self) -> Encoding {
        let framing = Framing { header: GRAIN_MARKER as usize, align: SECTOR as usize, fill: mark_grain };
        Encoding::Deflate { grain: GRAIN, level: self.level, framing }
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        // Grains of one table stand together in the buffer and go out in one write.
        let mut unwritten = 0;
        for piece in &packet.pieces {
            let grain = piece.offset / GRAIN;
            if !self.table.covers(grain) {
                self.out.write_all(&packet.buffer[unwritten..piece.at])?;
                unwritten = piece.at;
                self.turn_to(Some(grain))?;
            }
            let place = self.out.position() + (piece.at - unwritten) as u64;
            self.table.set(grain, &sector32(place / SECTOR)?.to_le_bytes());
        }
        self.out.write_all(&packet.buffer[unwritten..])
    }

    #[cfg(feature = "digest")]
    fn take_back(&mut self, range: Range<u64>, seen: &mut Seen<'_>) -> Result<bool> {
        let Some(file) = self.out.file().cloned() else { return Ok(false) };
        let size = file.size()?;
        for offset in range.step_by(GRAIN as usize) {
            self.turn_to(Some(offset / GRAIN))?;
            let place = self.out.position();
            let mut marker = [0; GRAIN_MARKER as usize];
            if place + GRAIN_MARKER > size {
                return Ok(false);
            }
            file.read_exact_at(&mut marker, place)?;
            let compressed = u64::from(LittleEndian::read_u32(&marker[8..]));
            let len = (GRAIN_MARKER + compressed).next_multiple_of(SECTOR);
            let is_grain = LittleEndian::read_u64(&marker) == offset / SECTOR;
            if !is_grain || compressed > 2 * GRAIN || place + len > size {
                return Ok(false);
            }
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, place)?;
            seen(offset..offset + GRAIN, &bytes);
            self.table.set(offset / GRAIN, &sector32(place / SECTOR)?.to_le_bytes());
            self.out.pass_over(len);
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<()> {
        self.turn_to(None)?;
        let mut bytes = vec![0; self.directory.len() * 4];
        LittleEndian::write_u32_into(&self.directory, &mut bytes);
        let directory = marked(&mut self.out, MARKER_GRAIN_DIRECTORY, &bytes)?;
        let footer = SparseExtentHeader { gd_offset: directory.into(), ..self.header };
        marked(&mut self.out, MARKER_FOOTER, footer.as_bytes())?;
        marked(&mut self.out, MARKER_END_OF_STREAM, &[])?;
        self.out.flush()?;
        match self.out.file() {
            Some(file) => {
                // What an earlier run left behind the end.
                file.set_size(self.out.position())?;
                file.write_all_at(&KDMV, 0)
            }
            None => Ok(()),
        }
    }
}

/// Fills in the marker in front of a grain's compressed bytes.
fn mark_grain(offset: u64, compressed: u32, marker: &mut [u8]) {
    LittleEndian::write_u64(&mut marker[..8], offset / SECTOR);
    LittleEndian::write_u32(&mut marker[8..GRAIN_MARKER as usize], compressed);
}
