//! `merge`: layers of a chain become one.

use std::path::PathBuf;
use std::process::ExitCode;

use diskport::chain;
use diskport::storage::Shown;

use super::output;
use crate::args::{Merge, ProgressMode, warn_before_writing};
use crate::console::{self, Watch, report, say};
use crate::failure::Failure;
use crate::signals;
use crate::size::show;

pub fn run(args: &Merge, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let open = args.open.options(args.format).ignore_locks(args.locks.ignore_locks);
    let job = signals::job();
    let ended = if args.dry_run { None } else { chain::end_change(&args.top, &open, &job)? };
    let disk = open.open(&args.top)?;
    warn_before_writing(&disk);
    if ended.is_some() {
        report(&format!("{}: a change in place that was cut off has been ended", args.top.display()));
        // That is all there is to do for an image without a parent.
        if disk.chain().len() == 1 && args.output.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if let (Some(output), Some(top)) = (&args.output, disk.chain().first()) {
        // What is written is of the top's format.
        output::check_name(output, top.info().format)?;
    }
    drop(disk);
    let mut merge = chain::Merge::of(&args.top)
        .open(open)
        .overwrite(args.locks.overwrite(args.overwrite))
        .delete(args.delete)
        .ignore_children(args.ignore_children)
        .job(&job);
    if let Some(base) = args.into.as_ref().or(args.base.as_ref()) {
        merge = merge.base(base);
    }
    if let Some(block_size) = args.block_size {
        merge = merge.block_size(block_size);
    }
    if args.dry_run {
        let paths = names(&merge.removals()?);
        if args.json {
            console::print_json(&serde_json::json!({ "would_remove": paths }))?;
        } else {
            paths.iter().for_each(|path| say(&format!("would remove {path}")));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let merged = {
        let _watch = Watch::start(mode, job.progress());
        match &args.output {
            Some(output) => merge.create(output)?,
            None => merge.commit()?,
        }
    };
    let (top, deleted) = (args.top.shown(), names(&merged.deleted));
    console::tell(
        args.json,
        &format!("{top}: {} layers merged, {} written", merged.layers, show(merged.data_written)),
        &serde_json::json!({
            "top": top,
            "output": args.output.as_ref().map(|output| output.shown()),
            "layers": merged.layers,
            "data_written": merged.data_written,
            "removed": deleted,
        }),
    )?;
    match &args.output {
        Some(output) if args.base.is_some() => output::warn_of_place(output, &args.open.policy),
        None if !args.delete => output::warn_of_place(&args.top, &args.open.policy),
        _ => {}
    }
    if !args.json {
        deleted.iter().for_each(|path| report(&format!("  removed {path}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.shown()).collect()
}
