//! The formats that can be written, and how each begins.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "digest")]
use super::container::{Inside, Ova, disk_inside};
use super::container::{TarGz, disk_in_tar_gz};
use super::vmdk::{Subformat, create};
use super::{Allocation, Format, vhd, vhdx};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaves::Ids;
use crate::sink::blueprint::{BlockSet, Blueprint, BlueprintFile, BlueprintStream};
use crate::sink::{Sink, SinkStream};
use crate::storage::{Explicit, FileRole, ReadAt, WritableFile, WriteAt};

/// A format that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutputFormat {
    /// The bytes of the disk and nothing else.
    Raw,
    /// A VHD.
    Vhd(Allocation),
    /// A VHDX.
    Vhdx(Allocation),
    /// A VMDK of some kind.
    Vmdk(Subformat),
    /// The bytes of the disk as `disk.raw` in a compressed tar, as Google Compute Engine imports it.
    TarGz,
    /// An OVA: a tar with an OVF descriptor, a streamOptimized VMDK, and the manifest of their digests.
    #[cfg(feature = "digest")]
    Ova,
}

impl OutputFormat {
    /// The output called `subformat`, as in [`Self::subformat`]; of `format`'s usual kind when none is named.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when the format has no such kind that can be written.
    pub fn new(format: Format, subformat: Option<&str>) -> Result<Self> {
        let kinds: &[Self] = match format {
            Format::Raw => &[Self::Raw, Self::TarGz],
            Format::Vhd => &[Self::Vhd(Allocation::Dynamic), Self::Vhd(Allocation::Fixed)],
            Format::Vhdx => &[Self::Vhdx(Allocation::Dynamic), Self::Vhdx(Allocation::Fixed)],
            Format::Vmdk => &Self::vmdks(),
        };
        let Some(name) = subformat else { return Ok(kinds[0]) };
        kinds.iter().find(|kind| kind.subformat().eq_ignore_ascii_case(name)).copied().ok_or_else(|| {
            let names: Vec<_> = kinds.iter().map(|kind| kind.subformat()).collect();
            let what = format!("no {format} output of the kind {name:?}: expected {}", names.join(", "));
            Error::Unsupported { what }
        })
    }

    fn vmdks() -> Vec<Self> {
        let kinds = Subformat::ALL.into_iter().map(Self::Vmdk);
        #[cfg(feature = "digest")]
        let kinds = kinds.chain([Self::Ova]);
        kinds.collect()
    }

    /// The format; of a container, that of the disk inside.
    pub fn format(self) -> Format {
        match self {
            OutputFormat::Raw | OutputFormat::TarGz => Format::Raw,
            #[cfg(feature = "digest")]
            OutputFormat::Ova => Format::Vmdk,
            OutputFormat::Vhd(_) => Format::Vhd,
            OutputFormat::Vhdx(_) => Format::Vhdx,
            OutputFormat::Vmdk(_) => Format::Vmdk,
        }
    }

    /// The format's own name for its kind.
    pub fn subformat(self) -> &'static str {
        match self {
            OutputFormat::Raw => "raw",
            OutputFormat::Vhd(allocation) | OutputFormat::Vhdx(allocation) => allocation.name(),
            OutputFormat::Vmdk(subformat) => subformat.name(),
            OutputFormat::TarGz => "tar.gz",
            #[cfg(feature = "digest")]
            OutputFormat::Ova => "ova",
        }
    }

    /// Whether the content is compressed.
    pub(crate) fn compresses(self) -> bool {
        match self {
            OutputFormat::Vmdk(subformat) => subformat == Subformat::StreamOptimized,
            OutputFormat::TarGz => true,
            #[cfg(feature = "digest")]
            OutputFormat::Ova => true,
            OutputFormat::Raw | OutputFormat::Vhd(_) | OutputFormat::Vhdx(_) => false,
        }
    }

    /// The size of a block, unless another is chosen; `None` where there is nothing to choose.
    fn default_block_size(self) -> Option<u64> {
        match self {
            OutputFormat::Vhd(Allocation::Dynamic) => Some(vhd::DEFAULT_BLOCK_SIZE),
            OutputFormat::Vhdx(_) => Some(vhdx::create::DEFAULT_BLOCK_SIZE),
            _ => None,
        }
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputFormat::Raw => f.write_str("raw"),
            OutputFormat::TarGz => f.write_str("disk.raw in a tar.gz"),
            #[cfg(feature = "digest")]
            OutputFormat::Ova => f.write_str("OVA"),
            other => write!(f, "{} {}", other.subformat(), other.format()),
        }
    }
}

