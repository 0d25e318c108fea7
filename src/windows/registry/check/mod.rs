//! Looking for what is wrong with a hive: what Windows repairs or drops when it loads one, and what no tool looks at.
//!
//! All cells are read once in the order of the file, then the tree of keys from its root. Each cell in use must be reached
//! just once, a security cell by the ring that they form, and as often by keys as it counts. What is kept is a bit for each
//! cell, and the names of the subkeys of the keys above the one that is looked at.

mod fault;
mod finding;
mod keys;
mod reach;
mod ring;

use std::sync::Arc;

pub use fault::HiveFault;
use finding::Findings;
pub use finding::HiveFinding;
use reach::Reach;
use zerocopy::FromBytes;

use super::bins::show;
use super::hive::{Hive, HiveState};
use super::layout::{BIN_UNIT, BINS, BaseBlock, TRANSACTIONS};
use crate::error::{Error, Result};
use crate::findings::Severity;
use crate::storage::ReadAt;

const BASE_BLOCK: &str = "registry base block";

/// What a check of a hive found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HiveChecked {
    /// What was found, in the order in which it was met.
    pub findings: Vec<HiveFinding>,
    /// Findings that are not listed, since there are many of their kind.
    pub unlisted: u64,
}

impl HiveChecked {
    /// Whether there is nothing but notes.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

impl Hive {
    /// Looks for everything that is wrong with the hive, with what was changed in memory.
    ///
    /// ```
    /// use diskport::storage::MemoryStorage;
    /// use diskport::windows::registry::{Hive, Tree};
    ///
    /// let hive = Hive::open(MemoryStorage::new(Tree::new("ROOT").to_hive("SYSTEM")?))?;
    /// let checked = hive.check()?;
    /// for finding in &checked.findings {
    ///     println!("{}: {}: expected {}, found {}", finding.severity, finding.fault, finding.expected, finding.found);
    /// }
    /// assert!(checked.is_clean());
    /// # Ok::<(), diskport::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What is wrong with the hive is found, not failed with; [`Error::Io`] when it cannot be read.
    pub fn check(&self) -> Result<HiveChecked> {
        let mut findings = Findings::default();
        match self.state() {
            HiveState::Clean => {}
            HiveState::Replayed => {
                let text = ["a hive that was closed".to_owned(), "one with logs".to_owned()];
                findings.of_file(HiveFault::Replayed, BASE_BLOCK, 0, text);
            }
            HiveState::Dirty { reason } => {
                let text = ["a hive that was closed, or logs of it".to_owned(), reason.clone()];
                findings.of_file(HiveFault::NotClosed, BASE_BLOCK, 0, text);
            }
        }
        let base = super::hive::base_block(&self.sectors)?;
        if base.flags.get() & TRANSACTIONS != 0 {
            let text = ["no transactions".to_owned(), "they are expected".to_owned()];
            findings.of_file(HiveFault::Transactions, BASE_BLOCK, 144, text);
        }
        let mut reach = Reach::new(self, findings);
        if reach.cells()? {
            keys::check(&mut reach)?;
            ring::check(&mut reach)?;
            reach.leaks();
        }
        let findings = reach.findings;
        Ok(HiveChecked { unlisted: findings.unlisted(), findings: findings.list })
    }
}

/// Looks for everything that is wrong with the hive in a file, whose logs are replayed in memory if it was not closed.
///
/// # Errors
///
/// As [`Hive::check`].
pub fn check(file: Arc<dyn ReadAt>, logs: &[Arc<dyn ReadAt>]) -> Result<HiveChecked> {
    match Hive::open_with_logs(file.clone(), logs) {
        Ok(hive) => hive.check(),
        Err(Error::Damaged { structure, offset, expected, found }) => {
            let mut findings = Findings::default();
            base_block(&mut findings, file.as_ref())?;
            if findings.is_empty() {
                findings.of_file(HiveFault::BaseBlock, structure, offset, [expected, found]);
            }
            Ok(HiveChecked { unlisted: 0, findings: findings.list })
        }
        Err(error) => Err(error),
    }
}

/// What of its base block keeps a hive from being read.
fn base_block(findings: &mut Findings, file: &dyn ReadAt) -> Result<()> {
    let failed = |e| Error::io("read", "registry hive", e);
    let len = file.size().map_err(failed)?;
    let mut bytes = [0; size_of::<BaseBlock>()];
    if len < bytes.len() as u64 {
        return Ok(());
    }
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    let Ok(base) = BaseBlock::read_from_bytes(&bytes) else { return Ok(()) };
    if base.signature != BaseBlock::SIGNATURE {
        let text = [show(&BaseBlock::SIGNATURE), show(&base.signature)];
        findings.of_file(HiveFault::BaseBlock, BASE_BLOCK, 0, text);
        return Ok(());
    }
    if !base.is_sound() {
        let text = [format!("{:#x}", base.sum()), format!("{:#x}", base.checksum)];
        findings.of_file(HiveFault::Checksum, BASE_BLOCK, 508, text);
    }
    let file_type = (base.file_type.get(), base.file_format.get());
    if file_type != (0, 1) {
        let text = ["type 0 and format 1".to_owned(), format!("{} and {}", file_type.0, file_type.1)];
        findings.of_file(HiveFault::FileType, BASE_BLOCK, 28, text);
    }
    let size = base.bins_size.get();
    if size == 0 || !size.is_multiple_of(BIN_UNIT) || BINS + u64::from(size) > len {
        let text = [format!("a multiple of {BIN_UNIT} up to {}", len.saturating_sub(BINS)), size.to_string()];
        findings.of_file(HiveFault::BinsSize, BASE_BLOCK, 40, text);
    }
    Ok(())
}
