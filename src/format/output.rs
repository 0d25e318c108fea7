//! The formats that can be written, and what an output of each consists of.

use std::fmt;
use std::path::Path;

#[cfg(feature = "digest")]
use super::container::{Inside, Ova};
pub(crate) use super::tools::context::OutputOptions;
use super::vmdk::{Subformat, create};
use super::{Allocation, Format, vhd, vhdx};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaves::Ids;
use crate::sink::blueprint::Blueprint;
#[cfg(feature = "digest")]
use crate::sink::{Sink, SinkStream};

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
