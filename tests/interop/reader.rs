//! Independent readers, each giving the digest of the whole content of an image.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::common::digest;
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
            Reader::Libvmdk => python("read_vmdk.py", "pyvmdk")?.arg(image).first_line(),
            Reader::Libvhdi => python("read_vhd.py", "pyvhdi")?.arg(image).first_line(),
            // The handler is named, or 7-Zip would look into the partitions and volumes inside.
            Reader::SevenZip => {
                let handler = format!("-t{format}");
                tool("7zz")?.args(["x", &handler, "-so", "-bd"]).arg(image).output_digest()
            }
        }
    }
}

/// Writes the content of an image as a raw disk, by qemu-img.
pub fn to_raw(format: &str, image: &Path, raw: &Path) -> Result<(), Trouble> {
    let format = if format == "vhd" { "vpc" } else { format };
    Ok(run(tool("qemu-img")?.args(["convert", "-f", format, "-O", "raw"]).args([image, raw]))?)
}

/// The forward-only reader of streamOptimized, which reads its standard input.
pub fn stream_reader() -> Result<Command, Missing> {
    python("read_stream.py", "zlib")
}

/// A script of this folder that needs `module`.
fn python(script: &str, module: &str) -> Result<Command, Missing> {
    let interpreter = std::env::var_os("DISKPORT_PYTHON").unwrap_or("python3".into());
    let import = Command::new(&interpreter).args(["-c", &format!("import {module}")]).output();
    if !import.is_ok_and(|done| done.status.success()) {
        return Err(Missing(format!("{} has no module {module}", interpreter.display())));
    }
    let mut command = Command::new(interpreter);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script));
    Ok(command)
}

/// A program on the path.
pub fn tool(name: &str) -> Result<Command, Missing> {
    match find(name.as_ref()) {
        Some(path) => Ok(Command::new(path)),
        None => Err(Missing(format!("{name} is not installed"))),
    }
}

fn find(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // sgdisk lies where only root's path leads.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a program; its standard output, or what it said when it failed.
pub fn run(command: &mut Command) -> Result<(), String> {
    command.finish().map(|_| ())
}

/// What is done with a program's output.
pub trait Finish {
    /// The standard output; the standard error when the program fails.
    fn finish(&mut self) -> Result<Vec<u8>, String>;
    fn first_line(&mut self) -> Result<String, Trouble>;
    fn output_digest(&mut self) -> Result<String, Trouble>;
}

impl Finish for Command {
    fn finish(&mut self) -> Result<Vec<u8>, String> {
        let program = self.get_program().to_owned();
        let output = self.output().map_err(|e| format!("{}: {e}", program.display()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(format!("{}: {}: {}", program.display(), output.status, String::from_utf8_lossy(&output.stderr)))
    }

    fn first_line(&mut self) -> Result<String, Trouble> {
        let output = String::from_utf8(self.finish()?)?;
        Ok(output.lines().next().unwrap_or_default().to_owned())
    }

    fn output_digest(&mut self) -> Result<String, Trouble> {
        let mut child = self.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut hash = Sha256::new();
        let mut output = child.stdout.take().ok_or("no standard output")?;
        std::io::copy(&mut output, &mut hash)?;
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("{}: {status}", self.get_program().display()).into());
        }
        Ok(digest::hex(hash))
    }
}
