//! `rebase`: another parent.

use std::path::PathBuf;
use std::process::ExitCode;

use diskport::chain::{self, find_parents};
use diskport::storage::Shown;
use diskport::{Error, Open};

use super::output;
use crate::args::{ProgressMode, Rebase, warn_before_writing};
use crate::console::{self, Watch};
use crate::failure::Failure;
use crate::signals;

pub fn run(args: &Rebase, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let mut open = args.policy.options(args.format).ignore_locks(args.locks.ignore_locks);
    if let Some(parent) = &args.old_parent {
        open = open.parent(parent);
    }
    if let Some(format) = args.old_parent_format {
        open = open.parent_format(format);
    }
    match open.clone().allow_missing_parent(true).open(&args.image) {
        Ok(disk) => warn_before_writing(&disk),
        // An extent of the new parent's, perhaps.
        Err(Error::NoSuchExtent { .. }) => {}
        Err(problem) => return Err(problem.into()),
    }
    // One that is found by its identity is the old parent itself.
    let (parent, unchecked) = match &args.parent {
        Some(parent) => (parent.clone(), args.unchecked),
        None => (find(args, &open)?, true),
    };
    let job = signals::job();
    let mut rebase = chain::Rebase::of(&args.image).onto(&parent).open(open).unchecked(unchecked).job(&job);
    if let Some(format) = args.parent_format {
        rebase = rebase.parent_format(format);
    }
    {
        let _watch = Watch::start(mode, job.progress());
        rebase.run().map_err(|problem| advise(args, problem))?;
    }
    let (image, parent) = (args.image.shown(), parent.shown());
    let line = format!("{image}: its parent is {parent}");
    console::tell(args.json, &line, &serde_json::json!({ "image": image, "parent": parent }))?;
    output::warn_of_place(&args.image, &args.policy);
    Ok(ExitCode::SUCCESS)
}

/// `--parent` names the new parent here: where the old one cannot be opened, other options help.
fn advise(args: &Rebase, problem: Error) -> Failure {
    let is_child = problem.file().is_some_and(|file| args.image.shown() == file);
    match problem {
        Error::ParentMissing { .. } | Error::ParentMismatch { .. } | Error::NotAllowed { .. } if is_child => {
            let words = "say where the old parent lies with --old-parent PATH, or, if the new one has the same content, go on with --unsafe";
            Failure::Advised(problem, words)
        }
        Error::ParentMissing { .. } => Failure::Advised(
            problem,
            "record where that image's own parent lies first: diskport rebase IMAGE --parent PATH",
        ),
        problem => problem.into(),
    }
}

/// The one image in the folders that the image can have had as its parent.
fn find(args: &Rebase, open: &Open) -> Result<PathBuf, Failure> {
    let child = open.clone().allow_missing_parent(true).open(&args.image)?;
    let mut found = find_parents(&child, &args.find, &args.policy.options(None))?;
    match (found.pop(), found.is_empty()) {
        (Some(parent), true) => Ok(parent),
        (Some(parent), false) => {
            let others: Vec<_> = found.iter().map(|path| path.shown()).collect();
            let all = format!("{} and {}", others.join(", "), parent.shown());
            Err(Failure::Usage(format!("{all} all bear the parent's identity: name one with --parent")))
        }
        (None, _) => {
            let tried = args.find.iter().map(|folder| folder.shown()).collect();
            Err(Error::ParentMissing { child: args.image.shown(), tried }.into())
        }
    }
}
