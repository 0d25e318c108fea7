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
    compressors: Mutex<Vec<Compressor>>,
}

/// Compresses grains, one at a time.
struct Compressor {
    deflate: Compress,
    /// For grains that deflate would make larger.
    store: Compress,
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
        let mut compressor = pop().unwrap_or_else(|| Compressor {
            deflate: Compress::new(Compression::new(level), true),
            store: Compress::new(Compression::none(), true),
        });
        let mut out = self.buffers.take(0);
        let mut pieces = Vec::new();
        for (offset, data) in plain.iter() {
            for (index, bytes) in data.chunks(grain).enumerate() {
                let offset = offset + (index * grain) as u64;
                let at = out.len();
                if bytes.len() == grain {
                    compressor.append(offset, bytes, framing, out.vec())?;
                } else {
                    // Readers want a whole grain even where the disk ends within it.
                    let mut whole = bytes.to_vec();
                    whole.resize(grain, 0);
                    compressor.append(offset, &whole, framing, out.vec())?;
                }
                pieces.push(Piece { offset, at, len: out.len() - at });
            }
        }
        self.compressors.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        Ok(Packet { pieces, buffer: out })
    }
}

/// Bytes that a compressed grain may be longer than the grain. Stored blocks add 5 bytes each and the wrapper 6;
/// open-vmdk accepts 500.
const EXPANSION: usize = 64;

impl Compressor {
    /// Appends one framed grain to `out`.
    fn append(&mut self, offset: u64, bytes: &[u8], framing: Framing, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let body = start + framing.header;
        out.resize(body + bytes.len() + EXPANSION, 0);
        // The fast levels can make noise an eighth larger: more than readers accept, and more than storing it takes.
        let compressed = match whole(&mut self.deflate, bytes, &mut out[body..])? {
            Some(len) => len,
            None => whole(&mut self.store, bytes, &mut out[body..])?
                .ok_or_else(|| Error::io("store", "a grain", std::io::ErrorKind::WriteZero.into()))?,
        };
        (framing.fill)(offset, compressed as u32, &mut out[start..body]);
        let end = body + compressed;
        out.resize(end.next_multiple_of(framing.align), 0);
        out[end..].fill(0);
        Ok(())
    }
}

/// Compresses `bytes` into `out` and returns the length; `None` when there is not room enough.
fn whole(compress: &mut Compress, bytes: &[u8], out: &mut [u8]) -> Result<Option<usize>> {
    compress.reset();
    let failed = |e| Error::io("compress", "a grain", std::io::Error::other(e));
    let status = compress.compress(bytes, out, FlushCompress::Finish).map_err(failed)?;
    Ok((status == Status::StreamEnd).then(|| compress.total_out() as usize))
}
