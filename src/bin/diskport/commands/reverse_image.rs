//! `reverse-image`: a vDisk with all its versions becomes a native disk.

use std::process::ExitCode;

use diskport::MIB;
use diskport::disk::Losses;
use diskport::ops::plan_reverse_image;

use super::output;
use crate::args::{ProgressMode, ReverseImage};
use crate::failure::Failure;

pub fn run(args: &ReverseImage, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let source = args.skip.of(args.open.open(&args.source, args.source_format)?)?;
    let size =
        args.size_mib.map(|mib| mib.checked_mul(MIB).ok_or_else(|| Failure::Usage("too large".to_owned())));
    let plan = plan_reverse_image(&source, args.target, size.transpose()?)?;
    output::write(plan.copy(), &args.destination, &args.output, mode, (&plan.adjustments, &Losses::new()))
}
