//! `qemu-img convert [-n] [-f FORMAT] [-O FORMAT] [-o OPTIONS] [-B PARENT] SOURCE TARGET`

use diskport::{Disk, WritableDisk};

use super::create::Kind;
use super::{Outcome, could_not_open, transfer};
use crate::failure;
use crate::image::{self, Image};
use crate::options::Options;

pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args, "nf:O:o:B:", &[])?;
    let [source_name, target_name] = options.exactly()?;
    let source =
        Image::named(source_name, options.value('f'))?.open().map_err(could_not_open(source_name))?;
    let output = options.value('O').unwrap_or("raw");
    if options.has('n') {
        let target = writable(target_name, output)?;
        if target.size() < source.size() {
            return Err("Output file is smaller than input file".to_owned());
        }
        transfer::write(&source, u32::MAX, &target)?;
        return target.close().map(|()| 0).map_err(|e| failure::of(&e));
    }
    let mut kind = Kind::parse(output, options.values('o'))?;
    kind.parent = kind.parent.or(options.value('B').map(str::to_owned));
    let path = image::path(target_name)?;
    match kind.open_parent(&path)? {
        None => kind.copy(&source, &path)?,
        Some(parent) => {
            let shared = depth_of(&parent, &source);
            kind.create(&path, source.size(), Some(parent))?;
            let target = writable(target_name, output)?;
            transfer::write(&source, shared, &target)?;
            target.close().map_err(|e| failure::of(&e))?;
        }
    }
    Ok(0)
}

fn writable(name: &str, format: &str) -> Result<WritableDisk, String> {
    let disk = Image::named(name, Some(format))?.open_writable().map_err(could_not_open(name))?;
    disk.ok_or_else(|| format!("Could not open '{name}': it is of a kind that is only read"))
}

/// The layer of `disk` that is the top of `parent`; what it and those below it hold need not be copied.
fn depth_of(parent: &Disk, disk: &Disk) -> u32 {
    let identity = |disk: &Disk, layer: usize| disk.chain().get(layer)?.files().first()?.storage().identity();
    let same = (0..disk.chain().len()).find(|&layer| identity(disk, layer) == identity(parent, 0));
    same.map_or(u32::MAX, |layer| layer as u32)
}
