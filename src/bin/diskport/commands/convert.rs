//! `convert`: an image, its chain flattened, in another format.

use std::process::ExitCode;

use diskport::copy::Copy;
use diskport::ops::{Choices, Target, grow};

use super::output;
use crate::args::{Convert, ProgressMode};
use crate::failure::Failure;

pub fn run(args: &Convert, mode: ProgressMode) -> Result<ExitCode, Failure> {
    if let Some(target) = args.target {
        return for_target(args, target, mode);
    }
    // What the options rule out is said before anything is opened.
    let format = output::format(&args.destination, args.format, args.subformat.as_deref())?;
    let source = args.open.open(&args.source, args.source_format)?;
    let (disk, adjustments) = grow(&source, args.size.unwrap_or(source.size()))?;
    let mut copy = Copy::new(&disk).to(format);
    if let Some(block_size) = args.block_size {
        copy = copy.block_size(block_size);
    }
    output::write(copy, &args.destination, &args.output, mode, &adjustments)
}

fn for_target(args: &Convert, target: Target, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let choices = Choices {
        format: args.format,
        subformat: args.subformat.clone(),
        block_size: args.block_size,
        size: args.size,
    };
    target.check(&choices)?;
    let source = args.open.open(&args.source, args.source_format)?;
    let plan = target.plan(&source, &choices)?;
    output::write(plan.copy(), &args.destination, &args.output, mode, &plan.adjustments)
}
