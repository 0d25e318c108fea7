//! `convert`: an image, its chain flattened, in another format.

use std::process::ExitCode;

use diskport::copy::Copy;
use diskport::ops::{grow, plan_reverse_image};

use super::output;
use crate::args::{Convert, ProgressMode};
use crate::failure::Failure;

pub fn run(args: &Convert, mode: ProgressMode) -> Result<ExitCode, Failure> {
    // What the options rule out is said before anything is opened.
    let format = match args.target {
        Some(target) => target.format(),
        None => output::format(&args.destination, args.format, args.subformat.as_deref())?,
    };
    let source = args.open.open(&args.source, args.source_format)?;
    let (disk, adjustments) = match args.target {
        Some(target) => {
            let plan = plan_reverse_image(&source, target, args.size)?;
            (plan.disk, plan.adjustments)
        }
        None => grow(&source, args.size.unwrap_or(source.size()))?,
    };
    let mut copy = Copy::new(&disk).to(format);
    if let Some(block_size) = args.block_size {
        copy = copy.block_size(block_size);
    }
    output::write(copy, &args.destination, &args.output, mode, &adjustments)
}
