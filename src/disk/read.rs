//! Reading: an extent's bytes, from where the map says they are.

use std::cell::RefCell;
use std::sync::Arc;

use super::extents::resolve;
use super::layer::{Codec, MappingKind, Packed};
use super::{Disk, Extent};
use crate::deflate::inflate;
use crate::error::{Defect, Error, Problem, Result};
use crate::leaves::Format;
use crate::storage::ImageFile;

impl Disk {
    /// Fills `buf` with the bytes from the virtual `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when that passes the end of the disk, [`Error::Incomplete`] when a parent is
    /// missing, and whatever the image's files give rise to.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        read_at(self, buf, offset)
    }
}

fn read_at(disk: &Disk, buf: &mut [u8], offset: u64) -> Result<()> {
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
            let format = disk.chain()[extent.depth as usize].info().format;
            let grain = Grain { format, file, packed };
            if buf.len() == packed.unpacked as usize {
                // A whole grain: nobody will ask for the rest of it.
                return grain.unpack(buf);
            }
            let key = (extent.depth, packed.file, packed.offset);
            let bytes: Arc<Vec<u8>> = disk.inner.grains.get_at(packed.offset / 512, key, || {
                let mut bytes = vec![0; packed.unpacked as usize];
                grain.unpack(&mut bytes)?;
                Ok(bytes)
            })?;
            let skip = packed.skip as usize;
            let part = bytes.get(skip..skip + buf.len());
            buf.copy_from_slice(part.ok_or_else(|| grain.bad(format!("{} bytes", bytes.len())))?);
            Ok(())
        }
        _ => {
            buf.fill(0);
            Ok(())
        }
    }
}

/// A compressed grain, with what an error says of it.
struct Grain<'a> {
    format: Format,
    file: &'a ImageFile,
    packed: Packed,
}

impl Grain<'_> {
    /// Inflates the grain into `out`, which must be filled exactly.
    fn unpack(&self, out: &mut [u8]) -> Result<()> {
        let Codec::Zlib = self.packed.codec;
        // Taken, not borrowed: the storage may read another disk of ours on this thread.
        let mut bytes = COMPRESSED.take();
        bytes.resize(self.packed.len as usize, 0);
        let inflated = self.file.read_exact_at(&mut bytes, self.packed.offset).map(|()| inflate(&bytes, out));
        COMPRESSED.set(bytes);
        match inflated? {
            Ok(len) if len == out.len() => Ok(()),
            Ok(len) => Err(self.bad(format!("{len} bytes"))),
            Err(what) => Err(self.bad(what)),
        }
    }

    fn bad(&self, found: impl Into<String>) -> Error {
        let Packed { offset, len, unpacked, .. } = self.packed;
        let expected = format!("a zlib stream of {len} bytes that inflates to {unpacked}");
        let name = self.file.name();
        Defect::new(self.format, Problem::Compression, name, "compressed grain", offset, expected, found)
            .into()
    }
}

thread_local! {
    /// Room for the compressed bytes of a grain.
    static COMPRESSED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
