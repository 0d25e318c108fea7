//! Where an output goes, and how it is opened again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{Error, Result};
#[cfg(feature = "digest")]
use crate::format::container::disk_inside;
use crate::format::container::{TarGz, disk_in_tar_gz};
use crate::format::output::{Names, OutputFormat, OutputOptions, Shape};
use crate::format::vmdk;
use crate::format::vmdk::create;
#[cfg(feature = "digest")]
use crate::leaves::Format;
use crate::leaves::Shown;
use crate::open::Open;
use crate::sink::blueprint::{BlockSet, BlueprintFile, BlueprintStream};
use crate::sink::{Sink, SinkStream};
use crate::storage::recorded_name::is_plain;
use crate::storage::{Explicit, FileRole, ReadAt, WritableFile, WriteAt};

/// The files of an output.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) main: Arc<dyn WriteAt>,
    /// Those that hold the data, where the main one does not.
    pub(super) extents: Vec<Arc<dyn WriteAt>>,
    /// How messages call it.
    pub(super) name: String,
}

/// Where the data of a disk of `size` bytes go that do not go into the file at `path` itself.
pub(super) fn extent_paths(format: OutputFormat, size: u64, path: &Path) -> Result<Vec<PathBuf>> {
    let OutputFormat::Vmdk(subformat) = format else { return Ok(Vec::new()) };
    let endings = subformat.extents(size.div_ceil(512))?;
    if endings.is_empty() {
        return Ok(Vec::new());
    }
    // What is recorded is read back: by the rule for names beside the image.
    let recordable = |stem: &&str| !stem.contains(create::UNQUOTABLE) && is_plain(stem);
    let stem = vmdk::stem(path).and_then(|stem| stem.to_str()).filter(recordable);
    let stem = stem.ok_or_else(|| Error::NotRecordable { path: path.shown() })?;
    Ok(endings.iter().map(|ending| path.with_file_name(format!("{stem}-{ending}.vmdk"))).collect())
}

/// Begins an output into files.
pub(super) fn file(shape: Shape, options: &OutputOptions, to: Destination) -> Result<Box<dyn Sink>> {
    let file = |storage| WritableFile::new(storage, &to.name);
    Ok(match shape {
        Shape::Blueprint(blueprint) => Box::new(BlueprintFile::new(file(to.main), blueprint)?),
        Shape::Stream(descriptor) => {
            let out = SinkStream::to_file(file(to.main));
            Box::new(create::Stream::new(out, &descriptor, options.level)?)
        }
        Shape::Extents(descriptor) => {
            let extents = to.extents.into_iter().map(file).collect();
            Box::new(create::Extents::new(file(to.main), extents, descriptor)?)
        }
        Shape::TarGz(disk) => Box::new(TarGz::new(SinkStream::to_file(file(to.main)), &disk, options)?),
        #[cfg(feature = "digest")]
        Shape::Ova(ova) => ova.file(to.main, &to.name)?,
    })
}

/// Begins an output into a pipe. `blocks` are those that hold data, as far as they decide on the layout.
pub(super) fn stream<'w>(
    shape: Shape,
    disk: &Disk,
    blocks: BlockSet,
    options: &OutputOptions,
    out: Box<dyn Write + Send + 'w>,
) -> Result<Box<dyn Sink + 'w>> {
    const NAME: &str = "the output stream";
    let pipe = |out| SinkStream::new(out, NAME);
    match shape {
        #[cfg(feature = "digest")]
        Shape::Ova(ova) => ova.stream(out, NAME),
        Shape::TarGz(disk) => Ok(Box::new(TarGz::new(pipe(out), &disk, options)?)),
        Shape::Blueprint(blueprint) => {
            Ok(Box::new(BlueprintStream::new(pipe(out), blueprint, blocks, source_name(disk))?))
        }
        Shape::Stream(descriptor) => {
            Ok(Box::new(create::Stream::new(pipe(out), &descriptor, options.level)?))
        }
        Shape::Extents(descriptor) => Err(not_one_file(&descriptor)),
    }
}

/// How messages call the source.
pub(super) fn source_name(disk: &Disk) -> String {
    let files = || disk.chain().iter().flat_map(|layer| layer.files());
    let file = files()
        .find(|file| !matches!(file.role(), FileRole::Memory | FileRole::Disk | FileRole::Content))
        .or_else(|| files().next());
    file.map_or_else(|| "the source".to_owned(), |file| file.name().to_owned())
}

/// The error for an output of several files where there is place for one.
pub(super) fn not_one_file(descriptor: &create::Descriptor) -> Error {
    Error::Unsupported { what: format!("a {} VMDK is more than one file", descriptor.subformat) }
}

/// Opens what was written, while its files still have other names.
pub(super) fn reopen(
    format: OutputFormat,
    main: Arc<dyn ReadAt>,
    names: &Names,
    extents: Vec<Arc<dyn ReadAt>>,
) -> Result<Disk> {
    #[cfg(feature = "digest")]
    if format == OutputFormat::Ova {
        return Open::new().format(Format::Vmdk).open(disk_inside(main)?);
    }
    if format == OutputFormat::TarGz {
        return disk_in_tar_gz(&main);
    }
    let resolver: Explicit = names.extents.iter().cloned().zip(extents).collect();
    Open::new().format(format.format()).resolver(resolver).open(main)
}
