//! `resize`: another virtual size.

use std::process::ExitCode;

use diskport::partition::minimum_size;
use diskport::storage::Shown;

use crate::args::Resize;
use crate::console;
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
    let image = image.path.shown();
    console::tell(
        args.json,
        &format!("{image}: {} before, {} now{gpt}", show(resized.before), show(resized.after)),
        &serde_json::json!({
            "image": image,
            "before": resized.before,
            "virtual_size": resized.after,
            "gpt_moved": resized.gpt_moved,
        }),
    )?;
    Ok(ExitCode::SUCCESS)
}
