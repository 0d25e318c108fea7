//! What worker threads do: read a batch of spans and prepare it for the sink.

use std::sync::{Arc, Mutex, PoisonError};

use crate::deflate::Compressor;
use crate::disk::plan::Span;
use crate::disk::{Codec, Disk, MappingKind, Packed, Pool};
use crate::error::Result;
use crate::sink::{Encoding, Framing, Packet, Piece, nonzero_pieces};
use crate::storage::ImageFile;

/// Level of deflate unless another is asked for.
const DEFAULT_LEVEL: u32 = 6;
/// Bytes that a compressed grain may be longer than the grain; open-vmdk accepts 500.
const EXPANSION: usize = 64;

/// Spans that are worked on together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) spans: Vec<Span>,
    pub(super) bytes: u64,
}

/// A batch that was prepared.
pub(super) struct Encoded {
    /// What the sink is given.
    pub(super) packet: Arc<Packet>,
    /// The data as they are on the disk, for those who want to see them.
    pub(super) plain: Option<Arc<Packet>>,
}

/// Reads and prepares batches, on any number of threads at once.
pub(super) struct Encoder {
    disk: Disk,
    encoding: Encoding,
    /// Whether zeros among data are left out.
    detect_zeros: bool,
    /// Whether someone wants to see the data as they are.
    watched: bool,
    buffers: Arc<Pool>,
    /// Compressors that wait to be used again: a new one costs more than a grain.
    compressors: Mutex<Vec<Compressor>>,
}

impl Encoder {
    pub(super) fn new(disk: Disk, encoding: Encoding, detect_zeros: bool, watched: bool) -> Self {
        let (buffers, compressors) = Default::default();
        Self { disk, encoding, detect_zeros, watched, buffers, compressors }
    }

    pub(super) fn encode(&self, batch: &Batch) -> Result<Encoded> {
        let mut buffer = self.buffers.take(batch.bytes as usize);
        let mut pieces = Vec::new();
        let mut at = 0;
        for span in &batch.spans {
            let end = at + span.len as usize;
            let bytes = &mut buffer[at..end];
            span.read(&self.disk, bytes)?;
            if self.detect_zeros {
                nonzero_pieces(&mut pieces, span.start, at, bytes, self.encoding.grain());
            } else {
                pieces.push(Piece { offset: span.start, at, len: bytes.len() });
            }
            at = end;
        }
        let plain = Arc::new(Packet { pieces, buffer });
        let packet = match self.encoding {
            Encoding::Plain { .. } => plain.clone(),
            Encoding::Deflate { grain, level, framing } => {
                let packed = if level.is_none() { self.packed_grains(batch, grain) } else { Vec::new() };
                let level = level.unwrap_or(DEFAULT_LEVEL);
                Arc::new(self.deflate(&plain, &packed, grain as usize, level, framing)?)
            }
        };
        Ok(Encoded { packet, plain: self.watched.then_some(plain) })
    }

    /// Compresses the grains of `plain`, but for those that are `packed` already, which are taken as they are.
    fn deflate(
        &self,
        plain: &Packet,
        mut packed: &[PackedGrain<'_>],
        grain: usize,
        level: u32,
        framing: Framing,
    ) -> Result<Packet> {
        let pop = || self.compressors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut compressor = pop().unwrap_or_else(|| Compressor::new(level));
        let mut out = self.buffers.take(0);
        let mut pieces = Vec::new();
        for (offset, data) in plain.iter() {
            for (index, bytes) in data.chunks(grain).enumerate() {
                let offset = offset + (index * grain) as u64;
                let at = out.len();
                while packed.first().is_some_and(|grain| grain.offset < offset) {
                    packed = &packed[1..];
                }
                if let Some(packed) = packed.first().filter(|grain| grain.offset == offset) {
                    packed.append(framing, out.vec())?;
                } else if bytes.len() == grain {
                    append(&mut compressor, offset, bytes, framing, out.vec());
                } else {
                    // Readers want a whole grain even where the disk ends within it.
                    let mut whole = bytes.to_vec();
                    whole.resize(grain, 0);
                    append(&mut compressor, offset, &whole, framing, out.vec());
                }
                pieces.push(Piece { offset, at, len: out.len() - at });
            }
        }
        self.compressors.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        Ok(Packet { pieces, buffer: out })
    }

    /// The grains of a batch that need not be compressed again. They were inflated with all the others: what does not
    /// inflate to a grain is refused, and zeros are left out.
    fn packed_grains<'a>(&'a self, batch: &'a Batch, grain: u64) -> Vec<PackedGrain<'a>> {
        let parts = batch.spans.iter().flat_map(|span| &span.parts);
        let packed = parts.filter_map(|extent| match extent.kind {
            MappingKind::Packed(packed)
                if packed.codec == Codec::Zlib
                    && (packed.skip, u64::from(packed.unpacked), extent.len) == (0, grain, grain)
                    && extent.start.is_multiple_of(grain)
                    && packed.len as usize <= grain as usize + EXPANSION =>
            {
                let file = self.disk.file_of(extent)?;
                Some(PackedGrain { offset: extent.start, file, packed })
            }
            _ => None,
        });
        packed.collect()
    }
}

/// A grain that its source has in the same size and the same compression.
struct PackedGrain<'a> {
    offset: u64,
    file: &'a ImageFile,
    packed: Packed,
}

impl PackedGrain<'_> {
    /// Appends the grain as its source has it, in the output's frame.
    fn append(&self, framing: Framing, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let body = start + framing.header;
        let end = body + self.packed.len as usize;
        out.resize(end.next_multiple_of(framing.align), 0);
        self.file.read_exact_at(&mut out[body..end], self.packed.offset)?;
        (framing.fill)(self.offset, self.packed.len, &mut out[start..body]);
        Ok(())
    }
}

/// Appends one grain, compressed and framed, to `out`.
fn append(compressor: &mut Compressor, offset: u64, grain: &[u8], framing: Framing, out: &mut Vec<u8>) {
    let start = out.len();
    let body = start + framing.header;
    out.resize(body, 0);
    compressor.zlib(grain, out);
    let compressed = (out.len() - body) as u32;
    (framing.fill)(offset, compressed, &mut out[start..body]);
    out.resize(out.len().next_multiple_of(framing.align), 0);
}
