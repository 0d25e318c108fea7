//! The formats' names.

use std::fmt;
use std::str::FromStr;

/// A format of disk images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The bytes of the disk and nothing else.
    Raw,
    /// Microsoft Virtual Hard Disk, version 1.
    Vhd,
    /// Microsoft Virtual Hard Disk, version 2.
    Vhdx,
    /// VMware Virtual Machine Disk.
    Vmdk,
}

impl Format {
    /// The format's name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Vhd => "vhd",
            Format::Vhdx => "vhdx",
            Format::Vmdk => "vmdk",
        }
    }

    /// The format of a child of a disk of this format.
    pub fn of_child(self) -> Self {
        match self {
            Format::Raw => Format::Vhd,
            format => format,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Raw => "raw",
            Format::Vhd => "VHD",
            Format::Vhdx => "VHDX",
            Format::Vmdk => "VMDK",
        })
    }
}

/// A name that is none of a [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a format: expected raw, vhd, vhdx or vmdk")]
pub struct UnknownFormat {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    /// Takes the names of [`Format::name`], and `vpc`, qemu's name for VHD.
    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name.to_ascii_lowercase().as_str() {
            "raw" => Ok(Format::Raw),
            "vhd" | "vpc" => Ok(Format::Vhd),
            "vhdx" => Ok(Format::Vhdx),
            "vmdk" => Ok(Format::Vmdk),
            _ => Err(UnknownFormat { name: name.to_owned() }),
        }
    }
}
