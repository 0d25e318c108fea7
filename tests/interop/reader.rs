//! Independent readers, each giving the digest of the whole content of an image.

use std::path::Path;
use std::process::Command;

use crate::common::digest;
use crate::common::tools::python;
pub use crate::common::tools::{Finish, run, to_raw, tool};
use crate::source::Source;
use crate::{Missing, Trouble};

/// Readers of an image that lies in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    QemuImg,
    Libvmdk,
    Libvhdi,
    SevenZip,
}

impl Reader {
    pub const ALL: [Reader; 4] = [Reader::QemuImg, Reader::Libvmdk, Reader::Libvhdi, Reader::SevenZip];

    pub fn name(self) -> &'static str {
        match self {
            Reader::QemuImg => "qemu-img",
            Reader::Libvmdk => "libvmdk",
            Reader::Libvhdi => "libvhdi",
            Reader::SevenZip => "7-Zip",
        }
    }

    /// Whether it reads what we write of `source` in `format`.
    pub fn reads(self, format: &str, source: &Source) -> bool {
        match (format, self) {
            // A VHD has sectors of 512 bytes: others are refused.
            ("vhd", _) if source.sector_size != 512 => false,
            ("vmdk", reader) => reader != Reader::Libvhdi,
            (_, Reader::Libvmdk) => false,
            // qemu-img knows no VHDX with sectors of 4096 bytes.
            ("vhdx", Reader::QemuImg) => source.sector_size == 512,
            // 7-Zip opens no VHDX, qemu-img's own neither, of a disk that is not whole 4 KiB.
            ("vhdx", Reader::SevenZip) => source.whole_pages,
            _ => true,
        }
    }

    /// Reads all of `image`; `scratch` is a file that it may write.
    pub fn digest(self, format: &str, image: &Path, scratch: &Path) -> Result<String, Trouble> {
        match self {
            Reader::QemuImg => {
                to_raw(format, image, scratch)?;
                Ok(digest::of_file(scratch)?)
            }
            Reader::Libvmdk => python("interop/read_vmdk.py", "pyvmdk")?.arg(image).first_line(),
            Reader::Libvhdi => python("interop/read_vhd.py", "pyvhdi")?.arg(image).first_line(),
            // The handler is named, or 7-Zip would look into the partitions and volumes inside.
            Reader::SevenZip => {
                let handler = format!("-t{format}");
                tool("7zz")?.args(["x", &handler, "-so", "-bd"]).arg(image).output_digest()
            }
        }
    }
}

/// The forward-only reader of streamOptimized, which reads its standard input.
pub fn stream_reader() -> Result<Command, Missing> {
    python("interop/read_stream.py", "zlib")
}
