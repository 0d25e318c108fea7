//! `resize`: another virtual size.

use std::process::ExitCode;

use crate::args::Resize;
use crate::console::say;
use crate::failure::Failure;
use crate::size::show;

pub fn run(args: &Resize) -> Result<ExitCode, Failure> {
    let disk = args.change.open()?;
    let old = disk.size();
    let size = args.size.of(old)?;
    disk.resize(size, args.allow_loss)?;
    let image = args.change.image.path.display();
    say(&format!("{image}: {} before, {} now", show(old), show(size)));
    Ok(ExitCode::SUCCESS)
}
