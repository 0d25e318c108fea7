//! The formats. One folder each; none of them knows another.
//!
//! This file is the one place that lists them all.

pub(crate) mod container;
pub(crate) mod foreign;
pub(crate) mod output;
pub mod raw;
mod tools;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

pub use tools::allocation::Allocation;
pub(crate) use tools::context::{ChildOptions, Choices, OpenContext};

use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Disk, Layer};
use crate::error::{Error, Result};
use crate::findings::{Findings, Repairs};
pub use crate::leaves::Format;
use crate::storage::{ImageFile, WritableFile};

/// The formats whose signature `file` bears. Raw has none.
pub(crate) fn probe(file: &ImageFile) -> Result<Vec<Format>> {
    let mut found = Vec::new();
    if vhd::probe(file)? {
        found.push(Format::Vhd);
    }
    if vhdx::probe(file)? {
        found.push(Format::Vhdx);
    }
    if vmdk::probe(file)? {
        found.push(Format::Vmdk);
    }
    Ok(found)
}

/// Opens `file` as one layer of `format`.
pub(crate) fn open(format: Format, file: ImageFile, context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    match format {
        Format::Raw => raw::open(file),
        Format::Vhd => vhd::open(file, context),
        Format::Vhdx => vhdx::open(file, context),
        Format::Vmdk => vmdk::open(file, context),
    }
}

/// Opens `file` for writing; `parent` is what its content lies over.
///
/// Whatever [`check`] calls an error is refused before the first write.
pub(crate) fn open_writable(
    format: Format,
    file: WritableFile,
    parent: Option<Disk>,
    context: &OpenContext<'_>,
) -> Result<Box<dyn WriteLayer>> {
    match format {
        Format::Raw => raw::open_writable(file),
        Format::Vhd => vhd::open_writable(file, context),
        Format::Vhdx => vhdx::open_writable(file, parent.map(|parent| parent.size())),
        Format::Vmdk => vmdk::open_writable(file, parent, context),
    }
}

/// The files of the image in `file` that are written when it is, `file` first, the others opened for that and locked. It need
/// not be of a kind that is written.
pub(crate) fn own_files(
    format: Format,
    file: &WritableFile,
    context: &OpenContext<'_>,
) -> Result<Vec<WritableFile>> {
    match format {
        Format::Raw | Format::Vhd | Format::Vhdx => Ok(vec![file.clone()]),
        Format::Vmdk => vmdk::own_files(file, context),
    }
}

/// Looks for everything that is wrong with `file`, an image of `format`, without changing it.
pub(crate) fn check(
    format: Format,
    file: &ImageFile,
    context: &OpenContext<'_>,
    findings: &mut Findings,
) -> Result<()> {
    match format {
        Format::Raw => Ok(()),
        Format::Vhd => vhd::check(file, context, findings),
        Format::Vhdx => vhdx::check(file, findings),
        Format::Vmdk => vmdk::check(file, context, findings),
    }
}

/// Repairs what is wrong with `file`, as far as `repairs` allows.
pub(crate) fn repair(
    format: Format,
    file: &WritableFile,
    context: &OpenContext<'_>,
    repairs: Repairs,
) -> Result<()> {
    match format {
        Format::Raw => Ok(()),
        Format::Vhd => vhd::repair(file, context, repairs),
        Format::Vhdx => vhdx::repair(file, repairs),
        Format::Vmdk => vmdk::repair(file, context, repairs),
    }
}

/// Writes a new, empty child of `parent` into `file`, which is empty.
pub(crate) fn create_child(
    format: Format,
    file: &WritableFile,
    parent: &ParentLink<'_>,
    options: &ChildOptions,
) -> Result<()> {
    match format {
        Format::Vhd => vhd::create_child(file, parent, options),
        Format::Vhdx => vhdx::create_child(file, parent, options),
        Format::Vmdk => vmdk::create_child(file, parent, options),
        Format::Raw => Err(Error::Layout { reason: format!("a {format} disk cannot have a parent") }),
    }
}

/// The names that a child of `format` records of `parent`, as they are read back, in the order in which they are tried.
pub(crate) fn recorded_names(format: Format, parent: &ParentLink<'_>) -> Result<Vec<String>> {
    match format {
        Format::Raw => Ok(Vec::new()),
        Format::Vhd => vhd::recorded_names(parent),
        Format::Vhdx => vhdx::recorded_names(parent),
        Format::Vmdk => vmdk::recorded_names(parent),
    }
}
