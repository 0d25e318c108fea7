//! `convert`: an image, its chain flattened, in another format.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use diskport::copy;
use diskport::disk::Losses;
use diskport::format::{raw, vmdk};
use diskport::ops::{Choices, grow};
use diskport::{Disk, Format};

use super::output;
use crate::args::{Convert, FormatName, ProgressMode};
use crate::console;
use crate::failure::Failure;
use crate::size::NewSize;

pub fn run(args: &Convert, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let (_, destination) = ends(args)?;
    if args.salvage && args.output.resume {
        let why = "what an interrupted run could not read is not known any more";
        return Err(Failure::Usage(format!("--salvage does not go on with a copy: {why}")));
    }
    let losses = Losses::new();
    let (copy, adjustments) = copy(args, &losses)?;
    output::write(copy, destination, &args.output, mode, (&adjustments, &losses))
}

/// Source and output.
pub fn ends(args: &Convert) -> Result<(&PathBuf, &Path), Failure> {
    match (&args.source, &args.destination) {
        (Some(source), Some(destination)) => Ok((source, destination)),
        _ => Err(Failure::Usage("name the image to convert, and the output".to_owned())),
    }
}

/// The copy that is asked for, and what it changes. What it cannot read is added to `losses`, where it may go on then.
pub fn copy(args: &Convert, losses: &Losses) -> Result<(copy::Convert, Vec<String>), Failure> {
    let (_, destination) = ends(args)?;
    if let Some(target) = args.target {
        // The platform decides, whatever the name ends in, but between a disk and an OVA with one inside.
        let named = FormatName::of_name(destination).filter(|named| named.container == Some("ova"));
        let kind = args.format.or(named.filter(|_| args.subformat.is_none()));
        let container = kind.and_then(|kind| kind.container).map(str::to_owned);
        let choices = Choices {
            format: kind.map(|kind| kind.format),
            subformat: args.subformat.clone().or(container),
            block_size: args.block_size,
            size: None,
        };
        target.check(&choices)?;
        let source = source(args, losses)?;
        let plan = target.plan(&source, &Choices { size: size(args, &source)?, ..choices })?;
        return Ok((plan.copy(), plan.adjustments));
    }
    // What the options rule out is said before anything is opened.
    let format = output::format(destination, args.format, args.subformat.as_deref())?;
    let source = source(args, losses)?;
    let (disk, adjustments) = grow(&source, size(args, &source)?.unwrap_or(source.size()))?;
    let copy = copy::Convert::new(&disk).to(format);
    let copy = match args.block_size {
        Some(block_size) => copy.block_size(block_size),
        None => copy,
    };
    Ok((copy, adjustments))
}

/// The size that is asked for.
fn size(args: &Convert, source: &Disk) -> Result<Option<u64>, Failure> {
    args.size.map(|size| size.of(source.size())).transpose()
}

/// The source, which may come out of standard input.
fn source(args: &Convert, losses: &Losses) -> Result<Disk, Failure> {
    let (path, _) = ends(args)?;
    if path.as_os_str() != "-" {
        let salvage = args.salvage.then_some(losses);
        return args.skip.of(args.open.open_or_salvage(path, args.source_format, salvage)?);
    }
    if args.salvage {
        let why = "it reads again what it could not read: put standard input into a file";
        return Err(Failure::Usage(format!("--salvage: {why}")));
    }
    if args.skip.skip_free || args.skip.skip_paging {
        let why = "what is free is known only after the end was read: put standard input into a file";
        return Err(Failure::Usage(format!("--skip-free, --skip-paging: {why}")));
    }
    match args.source_format {
        Some(Format::Raw) => {
            let given = match args.size {
                Some(NewSize::Exactly(size)) => Some(size),
                _ => console::input_len(),
            };
            let size = given.ok_or_else(|| {
                Failure::Usage(
                    "a raw disk on standard input does not say its size: give it with --size".to_owned(),
                )
            })?;
            Ok(raw::RawStream::new(io::stdin(), size).into_disk()?)
        }
        Some(Format::Vmdk) => Ok(vmdk::VmdkStream::new(io::stdin())?.into_disk()?),
        _ => Err(Failure::Usage(
            "standard input is read once, forwards: say with --source-format whether it is raw or vmdk \
             (streamOptimized)"
                .to_owned(),
        )),
    }
}
