//! The vDisks that are converted, made of the kit's raw disks by qemu-img and by us.

use std::fs::File;
use std::path::Path;

use crate::common::tools::{Trouble, run, tool};
use crate::place::{DONE, Place, text};

/// Who makes a vDisk.
#[derive(Clone, Copy)]
pub enum Maker {
    QemuImg,
    Diskport,
}

/// A kind of vDisk.
#[derive(Clone, Copy)]
pub struct Base {
    /// "vhd" or "vhdx".
    pub format: &'static str,
    /// "fixed" or "dynamic".
    pub kind: &'static str,
    pub maker: Maker,
    pub sector: u32,
}

impl Base {
    pub const fn new(format: &'static str, kind: &'static str, maker: Maker) -> Self {
        Self { format, kind, maker, sector: 512 }
    }

    /// Makes it in the place, as `base.vhd` or `base.vhdx`; its name.
    pub fn make(self, place: &Place, raw: &Path) -> Result<String, Trouble> {
        let name = format!("base.{}", self.format);
        match self.maker {
            Maker::QemuImg => {
                let driver = if self.format == "vhd" { "vpc" } else { "vhdx" };
                let exact = if self.format == "vhd" { ",force_size=on" } else { "" };
                let options = format!("subformat={}{exact}", self.kind);
                let mut command = tool("qemu-img")?;
                command.args(["convert", "-f", "raw", "-O", driver, "-o", &options]).arg(raw);
                run(command.arg(place.path(&name)))?;
            }
            Maker::Diskport if self.sector == 512 => {
                place.run(&["convert", text(raw), &name, "--subformat", self.kind, "--no-sync"], DONE);
            }
            // A raw disk does not say how large its sectors are.
            Maker::Diskport => {
                let size = File::open(raw)?.metadata()?.len().to_string();
                let sector = self.sector.to_string();
                let how = ["--size", &size, "--subformat", self.kind, "--sector-size", &sector];
                place.run(&[&["create", &name][..], &how].concat(), DONE);
                place.run(&["update", text(raw), &name], DONE);
            }
        }
        Ok(name)
    }
}
