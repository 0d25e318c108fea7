//! Random sequences of operations against a plain model.

use std::ops::Range;

use diskport::Format;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::oracle::{Depth, how};
use crate::parallel::parallel;
use crate::target::{Prepared, Target};
use crate::workload::{Op, Work};

/// Operations of a sequence at most.
const LONGEST: usize = 16;
/// Parts in which the sequences of a target are run.
const PARTS: u8 = 2;

/// Runs `cases` sequences on each target of `format`, drawn by `seed`; how many operations there were.
pub fn run(format: Format, cases: u32, seed: u64) -> Result<usize, String> {
    let targets = Target::all(format).into_iter().filter(|target| !target.is_large());
    let prepared: Vec<_> = targets.map(|target| target.prepare()).collect::<Result<_, _>>()?;
    let parts: Vec<_> =
        prepared.iter().flat_map(|target| (0..PARTS).map(move |part| (target, part))).collect();
    let done = std::sync::atomic::AtomicUsize::new(0);
    parallel(&parts, |&(prepared, part)| {
        let config =
            Config { cases: cases / u32::from(PARTS), failure_persistence: None, ..Config::default() };
        let mut bytes = [part; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let sequence = proptest::collection::vec(op(&prepared.target), 1..=LONGEST);
        let result = TestRunner::new_with_rng(config, random).run(&sequence, |ops| {
            done.fetch_add(ops.len(), std::sync::atomic::Ordering::Relaxed);
            perform(prepared, &ops).map_err(TestCaseError::fail)
        });
        result.map_err(|failure| match failure {
            TestError::Fail(reason, ops) => format!("{}: {ops:?}: {reason}", prepared.target.name()),
            TestError::Abort(reason) => format!("{}: {reason}", prepared.target.name()),
        })
    })?;
    Ok(done.into_inner())
}

/// Each operation sees to it that the disk reads as the model; in the end so does the image, opened anew.
fn perform(prepared: &Prepared, ops: &[Op]) -> Result<(), String> {
    let mut work = Work::new(&prepared.image, &prepared.content, diskport::storage::Faults::none());
    work.open_top()?;
    for op in ops.iter().chain([&Op::Reopen]) {
        work.perform(op)?;
    }
    how(false)(work.image(), work.expected(), Depth::Write).map(drop)
}

fn op(target: &Target) -> BoxedStrategy<Op> {
    let block = target.block;
    let sizes = (1..=2 * block / 4096).prop_map(|pages| pages * 4096);
    let changes = prop_oneof![
        6 => range(block).prop_map(Op::Write),
        2 => range(block).prop_map(Op::Zero),
        2 => range(block).prop_map(Op::Discard),
        2 => Just(Op::Flush),
        1 => Just(Op::Reopen),
        1 => Just(Op::Compact),
        1 => sizes.clone().prop_map(Op::Grow),
        1 => sizes.prop_map(Op::Shrink),
    ];
    let chains = prop_oneof![4 => Just(Op::Child), 3 => Just(Op::Merge), 1 => Just(Op::Rebase)];
    if target.ops().contains(&Op::Child) {
        prop_oneof![8 => changes, 1 => chains].boxed()
    } else {
        changes.boxed()
    }
}

/// Few bytes or blocks, on a sector or beside it.
fn range(block: u64) -> impl Strategy<Value = Range<u64>> {
    let start = prop_oneof![0..4 * block, (0..4 * block / 512).prop_map(|sector| sector * 512)];
    let len = prop_oneof![0..2048_u64, (1..32_u64).prop_map(|sectors| sectors * 512), 1..2 * block];
    (start, len).prop_map(|(start, len)| start..start + len)
}
