//! The formats that can be written, and how each begins.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Format;
use super::vmdk::{Subformat, create};
use crate::disk::Disk;
use crate::disk::flat::{FlatFile, FlatStream};
use crate::disk::sink::{Forward, Sink, SinkFile, SinkStream};
use crate::error::{Error, Result};
use crate::storage::{Explicit, ReadAt, WriteAt};

/// A format that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutputFormat {
    /// The bytes of the disk and nothing else.
    Raw,
    /// A VMDK of some kind.
    Vmdk(Subformat),
}

impl OutputFormat {
    /// The format.
    pub fn format(self) -> Format {
        match self {
            OutputFormat::Raw => Format::Raw,
            OutputFormat::Vmdk(_) => Format::Vmdk,
        }
    }

    /// The format's own name for its kind.
    pub fn subformat(self) -> &'static str {
        match self {
            OutputFormat::Raw => "raw",
            OutputFormat::Vmdk(subformat) => subformat.name(),
        }
    }

    /// Whether the content is compressed.
    pub(crate) fn compresses(self) -> bool {
        self == OutputFormat::Vmdk(Subformat::StreamOptimized)
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputFormat::Raw => f.write_str("raw"),
            OutputFormat::Vmdk(subformat) => write!(f, "{subformat} VMDK"),
        }
    }
}

/// The names that an output records of its own files.
pub(crate) struct Names {
    /// The file that holds the data.
    pub(crate) extent: String,
}

/// The files of an output.
pub(crate) struct Destination {
    pub(crate) main: Arc<dyn WriteAt>,
    pub(crate) extent: Option<Arc<dyn WriteAt>>,
    /// How messages call it.
    pub(crate) name: String,
}

/// Where the data go that do not go into the file at `path` itself.
pub(crate) fn extent_path(format: OutputFormat, path: &Path) -> Result<Option<PathBuf>> {
    let OutputFormat::Vmdk(subformat) = format else { return Ok(None) };
    if !subformat.is_flat() {
        return Ok(None);
    }
    let stem =
        path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| !stem.contains(['"', '\n', '\r']));
    let stem = stem.ok_or_else(|| Error::Unsupported {
        what: format!("{}: a descriptor cannot record such a name", path.display()),
    })?;
    Ok(Some(path.with_file_name(format!("{stem}-flat.vmdk"))))
}

/// Begins an output into files.
pub(crate) fn file(
    format: OutputFormat,
    disk: &Disk,
    names: &Names,
    level: u32,
    to: Destination,
) -> Result<Box<dyn Sink>> {
    let main = SinkFile::new(to.main.clone(), &to.name);
    let subformat = match format {
        OutputFormat::Raw => return Ok(Box::new(FlatFile::new(main, disk.size())?)),
        OutputFormat::Vmdk(subformat) => subformat,
    };
    let descriptor = descriptor(subformat, disk, names);
    Ok(match (subformat, to.extent) {
        (Subformat::MonolithicFlat | Subformat::Vmfs, Some(extent)) => {
            Box::new(create::Flat::new(main, SinkFile::new(extent, &to.name), descriptor)?)
        }
        (Subformat::StreamOptimized, _) => {
            let out = SinkStream::new(Forward { storage: to.main, at: 0 }, &to.name);
            Box::new(create::Stream::new(out, &descriptor, level)?)
        }
        _ => Box::new(create::Sparse::new(main, descriptor)?),
    })
}

/// Begins an output into a pipe.
pub(crate) fn stream<'w>(
    format: OutputFormat,
    disk: &Disk,
    names: &Names,
    level: u32,
    out: Box<dyn Write + Send + 'w>,
) -> Result<Box<dyn Sink + 'w>> {
    let out = SinkStream::new(out, "the output stream");
    match format {
        OutputFormat::Raw => Ok(Box::new(FlatStream::new(out, disk.size()))),
        OutputFormat::Vmdk(Subformat::StreamOptimized) => {
            let descriptor = descriptor(Subformat::StreamOptimized, disk, names);
            Ok(Box::new(create::Stream::new(out, &descriptor, level)?))
        }
        OutputFormat::Vmdk(_) => {
            Err(Error::Unsupported { what: format!("a {format} cannot be written into a pipe") })
        }
    }
}

/// Opens what was written, while its files still have other names.
pub(crate) fn reopen(
    format: OutputFormat,
    main: Arc<dyn ReadAt>,
    names: &Names,
    extent: Option<Arc<dyn ReadAt>>,
) -> Result<Disk> {
    let resolver: Explicit = extent.map(|storage| (names.extent.clone(), storage)).into_iter().collect();
    crate::Open::new().format(format.format()).resolver(resolver).open(main)
}

fn descriptor(subformat: Subformat, disk: &Disk, names: &Names) -> create::Descriptor {
    create::Descriptor {
        subformat,
        sectors: disk.size().div_ceil(512),
        sector_size: disk.logical_sector_size(),
        extent: names.extent.clone(),
        id: uuid::Uuid::new_v4().as_u128(),
    }
}
