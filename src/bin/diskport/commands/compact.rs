//! `compact`: the space of unused and zeroed blocks.

use std::process::ExitCode;

use crate::args::{Compact, say_notes};
use crate::console;
use crate::failure::Failure;
use crate::size::show;
use diskport::free::FreeSpace;
use diskport::storage::Shown;

pub fn run(args: &Compact) -> Result<ExitCode, Failure> {
    let disk = args.change.open()?;
    if args.skip_free {
        let space = FreeSpace::of(&disk.view()?)?;
        say_notes(&space);
        space.discard(&disk)?;
    }
    let done = disk.compact()?;
    let image = args.change.image.path.shown();
    console::tell(
        args.json,
        &format!("{image}: {} before, {} now", show(done.before), show(done.after)),
        &serde_json::json!({ "image": image.to_string(), "before": done.before, "file_size": done.after }),
    )?;
    Ok(ExitCode::SUCCESS)
}
