//! Files that the Windows Overlay Filter keeps compressed (CompactOS): the data are a hole as long as the file, and a
//! second stream holds them in compressed chunks.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::file::File;
use super::flaw::{Flaw, flaw, refused};
use super::record::kind;
use super::stream::Stream;
use super::xpress;
use crate::error::Result;

/// The stream with the compressed data.
pub(super) const STREAM: &str = "WofCompressedData";
/// The tag of its reparse points.
pub(super) const TAG: u32 = 0x8000_0017;
/// Windows allows no longer reparse point.
const MAX_REPARSE: u64 = 16 << 10;
/// The provider that keeps the data in the file itself, rather than in a WIM.
const FILE_PROVIDER: u32 = 2;

/// What `$REPARSE_POINT` holds for a file of WOF.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ReparsePoint {
    tag: U32,
    len: U16,
    reserved: U16,
    version: U32,
    provider: U32,
    provider_version: U32,
    algorithm: U32,
}

/// What a file's reparse point says of it.
pub(super) enum Reparse {
    /// It has none.
    None,
    /// It is compressed in chunks of so many bytes.
    Compressed { chunk: usize },
    /// It is something else: a link, a placeholder.
    Other(u32),
}

pub(super) fn reparse(file: &File) -> Result<Reparse> {
    let Some(stream) = Stream::find(file.volume, &file.record, kind::REPARSE_POINT, "")? else {
        return Ok(Reparse::None);
    };
    let bytes = stream.read(file.volume, MAX_REPARSE)?;
    let tag = U32::read_from_prefix(&bytes).map_or(0, |(tag, _)| tag.get());
    let point = match ReparsePoint::ref_from_prefix(&bytes) {
        Ok((point, _)) if tag == TAG => point,
        _ => return Ok(Reparse::Other(tag)),
    };
    match (point.provider.get(), point.algorithm.get()) {
        (FILE_PROVIDER, 0) => Ok(Reparse::Compressed { chunk: 4 << 10 }),
        (FILE_PROVIDER, 2) => Ok(Reparse::Compressed { chunk: 8 << 10 }),
        (FILE_PROVIDER, 3) => Ok(Reparse::Compressed { chunk: 16 << 10 }),
        (FILE_PROVIDER, 1) => Err(refused(
            "the file is compressed with LZX (compact /exe:lzx): uncompress it with compact /u /exe",
        )),
        (FILE_PROVIDER, algorithm) => {
            Err(refused(&format!("the file is compressed by an unknown algorithm of WOF, {algorithm}")))
        }
        _ => Err(refused("the file is kept in a WIM (WIMBoot)")),
    }
}

/// The `size` bytes of a file whose second stream is `stored`: a table of where each chunk but the first begins behind
/// it, then the chunks.
pub(super) fn decompress(stored: &[u8], size: usize, chunk: usize) -> Result<Vec<u8>, Flaw> {
    let chunks = size.div_ceil(chunk);
    // Files from 4 GiB on have wider entries; none is read whole.
    let table = chunks.saturating_sub(1).saturating_mul(4);
    let (table, data) = stored.split_at_checked(table).ok_or_else(|| {
        flaw(format!("a table of {chunks} chunks"), format!("{} bytes in all", stored.len()))
    })?;
    let begins = table.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let ends = begins.clone().chain([data.len()]);
    let mut out = Vec::with_capacity(size);
    for (begin, end) in std::iter::once(0).chain(begins).zip(ends).take(chunks) {
        let bytes = data.get(begin..end);
        let bytes =
            bytes.ok_or_else(|| flaw("chunks one after another", format!("one from {begin} to {end}")))?;
        let len = chunk.min(size - out.len());
        match bytes.len() == len {
            true => out.extend_from_slice(bytes),
            false => out.extend(xpress::decompress(bytes, len)?),
        }
    }
    Ok(out)
}
