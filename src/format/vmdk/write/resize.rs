//! Changing the size of a disk in one extent.

use super::super::capacity::MAX_SECTORS;
use super::super::layout::SECTOR;
use super::disk::{Part, WritableVmdk, Writer};
use super::sparse::Sparse;
use crate::disk::Layer;
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::storage::WritableFile;

/// The one extent of a disk that can be given this size.
pub(super) fn check_size(disk: &WritableVmdk, size: u64) -> Result<&Part> {
    let [part] = &disk.parts[..] else {
        return Err(refused("a disk of several extents cannot be resized: convert it"));
    };
    if disk.info().subformat.starts_with("twoGb") {
        return Err(refused("a disk that is split into extents of 2 GiB cannot be resized: convert it"));
    }
    if !size.is_multiple_of(SECTOR) || size == 0 || size / SECTOR > MAX_SECTORS {
        let limit = format!("a VMDK has whole sectors of 512 bytes, 1 to {MAX_SECTORS} of them");
        return Err(Error::SizeLimit { format: Format::Vmdk, size, limit });
    }
    match &part.writer {
        _ if size == part.range.end => Ok(part),
        Writer::Flat { .. } => Ok(part),
        Writer::Sparse(_) if !disk.descriptor().is_embedded() => {
            Err(refused("a sparse extent beside its descriptor cannot be resized: convert the disk"))
        }
        Writer::Sparse(sparse) if size > part.range.end && !sparse.beneath().is_short(part.range.end) => {
            Err(refused("the parent is larger than the disk, which would show more of it: convert the disk"))
        }
        Writer::Sparse(_) => Ok(part),
        _ => Err(refused("an extent that is only read cannot be resized")),
    }
}

/// Makes the disk `size` bytes long. Everything written before is durable. What is refused is refused before anything is
/// changed: with another content id, children would not know their parent again.
pub(super) fn resize(disk: &WritableVmdk, size: u64) -> Result<()> {
    let part = check_size(disk, size)?;
    let old = part.range.end;
    match &part.writer {
        _ if size == old => Ok(()),
        Writer::Flat { index, offset } => match disk.file(*index) {
            Some(file) => resize_flat(disk, file, *offset, part.line, old, size),
            None => Ok(()),
        },
        Writer::Sparse(sparse) => resize_sparse(disk, sparse, part.line, old, size),
        _ => Ok(()),
    }
}

fn refused(reason: &str) -> Error {
    Error::Layout { reason: reason.to_owned() }
}

/// The file is longer than the descriptor says in between, never shorter.
fn resize_flat(
    disk: &WritableVmdk,
    file: &WritableFile,
    offset: u64,
    line: usize,
    old: u64,
    size: u64,
) -> Result<()> {
    let prepare = || {
        let before = disk.descriptor().clone();
        let mut descriptor = before.clone();
        descriptor.set_sectors(line, size / SECTOR);
        descriptor.prepare(&before).map(|()| (before, descriptor))
    };
    prepare()?;
    disk.begin()?;
    let (before, mut descriptor) = prepare()?;
    let found = file.size()?;
    if size > old {
        // What lies behind the extent is not part of the disk yet.
        file.zero(offset + old..found.clamp(offset + old, offset + size))?;
        file.set_size(found.max(offset + size))?;
        file.sync()?;
    }
    descriptor.store(&before)?;
    if size < old && found == offset + old {
        file.set_size(offset + size)?;
        file.sync()?;
    }
    *disk.descriptor() = descriptor;
    Ok(())
}

/// Directories that are too short for the new size get new places; the header is switched to everything at once.
fn resize_sparse(disk: &WritableVmdk, sparse: &Sparse, line: usize, old: u64, size: u64) -> Result<()> {
    let map = sparse.grain_map();
    let tables = |size: u64| size.div_ceil(map.grain).div_ceil(map.gtes_per_gt);
    sparse.place_directories(tables(old), tables(size))?;
    disk.begin()?;
    if size > old {
        sparse.clear_behind(old)?;
    }
    let directories = sparse.directories(tables(old), tables(size))?;
    let mut descriptor = disk.descriptor().clone();
    descriptor.set_sectors(line, size / SECTOR);
    descriptor.store_with(|header| {
        header.capacity = (size / SECTOR).into();
        match directories[..] {
            [redundant, primary] => {
                header.rgd_offset = (redundant / SECTOR).into();
                header.gd_offset = (primary / SECTOR).into();
            }
            [only] => {
                let shared = header.rgd_offset == header.gd_offset;
                header.gd_offset = (only / SECTOR).into();
                if shared {
                    header.rgd_offset = header.gd_offset;
                }
            }
            _ => {}
        }
    })?;
    *disk.descriptor() = descriptor;
    Ok(())
}
