//! `convert`: an image, its chain flattened, in another format.

use std::process::ExitCode;

use diskport::Format;
use diskport::copy::{Copy, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::ops::grow;

use super::output::{self, is_stdout};
use crate::args::Convert;
use crate::failure::Failure;

pub fn run(args: &Convert) -> Result<ExitCode, Failure> {
    let format = output_format(args)?;
    let source = args.open.open(&args.source, args.source_format)?;
    let (disk, adjustments) = grow(&source, args.size.unwrap_or(source.size()))?;
    let mut copy = Copy::new(&disk).to(format);
    if let Some(block_size) = args.block_size {
        copy = copy.block_size(block_size);
    }
    output::write(copy, &args.destination, &args.output, &adjustments)
}

/// The format asked for, or the one that the output's name ends in.
fn output_format(args: &Convert) -> Result<OutputFormat, Failure> {
    if let Some(target) = args.target {
        return Ok(target.format());
    }
    let ending = args.destination.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let by_name = || match ending.to_ascii_lowercase().as_str() {
        "vmdk" => Some(Format::Vmdk),
        "vhd" => Some(Format::Vhd),
        "vhdx" => Some(Format::Vhdx),
        "raw" | "img" | "dd" | "bin" => Some(Format::Raw),
        _ => None,
    };
    let Some(format) = args.format.or_else(by_name) else {
        return Err(Failure::Usage("name the output's format with --format or --target".to_owned()));
    };
    let subformat = match &args.subformat {
        Some(name) => Some(name.as_str()),
        // The one that a pipe can take.
        None if format == Format::Vmdk && is_stdout(&args.destination) => {
            Some(Subformat::StreamOptimized.name())
        }
        None => None,
    };
    Ok(OutputFormat::new(format, subformat)?)
}
