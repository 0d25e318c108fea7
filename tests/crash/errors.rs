//! Every storage call fails in turn.
//!
//! The N-th call of a session (open, one operation, flush, close, open again) goes wrong, for N from 1 until the
//! session passes untouched. What is left must be what a cut may leave: as it lies when the error comes, after the disk was
//! dropped, and after a cut at that moment. What failed once must succeed when it is done again.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::storage::{Fault, Faults};
use diskport::{Error, Format};

use crate::common::campaign::Campaign;
use crate::failure::Failure;
use crate::oracle::{Depth, how};
use crate::parallel::parallel;
use crate::states::{Cuts, Random};
use crate::target::{Prepared, Target};
use crate::workload::{Op, Work};

/// What goes wrong, and whether it goes on doing so.
const FAULTS: [(Fault, bool); 6] = [
    (Fault::Error(ErrorKind::Other), false),
    (Fault::Error(ErrorKind::Other), true),
    (Fault::Error(ErrorKind::StorageFull), false),
    (Fault::Full, true),
    (Fault::Short, false),
    (Fault::Error(ErrorKind::Interrupted), false),
];

/// States in which a cut after an error may leave the files that are examined: a seeded choice where there are more.
const CUTS: usize = 6;

/// What the faults of a format led to.
#[derive(Default)]
pub struct Errors {
    /// Sessions with a fault.
    pub faults: AtomicU64,
    /// Those that ended with an error.
    pub errors: AtomicU64,
}

/// Lets every call fail in turn, of those operations on images of `format` and in those ways that are drawn.
pub fn run(format: Format, campaign: &Campaign) -> Result<Errors, String> {
    let mut cases = Vec::new();
    for target in Target::all(format).into_iter().filter(|target| !target.is_fresh()) {
        let prepared = Arc::new(target.prepare()?);
        for op in target.ops() {
            for (fault, lasting) in FAULTS {
                cases.push(Case { prepared: prepared.clone(), op: op.clone(), fault, lasting });
            }
        }
    }
    let cases = campaign.draw(cases, Case::name);
    let errors = Errors::default();
    parallel(&cases, |case| case.run(&errors).map_err(|failure| format!("{}: {failure}", case.name())))?;
    Ok(errors)
}

/// An operation on a target, and what goes wrong meanwhile.
struct Case {
    prepared: Arc<Prepared>,
    op: Op,
    fault: Fault,
    lasting: bool,
}

impl Case {
    fn name(&self) -> String {
        let lasting = if self.lasting { ", lasting" } else { "" };
        format!("{}: {:?} with {:?}{lasting}", self.prepared.target.name(), self.op, self.fault)
    }

    fn run(&self, errors: &Errors) -> Result<(), String> {
        for at in 1.. {
            let faults = match self.lasting {
                true => Faults::lasting(at, self.fault),
                false => Faults::once(at, self.fault),
            };
            let (calls, failed) = self.session(faults).map_err(|failure| format!("call {at}: {failure}"))?;
            if calls < at {
                // The last session was left in peace.
                return if failed { Err("fails without a fault".to_owned()) } else { Ok(()) };
            }
            errors.faults.fetch_add(1, Ordering::Relaxed);
            errors.errors.fetch_add(failed.into(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// One session; how many storage calls it made, and whether there was an error.
    fn session(&self, faults: Arc<Faults>) -> Result<(u64, bool), String> {
        let Prepared { target, image, content } = &*self.prepared;
        let mut work = Work::new(image, content, faults.clone());
        let session = [self.op.clone(), Op::Flush, Op::Reopen];
        let perform = |work: &mut Work| match work.open_top() {
            Err(failure) => Some((None, failure)),
            Ok(()) => session.iter().find_map(|op| work.perform(op).err().map(|failure| (Some(op), failure))),
        };
        let failed = perform(&mut work);
        let calls = faults.calls();
        let Some((op, failure)) = failed else {
            self.examine(&work)?;
            return Ok((calls, false));
        };
        let said = matches!(failure, Failure::Said(_));
        let error = failure.storage_error()?;
        let after = |failure: String| format!("{failure}\n  after {op:?}: {error}");
        self.examine(&work).map_err(after)?;
        match op {
            Some(Op::Flush) if said => work.check_poisoned().map_err(after)?,
            Some(Op::Write(_) | Op::Zero(_) | Op::Discard(_)) if said && is_sync(&error) => {
                work.check_flush_refused().map_err(after)?;
            }
            // What failed is done again, by the same disk.
            Some(Op::Write(_) | Op::Zero(_) | Op::Discard(_)) if !self.lasting => {
                let again = session.iter().try_for_each(|op| work.perform(op));
                again.map_err(|failure| after(format!("again: {failure}")))?;
            }
            _ => {}
        }
        work.drop_disk();
        self.examine(&work).map_err(|failure| after(format!("{failure}, after the disk was dropped")))?;
        let (files, log) = work.recorder().history();
        let mut cuts = Cuts::new(files, target.fills());
        log.iter().for_each(|event| cuts.push(event));
        let mut random = Random(calls);
        for choice in random.some(cuts.choices(&mut Random(0)), CUTS) {
            let image = work.image_of(cuts.state(&choice), work.last());
            let cut = |failure| after(format!("{failure}\n  and a cut, {}", cuts.describe(&choice)));
            how(work.last().merging)(image, work.expected(), Depth::Read).map_err(cut)?;
        }
        Ok((calls, true))
    }

    /// Examines the files as they are.
    fn examine(&self, work: &Work) -> Result<(), String> {
        how(work.last().merging)(work.image(), work.expected(), Depth::Write).map(drop)
    }
}

fn is_sync(error: &Error) -> bool {
    matches!(error, Error::Io { operation: "sync", .. })
}
