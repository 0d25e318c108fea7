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
    if args.block_size.is_some() {
        return Err(Failure::Usage(format!("a {format} output has no block size to choose")));
    }
    let source = args.open.open(&args.source, args.source_format)?;
    let (disk, adjustments) = grow(&source, args.size.unwrap_or(source.size()))?;
    output::write(Copy::new(&disk).to(format), &args.destination, &args.output, &adjustments)
}

/// The format asked for, or the one that the output's name ends in.
fn output_format(args: &Convert) -> Result<OutputFormat, Failure> {
    if let Some(target) = args.target {
        return Ok(target.format());
    }
    let stdout = is_stdout(&args.destination);
    let ending = args.destination.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let by_name = || match ending.to_ascii_lowercase().as_str() {
        "vmdk" => Some(Format::Vmdk),
        "vhd" => Some(Format::Vhd),
        "vhdx" => Some(Format::Vhdx),
        "raw" | "img" | "dd" | "bin" => Some(Format::Raw),
        _ => None,
    };
    let format = args.format.or_else(|| args.subformat.map(|_| Format::Vmdk)).or_else(by_name);
    match format {
        Some(Format::Raw) if args.subformat.is_none() => Ok(OutputFormat::Raw),
        Some(Format::Vmdk) => {
            let default = if stdout { Subformat::StreamOptimized } else { Subformat::MonolithicSparse };
            Ok(OutputFormat::Vmdk(args.subformat.unwrap_or(default)))
        }
        Some(format) if args.subformat.is_some() => {
            Err(Failure::Usage(format!("a {format} output has no such subformat")))
        }
        Some(format) => Err(Failure::Usage(format!("a {format} output cannot be written by this version"))),
        None => Err(Failure::Usage("name the output's format with --format or --target".to_owned())),
    }
}
