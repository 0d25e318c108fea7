//! `create`: a new empty disk.

use std::process::ExitCode;

use diskport::Disk;
use diskport::copy::Copy;

use super::output;
use crate::args::Create;
use crate::failure::Failure;

pub fn run(args: &Create) -> Result<ExitCode, Failure> {
    let format = output::format(&args.image, args.format, args.subformat.as_deref())?;
    if args.size == 0 || !args.size.is_multiple_of(u64::from(args.sector_size)) {
        let message = format!("a size of {} bytes is no whole number of sectors", args.size);
        return Err(Failure::Usage(message));
    }
    let disk = Disk::empty(args.size, args.sector_size);
    let mut copy = Copy::new(&disk).to(format).overwrite(args.overwrite);
    if let Some(block_size) = args.block_size {
        copy = copy.block_size(block_size);
    }
    copy.write_file(&args.image)?;
    Ok(ExitCode::SUCCESS)
}
