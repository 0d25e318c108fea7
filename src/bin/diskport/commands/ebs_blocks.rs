//! `ebs-blocks`: what a snapshot of Amazon's takes.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use diskport::ebs::{BLOCK_SIZE, EbsBlocks};

use crate::args::{EbsBlocks as Args, ProgressMode};
use crate::console::Watch;
use crate::failure::Failure;
use crate::signals;

pub fn run(args: &Args, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let disk = args.image.open()?;
    let blocks = match &args.since {
        Some(since) => {
            let options = args.image.options.with_parent(&args.since_parent, &args.since_extent);
            EbsBlocks::since(&options.open(since, args.since_format)?, &disk)?
        }
        None => EbsBlocks::of(&disk),
    };
    let job = signals::job();
    let _watch = Watch::start(mode, job.progress());
    let mut blocks = blocks.job(&job);
    // Streamed: there may be more blocks than memory holds.
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        write!(out, "{{\"block_size\": {BLOCK_SIZE}, \"blocks\": [")?;
    }
    if let Err(failure) = list(&mut blocks, &mut out, args.json) {
        return Err(if args.json { failure.end(&mut out, "], \"error\": ", "}") } else { failure });
    }
    let summary = blocks.summary();
    let (count, checksum, volume) = (summary.changed_blocks, summary.checksum, summary.volume_gib);
    if args.json {
        let end =
            format!("\"changed_blocks\": {count}, \"checksum\": \"{checksum}\", \"volume_gib\": {volume}");
        writeln!(out, "], {end}}}")?;
    } else {
        writeln!(out, "{count} blocks, {checksum}, a volume of {volume} GiB")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn list(blocks: &mut EbsBlocks, out: &mut impl Write, json: bool) -> Result<(), Failure> {
    let mut separator = "\n";
    for block in blocks {
        let block = block?;
        if json {
            let row = serde_json::json!({ "index": block.index, "checksum": block.checksum() });
            out.write_all(separator.as_bytes())?;
            serde_json::to_writer(&mut *out, &row)?;
            separator = ",\n";
        } else {
            writeln!(out, "{:>10}  {}", block.index, block.checksum())?;
        }
    }
    Ok(())
}
