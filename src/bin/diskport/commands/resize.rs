//! `resize`: another virtual size.

use std::process::ExitCode;

use crate::args::Resize;
use crate::failure::Failure;

pub fn run(args: &Resize) -> Result<ExitCode, Failure> {
    args.change.open()?.resize(args.size, args.allow_loss)?;
    Ok(ExitCode::SUCCESS)
}
