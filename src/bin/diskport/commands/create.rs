//! `create`: a new empty disk, or a differencing child.

use std::path::Path;
use std::process::ExitCode;

use diskport::copy::Convert;
use diskport::storage::Shown;
use diskport::{Child, Disk, Format};

use super::output;
use crate::args::{Create, warn_of};
use crate::console;
use crate::failure::Failure;
use crate::size::{NewSize, show};

pub fn run(args: &Create) -> Result<ExitCode, Failure> {
    if args.json && output::is_stdout(&args.image) {
        return Err(Failure::Usage(output::ONE_OUTPUT.to_owned()));
    }
    let size = match &args.parent {
        Some(parent) => child(args, parent)?,
        None => empty(args)?,
    };
    let image = args.image.shown();
    let line = format!("{image}: made, {}", show(size));
    console::tell(args.json, &line, &serde_json::json!({ "image": image, "virtual_size": size }))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a child, and gives its size.
fn child(args: &Create, parent: &Path) -> Result<u64, Failure> {
    let disk = args.policy.options(args.parent_format).open(parent)?;
    warn_of(&disk);
    let below = disk.chain().first().map_or(Format::Raw, |top| top.info().format);
    output::check_name(&args.image, below.of_child())?;
    let mut child = Child::of(&disk).overwrite(args.locks.overwrite(args.overwrite));
    let size = args.size.map_or(Ok(disk.size()), |size| size.of(disk.size()))?;
    if args.size.is_some() {
        child = child.size(size);
    }
    if let Some(block_size) = args.block_size {
        child = child.block_size(block_size);
    }
    child.create(&args.image)?;
    output::warn_of_place(&args.image, &args.policy);
    Ok(size)
}

/// Makes an empty disk, and gives its size.
fn empty(args: &Create) -> Result<u64, Failure> {
    let format = output::format(&args.image, args.format, args.subformat.as_deref())?;
    let size = match args.size {
        Some(NewSize::Exactly(size)) => size,
        _ => {
            return Err(Failure::Usage("a new disk has no size that --size could be relative to".to_owned()));
        }
    };
    if size == 0 || !size.is_multiple_of(u64::from(args.sector_size)) {
        return Err(Failure::Usage(format!("a size of {size} bytes is no whole number of sectors")));
    }
    output::warn_of_name(&args.image, format);
    let disk = Disk::empty(size, args.sector_size);
    let mut copy = Convert::new(&disk).to(format).overwrite(args.locks.overwrite(args.overwrite));
    if let Some(block_size) = args.block_size {
        copy = copy.block_size(block_size);
    }
    if output::is_stdout(&args.image) {
        copy.write_to(std::io::stdout())?;
    } else {
        copy.create(&args.image)?;
    }
    Ok(size)
}
