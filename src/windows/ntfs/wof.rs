//! Files that the Windows Overlay Filter keeps compressed (CompactOS): the data are a hole as long as the file, and a
//! second stream holds them in compressed chunks.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::file::File;
use super::flaw::{Flaw, flaw, refused};
use super::stream::Stream;
use super::volume::Volume;
use super::{reparse, xpress};
use crate::error::Result;

/// The stream with the compressed data.
pub(super) const STREAM: &str = "WofCompressedData";
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
    let Some(bytes) = reparse::bytes(file.volume, &file.record)? else { return Ok(Reparse::None) };
    let tag = U32::read_from_prefix(&bytes).map_or(0, |(tag, _)| tag.get());
    let point = match ReparsePoint::ref_from_prefix(&bytes) {
        Ok((point, _)) if tag == reparse::WOF => point,
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

/// Fills `buf` from byte `offset` of a file of `size` bytes whose second stream is `stored`: a table of where each chunk but
/// the first begins behind it, then the chunks.
pub(super) fn read_at(
    volume: &Volume,
    stored: &Stream,
    (size, chunk): (u64, u64),
    buf: &mut [u8],
    offset: u64,
) -> Result<()> {
    let bad = |flaw: Flaw| flaw.at("WofCompressedData", 0);
    let chunks = size.div_ceil(chunk);
    let entry = if size > u64::from(u32::MAX) { 8 } else { 4 };
    let table = chunks.saturating_sub(1).saturating_mul(entry);
    let data = stored.size.checked_sub(table).ok_or_else(|| {
        bad(flaw(format!("a table of {chunks} chunks"), format!("{} bytes in all", stored.size)))
    })?;
    let begin = |number: u64| -> Result<u64> {
        match number {
            0 => Ok(0),
            _ if number >= chunks => Ok(data),
            _ => {
                let mut bytes = [0; 8];
                stored.read_at(volume, &mut bytes[..entry as usize], (number - 1) * entry)?;
                Ok(u64::from_le_bytes(bytes))
            }
        }
    };
    let (mut at, mut buf) = (offset, buf);
    let mut from = begin(at / chunk)?;
    while !buf.is_empty() {
        let number = at / chunk;
        let len = chunk.min(size - number * chunk);
        let to = begin(number + 1)?;
        // What does not become smaller is stored as it is.
        let stored_len = to
            .checked_sub(from)
            .filter(|&stored| stored <= len && to <= data)
            .ok_or_else(|| bad(flaw("chunks one after another", format!("one from {from} to {to}"))))?;
        let mut bytes = vec![0; stored_len as usize];
        stored.read_at(volume, &mut bytes, table + from)?;
        if stored_len < len {
            bytes = xpress::decompress(&bytes, len as usize).map_err(bad)?;
        }
        let bytes = &bytes[(at - number * chunk) as usize..];
        let (piece, rest) = buf.split_at_mut(bytes.len().min(buf.len()));
        piece.copy_from_slice(&bytes[..piece.len()]);
        at += piece.len() as u64;
        (buf, from) = (rest, to);
    }
    Ok(())
}
