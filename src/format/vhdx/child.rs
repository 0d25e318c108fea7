//! Making differencing children.

use super::layout::FileFlags;
use super::locator;
use super::skeleton::{Guids, Skeleton, check_size};
use super::write;
use crate::disk::Identity;
use crate::disk::write::ParentLink;
use crate::error::{Error, Result};
use crate::format::tools::context::ChildOptions;
use crate::job::Job;
use crate::storage::WritableFile;

/// Writes a new child of `parent` into `file`, which is empty.
pub(crate) fn create_child(
    file: &WritableFile,
    parent: &ParentLink<'_>,
    options: &ChildOptions,
) -> Result<()> {
    let info = parent.info;
    let size = check_size(options.size, info.logical_sector_size)?;
    if size < info.size {
        return Err(Error::OutputTooSmall { needed: info.size, given: options.size });
    }
    let (Some(block_size), Some(Identity::Uuid(id))) = (options.block_size.or(info.block_size), info.id)
    else {
        return Err(Error::Layout { reason: "the parent of a VHDX must be a VHDX".to_owned() });
    };
    let locator = locator::encode(parent)?;
    let mut skeleton = Skeleton::new(info.size, info.logical_sector_size, block_size, FileFlags::HAS_PARENT)?;
    skeleton.physical_sector_size = info.physical_sector_size;
    skeleton.leave_room_for(size);
    file.set_size(skeleton.end())?;
    // What makes the file a VHDX comes last.
    let parts = skeleton.parts(&Guids::new(id, &mut file.ids()), Some(&locator));
    parts.iter().rev().try_for_each(|(offset, bytes)| file.write_all_at(bytes, *offset))?;
    if size > info.size {
        // Some readers look for a parent beyond the parent's end, unless blocks are there.
        let child = write::open(file.clone(), Some(info.size))?;
        child.resize(size, &Job::new())?;
        child.close()?;
    }
    Ok(())
}
