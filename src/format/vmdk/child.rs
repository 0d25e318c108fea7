//! New differencing children.

use super::create::{Descriptor, GRAIN, NAMELESS, Parent, Subformat, sparse};
use super::layout::SECTOR;
use super::write::identify;
use crate::disk::Identity;
use crate::disk::write::ParentLink;
use crate::error::{Error, Result};
use crate::format::tools::context::ChildOptions;
use crate::leaves::Format;
use crate::sink::Sink;
use crate::sink::blueprint::BlueprintFile;
use crate::storage::WritableFile;

/// Writes a monolithicSparse child of `parent` into `file`.
pub(super) fn create(file: &WritableFile, parent: &ParentLink<'_>, options: &ChildOptions) -> Result<()> {
    let info = parent.info;
    if options.size != info.size {
        let limit = format!("a child has the size of its parent, {} bytes", info.size);
        return Err(Error::SizeLimit { format: Format::Vmdk, size: options.size, limit });
    }
    if let Some(other) = options.block_size.filter(|&size| size != GRAIN) {
        let what = format!("a VMDK with grains of {other} bytes cannot be written: they have {GRAIN}");
        return Err(Error::Unsupported { what });
    }
    let (cid, name) = identify(parent)?;
    let uuid = match info.id {
        Some(Identity::Uuid(uuid)) => Some(uuid),
        _ => None,
    };
    let own = file.path().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    let descriptor = Descriptor {
        subformat: Subformat::MonolithicSparse,
        sectors: info.size / SECTOR,
        sector_size: info.logical_sector_size,
        extents: vec![own.unwrap_or(NAMELESS).to_owned()],
        id: file.ids().guid().as_u128(),
        parent: Some(Parent { cid, name: name.to_owned(), uuid, geometry: info.geometry }),
    };
    descriptor.check()?;
    BlueprintFile::new(file.clone(), sparse::blueprint(descriptor.sectors, Some(&descriptor)))?.finish()
}
