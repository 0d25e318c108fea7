//! What a check of a hive has found so far.

use std::collections::BTreeMap;

use super::fault::HiveFault;
use crate::findings::Severity;
use crate::windows::registry::layout::BINS;

/// Findings of one kind that are kept: a hostile hive has one for each of its keys.
const MAX_OF_A_KIND: u64 = 100;

/// One thing that is wrong with a hive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HiveFinding {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong.
    pub fault: HiveFault,
    /// The path of the key below the root, where it is about one; empty for the root.
    pub key: Option<String>,
    /// The structure, in the specification's words.
    pub structure: &'static str,
    /// Where its cell lies in the file, in bytes.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is.
    pub found: String,
}

#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) list: Vec<HiveFinding>,
    counts: BTreeMap<HiveFault, u64>,
}

impl Findings {
    /// Adds one at a cell; `key` is asked when it is kept.
    pub(super) fn add(
        &mut self,
        fault: HiveFault,
        structure: &'static str,
        cell: u32,
        key: impl FnOnce() -> Option<String>,
        [expected, found]: [String; 2],
    ) {
        let count = self.counts.entry(fault).or_default();
        *count += 1;
        if *count <= MAX_OF_A_KIND {
            let (severity, offset, key) = (fault.severity(), BINS + u64::from(cell), key());
            self.list.push(HiveFinding { severity, fault, key, structure, offset, expected, found });
        }
    }

    /// Adds one at a place in the file.
    pub(super) fn of_file(
        &mut self,
        fault: HiveFault,
        structure: &'static str,
        offset: u64,
        text: [String; 2],
    ) {
        self.add(fault, structure, 0, || None, text);
        if let Some(last) = self.list.last_mut() {
            last.offset = offset;
        }
    }

    /// Findings that are not kept.
    pub(super) fn unlisted(&self) -> u64 {
        self.counts.values().map(|count| count.saturating_sub(MAX_OF_A_KIND)).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
