//! All workloads on all targets of a format, cut everywhere.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use diskport::Format;
use diskport::storage::Faults;

use crate::bytes::Bytes;
use crate::common::campaign::Campaign;
use crate::oracle::{Depth, Examined, how};
use crate::parallel::parallel;
use crate::states::{Cuts, Random};
use crate::target::{Prepared, Target};
use crate::workload::{Op, Work};

/// Operations of a workload at most.
const LONGEST: usize = 3;
/// Of so many states, one is also written to.
const WRITTEN: u64 = 16;

/// How much of everything is tried.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Different states after which only the workloads of one and two operations are still finished.
    pub states: usize,
    /// Operations of a workload at most.
    pub longest: usize,
    /// Also those that take long to read.
    pub large: bool,
    /// States at one cut: a seeded choice where there are more.
    pub per_cut: usize,
    /// Which of the workloads.
    pub campaign: Campaign,
}

impl Effort {
    /// What is tried of the campaign: of a tenth, a choice of the states at each cut, until there are enough.
    pub fn of(campaign: Campaign) -> Self {
        let (states, per_cut) = match campaign {
            Campaign::Tenth(_) => (campaign.part(110_000), 40),
            Campaign::Full | Campaign::Only(_) => (usize::MAX, usize::MAX),
        };
        Self { states, longest: LONGEST, large: true, per_cut, campaign }
    }
}

/// What a survey did.
#[derive(Default)]
pub struct Survey {
    states: Mutex<HashSet<u64>>,
    pub workloads: AtomicUsize,
    pub cuts: AtomicUsize,
    pub refusals: AtomicUsize,
    pub examined: AtomicU64,
    pub repaired: AtomicU64,
}

/// An operation or two on a target.
struct Workload<'a> {
    prepared: &'a Prepared,
    ops: Vec<Op>,
}

impl Survey {
    /// Surveys `format`; `each` also looks at every image that passed, with what its disk holds.
    pub fn run(
        format: Format,
        effort: &Effort,
        each: &(impl Fn(&Target, Examined, u64) -> Result<(), String> + Sync),
    ) -> Result<Self, String> {
        let prepared: Vec<_> = Target::all(format)
            .iter()
            .filter(|target| effort.large || !target.is_large())
            .map(Target::prepare)
            .collect::<Result<_, _>>()?;
        let workloads = effort.campaign.draw(workloads(&prepared, effort.longest), Workload::name);
        let survey = Self::default();
        parallel(&workloads, |workload| {
            let enough = workload.ops.len() == LONGEST && survey.distinct() >= effort.states;
            if enough {
                return Ok(());
            }
            survey.work(workload, effort, each).map_err(|failure| format!("{}: {failure}", workload.name()))
        })?;
        Ok(survey)
    }

    /// How many different states there were.
    pub fn distinct(&self) -> usize {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Does the workload, and examines the states in which a cut in its last operation may leave the files; those
    /// of the operations before are examined with the shorter workloads.
    fn work(
        &self,
        workload: &Workload<'_>,
        effort: &Effort,
        each: &impl Fn(&Target, Examined, u64) -> Result<(), String>,
    ) -> Result<(), String> {
        let Prepared { target, image, content } = workload.prepared;
        let mut work = Work::new(image, content, Faults::none());
        let mut begin = 0;
        work.open_top()?;
        for (index, op) in workload.ops.iter().enumerate() {
            begin = if index == 0 { 0 } else { work.recorder().len() };
            work.perform(op)?;
        }
        let mut random = Random(hash(&workload.name()));
        let (files, log) = work.recorder().history();
        let mut cuts = Cuts::new(files, target.fills());
        let mut done = 0;
        let mut seen = HashSet::new();
        for at in work.cuts(begin) {
            log[done..at].iter().for_each(|event| cuts.push(event));
            done = at;
            let segment = work.segment(at);
            for choice in random.some(cuts.choices(&mut random_of(at)), effort.per_cut) {
                let states = cuts.state(&choice);
                let digest = hash(&states.iter().map(Bytes::digest).collect::<Vec<_>>());
                if !seen.insert((digest, segment.from)) {
                    continue;
                }
                self.states.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
                let image = work.image_of(states, segment);
                let depth = if digest.is_multiple_of(WRITTEN) { Depth::Write } else { Depth::Read };
                let story = |failure| {
                    let story = cuts.describe(&choice);
                    format!("{failure}\n  cut before event {at} of {}, {story}", log.len())
                };
                let examined = how(segment.merging)(image, &segment.expected, depth).map_err(story)?;
                self.examined.fetch_add(1, Ordering::Relaxed);
                self.repaired.fetch_add(examined.repaired.into(), Ordering::Relaxed);
                each(target, examined, digest).map_err(story)?;
            }
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
        self.workloads.fetch_add(1, Ordering::Relaxed);
        self.refusals.fetch_add(work.refusals(), Ordering::Relaxed);
        Ok(())
    }
}

impl Workload<'_> {
    /// The name by which it can be run alone.
    fn name(&self) -> String {
        format!("{}: {:?}", self.prepared.target.name(), self.ops)
    }
}

/// All workloads: those of one and two operations, then a shuffle of those of three.
fn workloads(prepared: &[Prepared], longest: usize) -> Vec<Workload<'_>> {
    let mut all = Vec::new();
    for prepared in prepared {
        let ops = prepared.target.ops();
        let mut sequences: Vec<Vec<Op>> = vec![Vec::new()];
        for _ in 0..longest {
            let longer = |ops_so_far: &Vec<Op>| {
                ops.iter().map(|op| ops_so_far.iter().chain([op]).cloned().collect()).collect::<Vec<_>>()
            };
            sequences = sequences.iter().flat_map(longer).collect();
            let sensible = |ops: &&Vec<Op>| {
                let parent = ops.iter().position(|op| *op == Op::Child).unwrap_or(LONGEST);
                prepared.target.is_child() || ops[..parent.min(ops.len())].iter().all(|op| !op.needs_parent())
            };
            let sensible = sequences.iter().filter(sensible);
            all.extend(sensible.map(|ops| Workload { prepared, ops: ops.clone() }));
        }
    }
    all.sort_by_cached_key(|workload| match workload.ops.len() {
        LONGEST => (LONGEST, hash(&workload.name())),
        shorter => (shorter, 0),
    });
    all
}

fn random_of(at: usize) -> Random {
    Random(at as u64)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
