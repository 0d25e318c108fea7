//! `qemu-img create [-q] [-f FORMAT] [-o OPTIONS] [-b PARENT [-F FORMAT]] FILE [SIZE]`

use std::fs;
use std::path::Path;

use diskport::copy::{Convert, OutputFormat};
use diskport::storage::FileStorage;
use diskport::{Child, Disk, Format};

use super::Outcome;
use crate::failure;
use crate::image::{self, Image};
use crate::options::{Options, pairs};
use crate::size;

/// Bytes of a sector: the size of a new disk is a whole number of them.
const SECTOR: u64 = 512;

pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args, "qf:o:b:F:", &[])?;
    let format = options.value('f').unwrap_or("raw");
    let (name, size) = match &options.operands[..] {
        [name] => (name, None),
        [name, size] => (name, Some(size::parse(size)?)),
        operands => return Err(format!("Expecting image file name and size, not {operands:?}")),
    };
    let named = |why| format!("{name}: {why}");
    let mut kind = Kind::parse(format, options.values('o')).map_err(named)?;
    if let Some(parent) = options.value('b') {
        kind.parent = Some(parent.to_owned());
        kind.parent_format = options.value('F').map(str::to_owned);
    }
    let path = image::path(name)?;
    let parent =
        kind.open_parent(&path).map_err(|why| format!("{name}: {why}\nCould not open backing image."))?;
    let size = size.or(parent.as_ref().map(Disk::size));
    let size = size.ok_or_else(|| format!("{name}: Image creation needs a size parameter"))?;
    if !options.has('q') {
        let of_parent = kind.parent.as_ref().map_or(String::new(), |parent| {
            let format = kind.parent_format.as_ref().map(|format| format!(" backing_fmt={format}"));
            format!(" backing_file={}{}", parent.replace(',', ",,"), format.unwrap_or_default())
        });
        println!("Formatting '{name}', fmt={format} size={size}{of_parent}");
    }
    kind.create(&path, size.next_multiple_of(SECTOR), parent).map_err(named)?;
    Ok(0)
}

/// What an image is to be.
pub struct Kind {
    output: OutputFormat,
    block_size: Option<u64>,
    pub parent: Option<String>,
    parent_format: Option<String>,
    zeroed_grain: bool,
}

impl Kind {
    /// What the format's name and the values of `-o` say.
    pub fn parse<'a>(format: &str, options: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let format = image::parse_format(format)?;
        let mut kind = Self {
            output: output(format, None)?,
            block_size: None,
            parent: None,
            parent_format: None,
            zeroed_grain: false,
        };
        for (key, value) in options.flat_map(pairs) {
            match (&*key, format) {
                ("subformat", _) => kind.output = output(format, Some(&value))?,
                ("block_size", Format::Vhd | Format::Vhdx) => kind.block_size = Some(size::parse(&value)?),
                ("backing_file", _) => kind.parent = Some(value),
                ("backing_fmt", _) => kind.parent_format = Some(value),
                ("zeroed_grain", Format::Vmdk) => kind.zeroed_grain = value == "on",
                // A VHD here never has another size than the one asked for.
                ("force_size", Format::Vhd) => {}
                _ => return Err(format!("Invalid parameter '{key}'")),
            }
        }
        Ok(kind)
    }

    /// Opens the parent of the image that will lie at `path`, if it is to have one.
    pub fn open_parent(&self, path: &Path) -> Result<Option<Disk>, String> {
        let Some(name) = &self.parent else { return Ok(None) };
        if let Some(format) = &self.parent_format {
            image::parse_format(format)?;
        }
        let parent = image::beside(path, name);
        let parent = parent.to_str().ok_or("a name that is no text")?;
        Image::named(parent, self.parent_format.as_deref())?.open().map(Some)
    }

    /// Makes the image.
    pub fn create(&self, path: &Path, size: u64, parent: Option<Disk>) -> Result<(), String> {
        if let (Some(parent), Some(name)) = (parent, &self.parent) {
            return create_child(Child::of(&parent).size(size).parent_name(name), path);
        }
        self.copy(&Disk::empty(size, SECTOR as u32), path)
    }

    /// Makes the image with the content of `disk`.
    pub fn copy(&self, disk: &Disk, path: &Path) -> Result<(), String> {
        if self.zeroed_grain && self.output.subformat().ends_with("Flat") {
            return Err("Flat image can't enable zeroed grain".to_owned());
        }
        let mut copy = Convert::new(disk).to(self.output).overwrite(true).sync(false);
        if let Some(block_size) = self.block_size {
            copy = copy.block_size(block_size);
        }
        copy.create(path).map(drop).map_err(|e| failure::of(&e))
    }
}

/// Makes `child`, which records the parent's name as it was given, as qemu does.
fn create_child(child: Child, path: &Path) -> Result<(), String> {
    if path.exists() {
        fs::remove_file(path).map_err(|e| failure::system(&e))?;
    }
    let file = FileStorage::create_new(path).map_err(|e| failure::system(&e))?;
    child.create(file).map(drop).map_err(|e| failure::of(&e))
}

fn output(format: Format, subformat: Option<&str>) -> Result<OutputFormat, String> {
    OutputFormat::new(format, subformat).map_err(|e| e.to_string())
}
