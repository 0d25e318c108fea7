//! `plan`, and `convert --plan`: a conversion that many processes carry out.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use diskport::copy::PlanRecord;
use diskport::disk::Losses;
use diskport::storage::Shown;
use serde::{Deserialize, Serialize};

use super::{convert, output};
use crate::args::{Cli, Command, Convert, ProgressMode};
use crate::console::{self, Watch};
use crate::failure::Failure;
use crate::signals;

/// What `plan` prints.
#[derive(Serialize, Deserialize)]
struct PlanFile {
    /// Where `plan` was run: names are relative to it.
    folder: PathBuf,
    /// What it was called with, itself included.
    arguments: Vec<String>,
    plan: PlanRecord,
}

pub fn run(args: &Convert, mode: ProgressMode) -> Result<ExitCode, Failure> {
    refuse_what_no_plan_holds(args)?;
    let (_, destination) = convert::ends(args)?;
    if output::is_stdout(destination) {
        return Err(Failure::Usage("shards are written to a file: name it".to_owned()));
    }
    let arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let arguments = arguments
        .collect::<Result<_, _>>()
        .map_err(|_| Failure::Usage("a plan holds its arguments as UTF-8".to_owned()))?;
    let job = signals::job();
    let (copy, _) = convert::copy(args, &Losses::new())?;
    let copy = output::configure(copy, &args.output, &job);
    let plan = {
        let _watch = Watch::start(mode, job.progress());
        copy.plan()?.record()?
    };
    console::print_json(&PlanFile { folder: std::env::current_dir()?, arguments, plan })?;
    Ok(ExitCode::SUCCESS)
}

/// Says of an option that would have no effect what has it instead.
fn refuse_what_no_plan_holds(args: &Convert) -> Result<(), Failure> {
    let options = [
        (args.plan.is_some(), "--plan", "convert carries plans out"),
        (args.output.verify, "--verify", "convert --finish reads all shards back"),
        (!args.output.digest.is_empty(), "--digest", "hash the output when it is finished"),
        (args.salvage, "--salvage", "no shard knows what the others could not read"),
        (args.output.resume, "--resume", "a shard that broke off is written again"),
    ];
    match options.iter().find(|(is_given, ..)| *is_given) {
        Some((_, option, why)) => Err(Failure::Usage(format!("a plan takes no {option}: {why}"))),
        None => Ok(()),
    }
}

/// Writes a shard of a plan, or finishes its output. Source and output lie where the plan says, or where `args` do.
pub fn carry_out(args: &Convert, path: &Path, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let unreadable = |why: String| Failure::Usage(format!("{}: no plan: {why}", path.shown()));
    let file = File::open(path).map_err(|e| unreadable(e.to_string()))?;
    let file: PlanFile =
        serde_json::from_reader(BufReader::new(file)).map_err(|e| unreadable(e.to_string()))?;
    let planned =
        Cli::try_parse_from(std::iter::once("diskport").chain(file.arguments.iter().map(String::as_str)));
    let Command::Plan(mut planned) = planned.map_err(|e| unreadable(e.to_string()))?.command else {
        return Err(unreadable("its arguments are those of another command".to_owned()));
    };
    let place = |own: &Option<PathBuf>, planned: Option<PathBuf>| {
        own.clone().or_else(|| planned.map(|path| file.folder.join(path)))
    };
    planned.source = place(&args.source, planned.source);
    planned.destination = place(&args.destination, planned.destination);
    planned.open.parent = place(&args.open.parent, planned.open.parent);
    planned.open.policy.extents.iter_mut().for_each(|(_, path)| *path = file.folder.join(&path));
    let (_, destination) = convert::ends(&planned)?;

    let job = signals::job();
    let (copy, adjustments) = convert::copy(&planned, &Losses::new())?;
    let copy = output::configure(copy, &args.output, &job);
    let report = {
        let _watch = Watch::start(mode, job.progress());
        match args.shard {
            Some(shard) => copy.write_shard(&file.plan, shard, destination)?,
            None if args.finish => copy.finish_shards(&file.plan, destination)?,
            None => return Err(Failure::Usage("say with --shard what to write, or --finish".to_owned())),
        }
    };
    output::tell(&copy, destination, args.output.json, &report, (&adjustments, &Losses::new()))
}
