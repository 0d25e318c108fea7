//! What an output is to be: a format, or a container with a disk inside.

use std::path::Path;
use std::str::FromStr;

use diskport::{Format, UnknownFormat};

/// A format, with its kind where that is a container's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatName {
    pub format: Format,
    pub container: Option<&'static str>,
}

const OVA: FormatName = FormatName { format: Format::Vmdk, container: Some("ova") };
const TAR_GZ: FormatName = FormatName { format: Format::Raw, container: Some("tar.gz") };

impl FormatName {
    /// What a name ends in.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        if name.ends_with(".tar.gz") {
            return Some(TAR_GZ);
        }
        let format = match name.rsplit_once('.')?.1 {
            "ova" => return Some(OVA),
            "vmdk" => Format::Vmdk,
            "vhd" | "avhd" => Format::Vhd,
            "vhdx" | "avhdx" => Format::Vhdx,
            "raw" | "img" | "dd" | "bin" => Format::Raw,
            _ => return None,
        };
        Some(Self { format, container: None })
    }
}

impl FromStr for FormatName {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name.to_ascii_lowercase().as_str() {
            "ova" => Ok(OVA),
            "tar.gz" => Ok(TAR_GZ),
            _ => name.parse().map(|format| Self { format, container: None }),
        }
    }
}