/// What can be chosen of an output beside its format.
#[derive(Debug, Clone)]
pub(crate) struct OutputOptions {
    /// Level of deflate, 0 to 9, that was asked for.
    pub(crate) level: Option<u32>,
    /// Bytes of a block.
    pub(crate) block_size: Option<u64>,
    /// What identifiers and times follow from, so that the output is the same each time.
    pub(crate) seed: Option<u64>,
    /// Threads that compress, where the sink does that itself.
    pub(crate) threads: usize,
}

/// The names that an output records of its own files.
pub(crate) struct Names {
    /// The files that hold the data.
    pub(crate) extents: Vec<String>,
}

impl Names {
    /// Those of an image in one file: readers ignore the name that it records of itself. With a seed, the bytes must
    /// not depend on where they go.
    pub(crate) fn alone(path: Option<&Path>, options: &OutputOptions) -> Self {
        let path = path.filter(|_| options.seed.is_none());
        Self { extents: vec![path.map_or_else(|| create::NAMELESS.to_owned(), recorded_name)] }
    }
}

/// The files of an output.
#[derive(Clone)]
pub(crate) struct Destination {
    pub(crate) main: Arc<dyn WriteAt>,
    /// Those that hold the data, where the main one does not.
    pub(crate) extents: Vec<Arc<dyn WriteAt>>,
    /// How messages call it.
    pub(crate) name: String,
}

/// Where the data of a disk of `size` bytes go that do not go into the file at `path` itself.
pub(crate) fn extent_paths(format: OutputFormat, size: u64, path: &Path) -> Result<Vec<PathBuf>> {
    let OutputFormat::Vmdk(subformat) = format else { return Ok(Vec::new()) };
    let endings = subformat.extents(size.div_ceil(512))?;
    if endings.is_empty() {
        return Ok(Vec::new());
    }
    // No other ending is taken away, lest disks called alike share an extent.
    let is_vmdk = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("vmdk"));
    let stem = if is_vmdk { path.file_stem() } else { path.file_name() };
    let stem = stem.and_then(|stem| stem.to_str()).filter(|stem| !stem.contains(create::UNQUOTABLE));
    let stem = stem.ok_or_else(|| Error::Unsupported {
        what: format!("{}: a descriptor cannot record such a name", path.display()),
    })?;
    Ok(endings.iter().map(|ending| path.with_file_name(format!("{stem}-{ending}.vmdk"))).collect())
}

/// The name that the file at `path` is recorded by.
pub(crate) fn recorded_name(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).unwrap_or(create::NAMELESS).to_owned()
}

/// What an output consists of.
pub(crate) enum Shape {
    /// One file whose layout follows from the blocks that hold data.
    Blueprint(Blueprint),
    /// One file in which each grain takes as much as its content needs.
    Stream(create::Descriptor),
    /// A descriptor, and files beside it.
    Extents(create::Descriptor),
    /// The disk in a compressed tar.
    TarGz(Disk),
    /// A tar with a descriptor of a machine, and the disk in one file in which each grain takes as much as its content needs.
    #[cfg(feature = "digest")]
    Ova(Ova),
}

