//! What an output is to be: a format, or a container with a disk inside.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use diskport::copy::OutputFormat;
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
    /// What an output is.
    pub fn of_output(output: OutputFormat) -> Self {
        let container = [OVA, TAR_GZ].into_iter().find(|name| name.container == Some(output.subformat()));
        container.unwrap_or(Self { format: output.format(), container: None })
    }

    /// What a name ends in.
    pub fn of_name(path: &Path) -> Option<Self> {
        // The ending counts; what comes before it need not be Unicode.
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
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

impl fmt::Display for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.container {
            Some(container) => f.write_str(container),
            None => self.format.fmt(f),
        }
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
