//! VMware Virtual Machine Disk.
//!
//! A disk is a text descriptor and its extents. The descriptor is a file of its own (monolithicFlat, twoGbMaxExtent…,
//! vmfs, vmfsSparse, seSparse) or lies in the only extent (monolithicSparse, streamOptimized).

mod allocator;
mod audit;
mod capacity;
mod check;
mod child;
mod cowd;
pub(crate) mod create;
mod ddb;
mod descriptor;
mod extent_line;
mod extent_source;
mod extents;
mod footer;
mod grain_map;
mod grain_table;
mod hosted;
pub(crate) mod layout;
mod open;
mod packed;
mod pieces;
mod reconcile;
mod sesparse;
mod stream;
mod table_copies;
mod write;

pub use stream::VmdkStream;

pub use create::Subformat;
pub(crate) use pieces::{replace, stem};

pub use super::tools::context::GrainTables;
use super::tools::context::{ChildOptions, OpenContext};
use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Disk, Layer};
use crate::error::Result;
use crate::findings::{Findings, Repairs};
use crate::storage::{FileRole, ImageFile, WritableFile};

pub(crate) fn probe(file: &ImageFile) -> Result<bool> {
    open::probe(file)
}

pub(crate) fn open(file: ImageFile, context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    open::open(file, context)
}

pub(crate) fn open_writable(
    file: WritableFile,
    parent: Option<Disk>,
    context: &OpenContext<'_>,
) -> Result<Box<dyn WriteLayer>> {
    write::open(file, parent, context).map(|disk| Box::new(disk) as _)
}

/// The image's own file, and the extents that its descriptor gives for writing.
pub(crate) fn own_files(file: &WritableFile, context: &OpenContext<'_>) -> Result<Vec<WritableFile>> {
    let loaded = open::load(file.image(FileRole::Image)?, context)?;
    Ok(write::open_files(file, &loaded, context)?.into_iter().flatten().collect())
}

pub(crate) fn check(file: &ImageFile, context: &OpenContext<'_>, findings: &mut Findings) -> Result<()> {
    check::check(file, context, findings)
}

pub(crate) fn repair(file: &WritableFile, context: &OpenContext<'_>, repairs: Repairs) -> Result<()> {
    check::repair(file, context, repairs)
}

pub(crate) fn create_child(
    file: &WritableFile,
    parent: &ParentLink<'_>,
    options: &ChildOptions,
) -> Result<()> {
    child::create(file, parent, options)
}

/// The name that a child of `parent` records.
pub(crate) fn recorded_names(parent: &ParentLink<'_>) -> Result<Vec<String>> {
    write::identify(parent).map(|(_, name)| vec![name.to_owned()])
}
