//! Copying only what differs into a disk that is there already.

use std::sync::Arc;

use crate::compare::Differences;
use crate::disk::{Data, Disk, WritableDisk};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::leaves::Format;

/// What an update did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated {
    /// Bytes of content that were written.
    pub written: u64,
    /// Bytes that were made zeros.
    pub zeroed: u64,
}

/// Makes `destination` hold what `source` holds, by writing only what differs, and closes it. Formats, blocks and chains may
/// be any two.
///
/// After a failure, a cancellation or a power cut it is whole, with a part of the changes; run again, the update goes on.
///
/// ```
/// use diskport::Open;
/// use diskport::copy::{Convert, update};
/// use diskport::job::Job;
/// use diskport::disk::Patch;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("backup.raw");
/// let disk = diskport::open(image)?;
/// Convert::new(&disk).create(&path)?;
/// let newer = disk.patched(disk.size(), vec![Patch { offset: 512, bytes: vec![7; 512] }])?;
/// let updated = update(&newer, Open::new().open_writable(&path)?, &Job::new())?;
/// assert_eq!(updated.written, 4096);
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::OutputTooSmall`] and [`Error::Layout`] when the sizes are not equal, or those of sectors; [`Error::SourceChanged`]; [`Error::OutputIsSource`] when the destination is a
/// layer of the source; [`Error::Cancelled`]; and all that reading and writing give rise to.
pub fn update(source: &Disk, destination: WritableDisk, job: &Job) -> Result<Updated> {
    let (needed, given) = (source.size(), destination.size());
    if given < needed {
        return Err(Error::OutputTooSmall { needed, given });
    }
    if given > needed {
        let reason =
            format!("the destination has {given} bytes, and the source {needed}: resize one of them");
        return Err(Error::Layout { reason });
    }
    // A raw disk has the sectors that its reader takes it to have.
    let info = destination.top().info();
    let is_raw =
        info.format == Format::Raw || source.chain().iter().any(|layer| layer.info().format == Format::Raw);
    let (to, from) = (info.logical_sector_size, source.logical_sector_size());
    if to != from && !is_raw {
        let reason =
            format!("the destination has sectors of {to} bytes, and the source of {from}: make a new disk");
        return Err(Error::Layout { reason });
    }
    source.check_unchanged()?;
    for file in destination.top().files() {
        if let Some(path) = file.path() {
            source.check_not_source(path)?;
        }
    }
    let destination = Arc::new(destination);
    let changes = Differences::behind(&destination, source).job(job);
    let done = write(changes, &destination);
    // What was written before a failure stays, properly closed. The workers that shared the disk are gone.
    let closed = Arc::into_inner(destination).map_or(Ok(()), WritableDisk::close);
    let updated = done?;
    closed?;
    Ok(updated)
}

fn write(changes: Differences, destination: &WritableDisk) -> Result<Updated> {
    let mut updated = Updated::default();
    for block in changes {
        let block = block?;
        match &block.data {
            Data::Bytes(bytes) => {
                destination.write_at(bytes, block.offset)?;
                updated.written += block.len();
            }
            Data::Zero(len) | Data::Absent(len) => {
                destination.write_zeroes(block.offset, *len)?;
                updated.zeroed += len;
            }
        }
    }
    Ok(updated)
}
