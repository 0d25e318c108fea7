//! `convert`: an image, its chain flattened, in another format.

use std::io;
use std::process::ExitCode;

use diskport::copy::Copy;
use diskport::format::{raw, vmdk};
use diskport::ops::{Choices, Target, grow};
use diskport::{Disk, Format};

use super::output;
use crate::args::{Convert, FormatName, ProgressMode};
use crate::console;
use crate::failure::Failure;

pub fn run(args: &Convert, mode: ProgressMode) -> Result<ExitCode, Failure> {
    if let Some(target) = args.target {
        return for_target(args, target, mode);
    }
    // What the options rule out is said before anything is opened.
    let format = output::format(&args.destination, args.format, args.subformat.as_deref())?;
    let source = source(args)?;
    let (disk, adjustments) = grow(&source, args.size.unwrap_or(source.size()))?;
    let mut copy = Copy::new(&disk).to(format);
    if let Some(block_size) = args.block_size {
        copy = copy.block_size(block_size);
    }
    output::write(copy, &args.destination, &args.output, mode, &adjustments)
}

fn for_target(args: &Convert, target: Target, mode: ProgressMode) -> Result<ExitCode, Failure> {
    // The platform decides, whatever the name ends in, but between a disk and an OVA with one inside.
    let named = FormatName::of_name(&args.destination).filter(|named| named.container == Some("ova"));
    let kind = args.format.or(named.filter(|_| args.subformat.is_none()));
    let container = kind.and_then(|kind| kind.container).map(str::to_owned);
    let choices = Choices {
        format: kind.map(|kind| kind.format),
        subformat: args.subformat.clone().or(container),
        block_size: args.block_size,
        size: args.size,
    };
    target.check(&choices)?;
    let source = source(args)?;
    let plan = target.plan(&source, &choices)?;
    output::write(plan.copy(), &args.destination, &args.output, mode, &plan.adjustments)
}

/// The source, which may come out of standard input.
fn source(args: &Convert) -> Result<Disk, Failure> {
    if args.source.as_os_str() != "-" {
        return args.open.open(&args.source, args.source_format);
    }
    match args.source_format {
        Some(Format::Raw) => {
            let size = args.size.or_else(console::input_len).ok_or_else(|| {
                Failure::Usage(
                    "a raw disk on standard input does not say its size: give it with --size".to_owned(),
                )
            })?;
            Ok(raw::StreamReader::new(io::stdin(), size).into_disk()?)
        }
        Some(Format::Vmdk) => Ok(vmdk::StreamReader::new(io::stdin())?.into_disk()?),
        _ => Err(Failure::Usage(
            "standard input is read once, forwards: say with --source-format whether it is raw or vmdk \
             (streamOptimized)"
                .to_owned(),
        )),
    }
}
