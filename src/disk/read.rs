//! Reading: an extent's bytes, from where the map says they are.

use std::cell::RefCell;
use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};

use super::extents::resolve;
use super::layer::{Codec, FileIndex, MappingKind, Packed};
use super::table::ChunkCache;
use super::{Disk, Extent};
use crate::error::{Error, Problem, Result};
use crate::storage::ImageFile;

/// Grains kept inflated.
const GRAINS: u64 = 4;

/// Grains inflated lately.
pub(super) struct GrainCache(ChunkCache<(u32, FileIndex, u64)>);

impl Default for GrainCache {
    fn default() -> Self {
        Self(ChunkCache::new(GRAINS))
    }
}

pub(super) fn read_at(disk: &Disk, buf: &mut [u8], offset: u64) -> Result<()> {
    let (len, size) = (buf.len() as u64, disk.size());
    let end =
        offset.checked_add(len).filter(|&end| end <= size).ok_or(Error::OutOfRange { offset, len, size })?;
    disk.check_complete()?;
    let mut fill = |extent: Extent| {
        let start = (extent.start - offset) as usize;
        read_extent(disk, &extent, &mut buf[start..start + extent.len as usize])
    };
    if disk.chain().len() > 1 {
        // Over several layers, remembering their runs pays.
        return disk.extents(offset..end).try_for_each(|extent| fill(extent?));
    }
    let mut at = offset;
    while at < end {
        let extent = resolve(disk, at, end, |depth, limit| disk.chain()[depth].map(at, limit))?;
        at += extent.len;
        fill(extent)?;
    }
    Ok(())
}

/// Fills `buf`, which is as long as the extent.
pub(crate) fn read_extent(disk: &Disk, extent: &Extent, buf: &mut [u8]) -> Result<()> {
    match (extent.kind, disk.file_of(extent)) {
        (MappingKind::Stored { offset, .. }, Some(file)) => file.read_exact_at(buf, offset),
        (MappingKind::Packed(packed), Some(file)) => {
            let skip = packed.skip as usize;
            if buf.len() == packed.unpacked as usize {
                // A whole grain: nobody will ask for the rest of it.
                return unpack(file, &packed, buf);
            }
            let key = (extent.depth, packed.file, packed.offset);
            let grain: Arc<[u8]> = disk.inner.grains.0.get_at(packed.offset / 512, key, || {
                let mut grain = vec![0; packed.unpacked as usize];
                unpack(file, &packed, &mut grain)?;
                Ok(grain)
            })?;
            let part = grain.get(skip..skip + buf.len()).ok_or_else(|| {
                bad_grain(
                    file,
                    &packed,
                    format!("{} bytes inflated", packed.unpacked),
                    format!("{}", grain.len()),
                )
            })?;
            buf.copy_from_slice(part);
            Ok(())
        }
        _ => {
            buf.fill(0);
            Ok(())
        }
    }
}

/// Inflates a grain into `out`, which must be filled exactly.
fn unpack(file: &ImageFile, packed: &Packed, out: &mut [u8]) -> Result<()> {
    let Codec::Zlib = packed.codec;
    let len = out.len();
    COMPRESSED.with_borrow_mut(|bytes| {
        bytes.resize(packed.len as usize, 0);
        file.read_exact_at(bytes, packed.offset)?;
        let wanted = || format!("a zlib stream of {} bytes that inflates to {len}", packed.len);
        match inflate(bytes, out) {
            Ok(inflated) if inflated == len => Ok(()),
            Ok(inflated) => Err(bad_grain(file, packed, wanted(), format!("{inflated} bytes"))),
            Err(what) => Err(bad_grain(file, packed, wanted(), what)),
        }
    })
}

thread_local! {
    /// Each thread's own, used again for every grain: a new one costs more than a small grain.
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(true));
    /// The compressed bytes of the grain at hand.
    static COMPRESSED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Inflates one whole zlib stream into `out` and returns how many bytes that gave, or what is wrong with it.
pub(crate) fn inflate(bytes: &[u8], out: &mut [u8]) -> std::result::Result<usize, String> {
    INFLATER.with_borrow_mut(|inflater| {
        inflater.reset(true);
        match inflater.decompress(bytes, out, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) if inflater.total_in() == bytes.len() as u64 => {
                Ok(inflater.total_out() as usize)
            }
            Ok(Status::StreamEnd) => Err(format!("a stream that ends after {} bytes", inflater.total_in())),
            Ok(_) => Err(format!("a stream that has not ended after {} bytes", inflater.total_out())),
            Err(e) => Err(e.to_string()),
        }
    })
}

fn bad_grain(
    file: &ImageFile,
    packed: &Packed,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    let format = crate::format::Format::Vmdk;
    file.defect(format, Problem::Compression, "compressed grain", packed.offset, expected, found)
}
