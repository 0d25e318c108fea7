//! Looking for what is wrong with a volume: what `chkdsk` looks for, and what it does not.
//!
//! All of `$MFT` is read once; each record is looked at by itself, its clusters are taken into account, and what later parts
//! compare is kept: 40 bytes a file, 16 bytes a name, a compressed bitmap of clusters. Then come attribute lists, directories,
//! names, the indexes of the whole volume, the bitmaps. A volume of 1 TiB with a million files takes about 70 MB, and 30 MB more where
//! its free space is in crumbs.
//!
//! It is read by code of its own where that matters: what [`Volume`] and its writer take for granted is looked at here.

mod attributes;
mod context;
mod copies;
mod directory;
mod extent;
mod fault;
mod finding;
mod index;
mod lists;
mod names;
mod scan;
mod secure;
mod space;
mod table;
mod views;

use context::Context;
pub use fault::NtfsFault;
pub use finding::NtfsFinding;
use finding::{Findings, Place};
use scan::Scan;

use super::Volume;
use super::edit;
use crate::error::{Error, Result};
use crate::findings::Severity;
use crate::job::{Job, Phase};

/// What a check of a volume found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NtfsChecked {
    /// What was found, in the order in which it was met.
    pub findings: Vec<NtfsFinding>,
    /// Findings that are not listed, since there are many of their kind.
    pub unlisted: u64,
}

impl NtfsChecked {
    /// The one finding about a volume that cannot be opened; other errors are returned.
    pub(crate) fn unopened(error: Error) -> Result<Self> {
        let (structure, offset, expected, found) = match error {
            Error::Damaged { structure, offset, expected, found } => (structure, offset, expected, found),
            Error::OutOfRange { offset, len, size } => {
                let expected = format!("a volume within the disk's {size} bytes");
                ("partition", offset, expected, format!("one of {len} bytes at {offset}"))
            }
            other => return Err(other),
        };
        let mut findings = Findings::default();
        let place = Place { record: None, attribute: None, structure, offset };
        findings.add(NtfsFault::Unreadable, place, expected, found);
        Ok(Self { findings: findings.list, unlisted: 0 })
    }

    /// Whether there is nothing but notes: a volume that was not left clean need not be damaged.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// How a volume is checked.
///
/// ```
/// use diskport::windows::ntfs::{Check, Volume};
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs-cast.vmdk");
/// let disk = diskport::open(image)?;
/// let volume = Volume::open(&disk, 0..disk.size())?;
/// let checked = Check::new(&volume).run()?;
/// for finding in &checked.findings {
///     println!("{}: {}: expected {}, found {}", finding.severity, finding.fault, finding.expected, finding.found);
/// }
/// assert!(checked.is_clean());
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Check<'v> {
    volume: &'v Volume,
    job: Job,
    every_link: bool,
}

impl<'v> Check<'v> {
    /// A check of `volume` as Windows leaves one.
    pub fn new(volume: &'v Volume) -> Self {
        Self { volume, job: Job::new(), every_link: false }
    }

    /// Whether what directories say of a file with several names must agree in each of their entries. Windows lets those lag
    /// through which a file was not opened; a writer that keeps all of them is held to it.
    pub fn every_link(self, every_link: bool) -> Self {
        Self { every_link, ..self }
    }

    /// Tells of its progress, and can be cancelled.
    pub fn job(self, job: &Job) -> Self {
        Self { job: job.clone(), ..self }
    }

    /// Looks for everything that is wrong with the volume, changing nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the volume is found, not failed with. [`Error::Unsupported`] for a volume of more clusters than
    /// Windows' have; [`Error::Cancelled`], and what reading the disk gives rise to.
    pub fn run(&self) -> Result<NtfsChecked> {
        let volume = self.volume;
        if volume.boot.clusters > MAX_CLUSTERS {
            let what = format!("a volume of more than {MAX_CLUSTERS} clusters cannot be checked");
            return Err(Error::Unsupported { what });
        }
        // The records once, and the directories by their records.
        self.job.begin(Phase::Check, 2 * volume.mft.size);
        let (findings, every_link) = (Findings::default(), self.every_link);
        let mut cx = Context { volume, job: &self.job, findings, every_link };
        copies::check_state(&mut cx)?;
        copies::check(&mut cx)?;
        let mut scan = Scan::read(&mut cx)?;
        copies::check_mft_bitmap(&mut cx, &scan)?;
        lists::check(&mut cx, &mut scan)?;
        scan.check_links(&mut cx);
        directory::check(&mut cx, &mut scan)?;
        secure::check(&mut cx, &scan)?;
        views::check(&mut cx, &scan)?;
        std::mem::take(&mut scan.space).check(&mut cx)?;
        self.job.set_done(2 * volume.mft.size);
        let mut findings = cx.findings;
        for finding in &mut findings.list {
            finding.path = finding.record.map(|record| edit::name(volume, record));
        }
        Ok(NtfsChecked { unlisted: findings.unlisted(), findings: findings.list })
    }
}

/// Windows has 32 bits for the number of a cluster; the last byte of `$Bitmap` is left out.
const MAX_CLUSTERS: u64 = (1 << 32) - 64;

/// Looks for everything that is wrong with a volume, as [`Check`] does by default.
///
/// # Errors
///
/// As [`Check::run`].
pub fn check(volume: &Volume, job: &Job) -> Result<NtfsChecked> {
    Check::new(volume).job(job).run()
}
