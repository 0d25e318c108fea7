//! What worker threads do: read a batch of spans and prepare it for the sink.

use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::disk::plan::Span;
use crate::disk::sink::{Encoding, Framing, Packet, Piece, nonzero_pieces};
use crate::disk::{Disk, Pool};
use crate::error::{Error, Result};

/// Spans that are worked on together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) spans: Vec<Span>,
    pub(super) bytes: u64,
}

/// Reads and prepares batches, on any number of threads at once.
pub(super) struct Encoder {
    disk: Disk,
    encoding: Encoding,
    buffers: Arc<Pool>,
    /// Compressors that wait to be used again: a new one costs more than a grain.
    compressors: Mutex<Vec<Compress>>,
}

impl Encoder {
    pub(super) fn new(disk: Disk, encoding: Encoding) -> Self {
        Self { disk, encoding, buffers: Arc::default(), compressors: Mutex::default() }
    }

    pub(super) fn encode(&self, batch: &Batch) -> Result<Packet> {
        let mut buffer = self.buffers.take(batch.bytes as usize);
        let mut pieces = Vec::new();
        let mut at = 0;
        for span in &batch.spans {
            let end = at + span.len as usize;
            let bytes = &mut buffer[at..end];
            span.read(&self.disk, bytes)?;
            nonzero_pieces(&mut pieces, span.start, at, bytes, self.encoding.grain());
            at = end;
        }
        let packet = Packet { pieces, buffer };
        match self.encoding {
            Encoding::Plain { .. } => Ok(packet),
            Encoding::Deflate { grain, level, framing } => {
                self.deflate(&packet, grain as usize, level, framing)
            }
        }
    }

    fn deflate(&self, plain: &Packet, grain: usize, level: u32, framing: Framing) -> Result<Packet> {
        let pop = || self.compressors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut compressor = pop().unwrap_or_else(|| Compress::new(Compression::new(level), true));
        let mut out = self.buffers.take(0);
        let mut padded = Vec::new();
        let mut pieces = Vec::new();
        for (offset, data) in plain.iter() {
            for (index, bytes) in data.chunks(grain).enumerate() {
                // Readers want a whole grain even where the disk ends within it.
                let bytes = if bytes.len() < grain {
                    padded = bytes.to_vec();
                    padded.resize(grain, 0);
                    &padded[..]
                } else {
                    bytes
                };
                let offset = offset + (index * grain) as u64;
                let at = out.vec().len();
                deflate_grain(&mut compressor, offset, bytes, framing, out.vec())?;
                pieces.push(Piece { offset, at, len: out.len() - at });
            }
        }
        drop(padded);
        self.compressors.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        Ok(Packet { pieces, buffer: out })
    }
}

/// Appends one framed grain to `out`.
fn deflate_grain(
    compressor: &mut Compress,
    offset: u64,
    bytes: &[u8],
    framing: Framing,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    let body = start + framing.header;
    // What zlib's deflateBound allows for, and more: stored blocks add 5 bytes each, the wrapper 6.
    out.resize(body + bytes.len() + bytes.len() / 1000 + 64, 0);
    compressor.reset();
    let status = compressor.compress(bytes, &mut out[body..], FlushCompress::Finish);
    if !matches!(status, Ok(Status::StreamEnd)) {
        return Err(Error::io("compress", "a grain", std::io::Error::other(format!("{status:?}"))));
    }
    let compressed = compressor.total_out();
    (framing.fill)(offset, compressed as u32, &mut out[start..body]);
    let end = body + compressed as usize;
    out.resize(end.next_multiple_of(framing.align), 0);
    out[end..].fill(0);
    Ok(())
}
