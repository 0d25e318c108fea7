//! An image as a command line names it, and how it is opened.

use std::path::{Path, PathBuf};

use diskport::format::vhd::SizeField;
use diskport::storage::AnyPath;
use diskport::{Disk, Error, Format, Open, WritableDisk};

use crate::failure;
use crate::options::pairs;

/// An image, not yet opened.
pub struct Image {
    /// The file, without the protocol that it may have been named with.
    pub path: PathBuf,
    format: Option<Format>,
    /// The format of the image inside whose disk this image lies.
    container: Option<Format>,
    size: SizeField,
}

impl Image {
    /// The image in the file `name`.
    pub fn named(name: &str, format: Option<&str>) -> Result<Self, String> {
        Ok(Self {
            path: path(name)?,
            format: format.map(parse_format).transpose()?,
            container: None,
            size: SizeField::Current,
        })
    }

    /// The image that a qemu block device's options describe; `file` may be named beside them.
    pub fn described(options: &str, file: Option<&str>) -> Result<Self, String> {
        let mut image = Self::named(file.unwrap_or_default(), None)?;
        let blkdebug = file.is_some_and(|name| name.starts_with("blkdebug::"));
        for (key, value) in pairs(options) {
            match (&*key, &*value) {
                ("driver", format) => image.format = Some(parse_format(format)?),
                ("file.driver", "file") => {}
                ("file.driver", format) => image.container = Some(parse_format(format)?),
                ("file.filename" | "file.file.filename", name) => image.path = path(name)?,
                ("force_size_calc", "current_size") => image.size = SizeField::Current,
                ("force_size_calc", "chs") => image.size = SizeField::Chs,
                // How the requests to the file below the format are aligned: the library's have no alignment.
                ("file.align", _) if blkdebug => {}
                _ => return Err(format!("Unknown option '{key}={value}'")),
            }
        }
        Ok(image)
    }

    /// Opens it for reading.
    pub fn open(&self) -> Result<Disk, String> {
        let disk = match self.container {
            None => match self.how().open(&self.path) {
                // What qemu does with a file that it does not know.
                Err(Error::NotRecognised { .. }) if self.format.is_none() => {
                    self.how().format(Format::Raw).open(&self.path)
                }
                opened => opened,
            },
            Some(container) => {
                let container = Open::new().resolver(AnyPath).format(container).open(&self.path);
                container.and_then(|container| self.how().open(container))
            }
        };
        disk.map_err(|e| self.failure(&e))
    }

    /// Opens it for writing; `None` where the image is of a kind that is only read.
    pub fn open_writable(&self) -> Result<Option<WritableDisk>, String> {
        if self.container.is_some() {
            return Ok(None);
        }
        match self.how().open_writable(&self.path) {
            Ok(disk) => Ok(Some(disk)),
            Err(Error::NotWritable { .. }) => Ok(None),
            Err(e) => Err(self.failure(&e)),
        }
    }

    /// How the library is to open it. A qemu image may name files anywhere.
    pub fn how(&self) -> Open {
        let open = Open::new().resolver(AnyPath).vhd_size(self.size);
        match self.format {
            Some(format) => open.format(format),
            None => open,
        }
    }

    fn failure(&self, error: &Error) -> String {
        let parent = match error {
            Error::ParentMissing { .. } => {
                self.how().allow_missing_parent(true).open(&self.path).ok().and_then(|disk| {
                    disk.chain().last().and_then(|layer| layer.info().parent.as_ref()?.names.first().cloned())
                })
            }
            _ => None,
        };
        match parent {
            Some(name) => {
                let path = beside(&self.path, &name);
                let path = path.display();
                format!("Could not open backing file: Could not open '{path}': No such file or directory")
            }
            None => failure::to_open(error),
        }
    }
}

/// The file of the parent that `image` calls `name`.
pub fn beside(image: &Path, name: &str) -> PathBuf {
    image.parent().unwrap_or(Path::new("")).join(name)
}

/// The format of that name.
pub fn parse_format(name: &str) -> Result<Format, String> {
    name.parse().map_err(|_| format!("Unknown driver '{name}'"))
}

/// The file that `name` means. A colon before any slash ends the name of a protocol, which can only be that of files.
pub fn path(name: &str) -> Result<PathBuf, String> {
    let name = name.strip_prefix("blkdebug::").unwrap_or(name);
    match name.split_once(':').filter(|(protocol, _)| !protocol.contains('/')) {
        None => Ok(PathBuf::from(name)),
        Some(("file", name)) if name.contains(':') && !name.contains('/') => Ok(Path::new(".").join(name)),
        Some(("file", name)) => Ok(PathBuf::from(name)),
        Some((protocol, _)) => Err(format!("Unknown protocol '{protocol}'")),
    }
}
