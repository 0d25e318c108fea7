//! Where a copy goes: a format that takes data in order.

pub(crate) mod blueprint;

use std::io::Write;
#[cfg(feature = "digest")]
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::disk::Buffer;
use crate::error::{Error, Result};
use crate::leaves::{ZEROS, is_zero};
use crate::storage::WritableFile;

/// An image that is being written from front to back.
///
/// Data come in the order of the virtual disk; what does not come is zeros.
pub(crate) trait Sink: Send {
    /// How data are to be prepared, which worker threads do.
    fn encoding(&self) -> Encoding;

    /// Which parts of the disk have their places whatever the data are, in order.
    fn places(&self) -> Vec<Place> {
        Vec::new()
    }

    /// Takes the next data.
    fn write(&mut self, packet: &Packet) -> Result<()>;

    #[cfg(feature = "digest")]
    /// Takes back the data of `range`, which an earlier run has written, in place of [`write`](Self::write): they get the
    /// same places, and are read back from there. Every block or grain of the range holds data. Says `false` when the output
    /// cannot be what was written.
    fn take_back(&mut self, range: Range<u64>, seen: &mut Seen<'_>) -> Result<bool> {
        let _ = (range, seen);
        Ok(false)
    }

    /// Writes what comes last. Before this, nothing reads the output as a disk.
    fn finish(&mut self) -> Result<()>;
}

/// A part of the disk that lies in a file of the output as it is.
pub(crate) struct Place {
    /// First byte of the disk.
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) file: WritableFile,
    /// Where its first byte lies in the file.
    pub(crate) offset: u64,
}
#[cfg(feature = "digest")]
/// Is shown data that were read back, with the range of the disk that they are of.
pub(crate) type Seen<'a> = dyn FnMut(Range<u64>, &[u8]) + 'a;

/// How data are prepared for a sink.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Encoding {
    /// As they are; grains of zeros are left out.
    Plain {
        /// Bytes of a grain.
        grain: u64,
    },
    /// Each grain that is not zeros, compressed with zlib and framed.
    Deflate {
        /// Bytes of a grain; the last one is padded with zeros to it.
        grain: u64,
        /// Level of compression, 0 to 9, that was asked for. Without one, grains that the source has compressed alike are
        /// taken as they are.
        level: Option<u32>,
        /// What the format puts around it.
        framing: Framing,
    },
}

/// What a format puts around a compressed grain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing {
    /// Bytes in front of the compressed ones.
    pub(crate) header: usize,
    /// The whole is padded with zeros to a multiple of this.
    pub(crate) align: usize,
    /// Fills in the header, given the grain's virtual offset and its number of compressed bytes.
    pub(crate) fill: fn(u64, u32, &mut [u8]),
}

impl Encoding {
    /// Bytes of a grain.
    pub(crate) fn grain(self) -> u64 {
        match self {
            Encoding::Plain { grain } | Encoding::Deflate { grain, .. } => grain,
        }
    }
}

/// Data on the way to a sink: pieces of a buffer, in the order of the virtual disk.
pub(crate) struct Packet {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) buffer: Buffer,
}

/// Data for one place of the virtual disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// Where they belong on the virtual disk, in bytes.
    pub(crate) offset: u64,
    /// Where they begin in the buffer.
    pub(crate) at: usize,
    /// How many bytes of the buffer they are.
    pub(crate) len: usize,
}

impl Packet {
    /// The pieces with their bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pieces.iter().map(|piece| (piece.offset, &self.buffer[piece.at..piece.at + piece.len]))
    }
}

/// Someone who is shown all data of the disk in order, and `None` behind them.
pub(crate) type Watcher = SyncSender<Option<Arc<Packet>>>;

/// The parts of `bytes`, which belong at `offset`, that are not grains of zeros, as long pieces of a buffer in
/// which they begin at `at`.
pub(crate) fn nonzero_pieces(pieces: &mut Vec<Piece>, offset: u64, at: usize, bytes: &[u8], grain: u64) {
    let mut open: Option<Piece> = None;
    let mut done = 0;
    while done < bytes.len() {
        // Up to the next multiple of the grain, on the virtual disk.
        let len = (grain - (offset + done as u64) % grain).min((bytes.len() - done) as u64) as usize;
        if is_zero(&bytes[done..done + len]) {
            pieces.extend(open.take());
        } else {
            let fresh = Piece { offset: offset + done as u64, at: at + done, len: 0 };
            open.get_or_insert(fresh).len += len;
        }
        done += len;
    }
    pieces.extend(open);
}

/// Writes strictly forwards, to a file or a pipe.
pub(crate) struct SinkStream<'w> {
    out: Out<'w>,
    written: u64,
}

enum Out<'w> {
    /// With its name in messages.
    Pipe(Box<dyn Write + Send + 'w>, String),
    File(WritableFile),
}

impl<'w> SinkStream<'w> {
    pub(crate) fn new(out: impl Write + Send + 'w, name: impl Into<String>) -> Self {
        Self { out: Out::Pipe(Box::new(out), name.into()), written: 0 }
    }

    pub(crate) fn to_file(file: WritableFile) -> Self {
        Self { out: Out::File(file), written: 0 }
    }

    /// The file that is written to, unless it is a pipe.
    pub(crate) fn file(&self) -> Option<&WritableFile> {
        match &self.out {
            Out::Pipe(..) => None,
            Out::File(file) => Some(file),
        }
    }

    /// Bytes written so far.
    pub(crate) fn position(&self) -> u64 {
        self.written
    }

    pub(crate) fn write_all(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.out {
            Out::Pipe(out, name) => out.write_all(data).map_err(|e| Error::io("write", &*name, e))?,
            Out::File(file) => file.write_all_at(data, self.written)?,
        }
        self.written += data.len() as u64;
        Ok(())
    }

    #[cfg(feature = "digest")]
    /// Leaves `len` bytes of a file as they are.
    pub(crate) fn pass_over(&mut self, len: u64) {
        self.written += len;
    }

    /// Writes zeros up to `position`.
    pub(crate) fn zeros_to(&mut self, position: u64) -> Result<()> {
        while self.written < position {
            let len = (position - self.written).min(ZEROS.len() as u64) as usize;
            self.write_all(&ZEROS[..len])?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        match &mut self.out {
            Out::Pipe(out, name) => out.flush().map_err(|e| Error::io("write", &*name, e)),
            Out::File(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_grains_are_left_out_on_the_disks_grid() {
        let mut bytes = vec![1; 40];
        bytes[6..16].fill(0); // the disk's bytes 10 to 20, of which 12 to 20 are grains
        bytes[30] = 0;
        let mut pieces = Vec::new();
        nonzero_pieces(&mut pieces, 4, 100, &bytes, 4);
        let found: Vec<_> = pieces.iter().map(|p| (p.offset, p.at, p.len)).collect();
        assert_eq!(found, [(4, 100, 8), (20, 116, 24)]);
    }
}
