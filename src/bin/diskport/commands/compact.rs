//! `compact`: the space of unused and zeroed blocks.

use std::process::ExitCode;

use crate::args::Compact;
use crate::console::report;
use crate::failure::Failure;
use crate::size::show;

pub fn run(args: &Compact) -> Result<ExitCode, Failure> {
    let done = args.change.open()?.compact()?;
    let image = args.change.image.path.display();
    report(&format!("{image}: {} before, {} now", show(done.before), show(done.after)));
    Ok(ExitCode::SUCCESS)
}