/// The shape of an output.
pub(crate) fn shape(
    format: OutputFormat,
    disk: &Disk,
    names: &Names,
    options: &OutputOptions,
) -> Result<Shape> {
    let block_size = match (format.default_block_size(), options.block_size) {
        (None, Some(_)) => {
            return Err(Error::Unsupported { what: format!("a {format} has no block size to choose") });
        }
        (default, chosen) => chosen.or(default).unwrap_or_default(),
    };
    let mut ids = options.seed.map_or_else(Ids::random, Ids::seeded);
    let (size, sector_size) = (disk.size(), disk.logical_sector_size());
    Ok(match format {
        OutputFormat::Raw => Shape::Blueprint(Blueprint::flat(size, Vec::new())),
        OutputFormat::Vhd(allocation) => {
            Shape::Blueprint(vhd::create::blueprint(allocation, size, sector_size, block_size, &mut ids)?)
        }
        OutputFormat::Vhdx(allocation) => {
            Shape::Blueprint(vhdx::create::blueprint(allocation, size, sector_size, block_size, &mut ids)?)
        }
        OutputFormat::TarGz => Shape::TarGz(disk.clone()),
        #[cfg(feature = "digest")]
        OutputFormat::Ova => {
            let name = names.extents.first().map_or("", String::as_str);
            Shape::Ova(Ova::new(disk, name, |name| {
                let descriptor = descriptor(Subformat::StreamOptimized, disk, vec![name], &mut ids)?;
                Ok(StreamOptimized { descriptor, level: options.level })
            })?)
        }
        OutputFormat::Vmdk(subformat) => {
            let descriptor = descriptor(subformat, disk, names.extents.clone(), &mut ids)?;
            match subformat {
                Subformat::MonolithicSparse => {
                    Shape::Blueprint(create::sparse::blueprint(descriptor.sectors, Some(&descriptor)))
                }
                Subformat::StreamOptimized => Shape::Stream(descriptor),
                _ => Shape::Extents(descriptor),
            }
        }
    })
}

fn descriptor(
    subformat: Subformat,
    disk: &Disk,
    extents: Vec<String>,
    ids: &mut Ids,
) -> Result<create::Descriptor> {
    let descriptor = create::Descriptor {
        subformat,
        sectors: disk.size().div_ceil(512),
        sector_size: disk.logical_sector_size(),
        extents,
        id: ids.guid().as_u128(),
        parent: None,
    };
    descriptor.check()?;
    Ok(descriptor)
}

/// The disk inside an OVA.
#[cfg(feature = "digest")]
struct StreamOptimized {
    descriptor: create::Descriptor,
    level: Option<u32>,
}

#[cfg(feature = "digest")]
impl Inside for StreamOptimized {
    fn begin<'w>(&self, out: SinkStream<'w>) -> Result<Box<dyn Sink + 'w>> {
        Ok(Box::new(create::Stream::new(out, &self.descriptor, self.level)?))
    }
}

/// Begins an output into files.
pub(crate) fn file(shape: Shape, options: &OutputOptions, to: Destination) -> Result<Box<dyn Sink>> {
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
pub(crate) fn stream<'w>(
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
pub(crate) fn source_name(disk: &Disk) -> String {
    let files = || disk.chain().iter().flat_map(|layer| layer.files());
    let file = files()
        .find(|file| !matches!(file.role(), FileRole::Memory | FileRole::Disk))
        .or_else(|| files().next());
    file.map_or_else(|| "the source".to_owned(), |file| file.name().to_owned())
}

/// The error for an output of several files where there is place for one.
pub(crate) fn not_one_file(descriptor: &create::Descriptor) -> Error {
    Error::Unsupported { what: format!("a {} VMDK is more than one file", descriptor.subformat) }
}

/// Opens what was written, while its files still have other names.
pub(crate) fn reopen(
    format: OutputFormat,
    main: Arc<dyn ReadAt>,
    names: &Names,
    extents: Vec<Arc<dyn ReadAt>>,
) -> Result<Disk> {
    #[cfg(feature = "digest")]
    if format == OutputFormat::Ova {
        return crate::Open::new().format(Format::Vmdk).open(disk_inside(main)?);
    }
    if format == OutputFormat::TarGz {
        return disk_in_tar_gz(&main);
    }
    let resolver: Explicit = names.extents.iter().cloned().zip(extents).collect();
    crate::Open::new().format(format.format()).resolver(resolver).open(main)
}
