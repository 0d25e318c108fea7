//! `rebase`: another parent.

use std::path::PathBuf;
use std::process::ExitCode;

use diskport::chain::{self, find_parents};
use diskport::{Error, Open};

use super::output;
use crate::args::{ProgressMode, Rebase, warn_before_writing};
use crate::console::{Watch, report};
use crate::failure::Failure;
use crate::signals;

pub fn run(args: &Rebase, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let mut open = args.policy.options(args.format).ignore_locks(args.locks.ignore_locks);
    if let Some(parent) = &args.old_parent {
        open = open.parent(parent);
    }
    warn_before_writing(&open.clone().allow_missing_parent(true).open(&args.image)?);
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
        rebase.run()?;
    }
    report(&format!("{}: its parent is {}", args.image.display(), parent.display()));
    output::warn_of_place(&args.image, &args.policy);
    Ok(ExitCode::SUCCESS)
}

/// The one image in the folders that the image can have had as its parent.
fn find(args: &Rebase, open: &Open) -> Result<PathBuf, Failure> {
    let child = open.clone().allow_missing_parent(true).open(&args.image)?;
    let mut found = find_parents(&child, &args.find, &args.policy.options(None))?;
    match (found.pop(), found.is_empty()) {
        (Some(parent), true) => Ok(parent),
        (Some(parent), false) => {
            let others: Vec<_> = found.iter().map(|path| path.display().to_string()).collect();
            let all = format!("{} and {}", others.join(", "), parent.display());
            Err(Failure::Usage(format!("{all} all bear the parent's identity: name one with --parent")))
        }
        (None, _) => {
            let tried = args.find.iter().map(|folder| folder.display().to_string()).collect();
            Err(Error::ParentMissing { child: args.image.display().to_string(), tried }.into())
        }
    }
}
