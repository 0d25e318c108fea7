//! `resize`: another virtual size.

use std::process::ExitCode;

use diskport::partition::minimum_size;

use crate::args::Resize;
use crate::console::report;
use crate::failure::Failure;
use crate::size::show;

pub fn run(args: &Resize) -> Result<ExitCode, Failure> {
    let image = &args.change.image;
    let minimum = if args.to_minimum { Some(minimum_size(&image.open()?)?) } else { None };
    let disk = args.change.open()?;
    let size = match (args.size, minimum) {
        (Some(size), _) => size.of(disk.size())?,
        // Partitions may pass the end of a disk, which is not made larger by this.
        (None, minimum) => minimum.unwrap_or(u64::MAX).min(disk.size()),
    };
    let resized = disk.resize(size, args.allow_loss)?;
    let gpt = if resized.gpt_moved { ", the backup GPT moved to the new end" } else { "" };
    report(&format!(
        "{}: {} before, {} now{gpt}",
        image.path.display(),
        show(resized.before),
        show(resized.after)
    ));
    Ok(ExitCode::SUCCESS)
}
