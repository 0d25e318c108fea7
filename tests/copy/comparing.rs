//! Comparing finds the first difference, and reads what may differ.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use diskport::Disk;
use diskport::compare::compare;
use diskport::job::Job;
use proptest::prelude::*;

use crate::source::{Sparse, any_source, content, disk, noise};

const MIB: u64 = 1 << 20;

/// As a user would find it: the offset, and whether one disk ends there.
fn first(a: &Disk, b: &Disk) -> Option<(u64, bool)> {
    let job = Job::new();
    let difference = compare(a, b, &job).expect("reads");
    assert!(difference.is_some() || job.progress().done() == job.progress().total());
    difference.map(|difference| (difference.offset, difference.is_end))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_first_difference_is_found(a in any_source(), b in any_source()) {
        let (a, b) = (disk(&Arc::new(a)), disk(&Arc::new(b)));
        let (x, y) = (content(&a), content(&b));
        let inside = x.iter().zip(&y).position(|(x, y)| x != y).map(|at| (at as u64, false));
        let expected = inside.or((x.len() != y.len()).then_some((x.len().min(y.len()) as u64, true)));
        prop_assert_eq!(first(&a, &b), expected);
        prop_assert_eq!(first(&b, &a), expected);
        prop_assert_eq!(first(&a, &a), None);
    }
}

/// Windows that are cut at many spans, and differences that lie windows apart.
#[test]
fn many_small_runs_are_compared_in_order() {
    let runs = |changed: &[u64]| {
        let bytes = |n| noise(512, if changed.contains(&n) { n + 10_000 } else { n });
        Sparse::new(3000 * MIB, (0..3000).map(|n| (n * MIB + n * 11, bytes(n))).collect())
    };
    let source = Arc::new(runs(&[]));
    let changed = disk(&Arc::new(runs(&[1700, 2600])));
    assert_eq!(first(&disk(&source), &changed), Some((1700 * MIB + 1700 * 11, false)));
    source.bytes.store(0, Ordering::Relaxed);
    assert_eq!(first(&disk(&source), &disk(&source)), None);
    assert_eq!(source.bytes.load(Ordering::Relaxed), 2 * 3000 * 512, "holes are not read");
}
