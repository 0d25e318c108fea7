//! Giving a child another parent.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::link::{Way, set_parent};
use crate::compare::pairs::{Pair, Pairs, Part};
use crate::disk::{Disk, LayerInfo, Linkage, MappingKind, WritableDisk};
use crate::error::{Error, Result};
use crate::job::{Job, Phase};
use crate::leaves::Format;
use crate::leaves::{Shown, is_zero};
use crate::open::Open;

/// Gives a differencing image another parent.
///
/// It then reads as before: where the old parents and the new ones differ and the image says nothing itself, the old
/// content is copied into it first. A parent that was only moved or renamed, and bears the identity recorded, is recorded anew;
/// nothing else is read. For one of the same content without it: [`unchecked`](Self::unchecked).
///
/// ```no_run
/// use diskport::chain::Rebase;
///
/// Rebase::of("win10.3.avhdx").onto("win10.vhdx").run()?;
/// Rebase::of("win10.3.avhdx").onto("moved/win10.2.avhdx").unchecked(true).run()?;
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rebase {
    child: PathBuf,
    parent: PathBuf,
    open: Open,
    parent_format: Option<Format>,
    unchecked: bool,
    job: Job,
}

impl Rebase {
    /// A rebase of the image at `child`, onto the parent that [`onto`](Self::onto) names.
    pub fn of(child: impl Into<PathBuf>) -> Self {
        Self {
            child: child.into(),
            parent: PathBuf::new(),
            open: Open::new(),
            parent_format: None,
            unchecked: false,
            job: Job::new(),
        }
    }

    /// The new parent.
    pub fn onto(self, parent: impl Into<PathBuf>) -> Self {
        Self { parent: parent.into(), ..self }
    }

    /// How the child is opened, with its old parent.
    pub fn open(self, open: Open) -> Self {
        Self { open, ..self }
    }

    /// The format of the new parent, instead of detecting it.
    pub fn parent_format(self, format: Format) -> Self {
        Self { parent_format: Some(format), ..self }
    }

    /// Whether the new parent is taken for one of the same content as the old one, which need not be there. Names and identities
    /// alone are written then.
    pub fn unchecked(self, unchecked: bool) -> Self {
        Self { unchecked, ..self }
    }

    /// How far it has come, and what stops it: between two pieces. The child still has its old parent then, and reads as before.
    pub fn job(self, job: &Job) -> Self {
        Self { job: job.clone(), ..self }
    }

    /// Changes the parent.
    ///
    /// # Errors
    ///
    /// [`Error::NoParent`]; [`Error::UnfitParent`] for a new parent that lies on the child, and for one of another format, of
    /// other sectors or of a size that does not fit; [`Error::ParentMissing`] and [`Error::ParentMismatch`] of the old
    /// parent; [`Error::Locked`], [`Error::Cancelled`]; and all that reading and writing give rise to.
    pub fn run(&self) -> Result<()> {
        let child = self.open.clone().allow_missing_parent(true).open_unchecked(&self.child)?;
        let info = child.chain()[0].info();
        let parent = self.open_parent(info)?;
        if child.incomplete().is_none() {
            // An extent whose place was given may be the old parent's, or the new one's.
            self.open.check_extents()?;
        }
        self.check_fit(info, &parent)?;
        Way::new(&self.child, &parent)?;
        if !self.unchecked && !is_moved(&child, &parent) {
            self.copy_differences(&parent)?;
        }
        set_parent(&self.open, self.open.lock(&self.child)?, info.format, &parent)
    }

    fn open_parent(&self, child: &LayerInfo) -> Result<Disk> {
        if child.parent.is_none() {
            return Err(Error::NoParent { file: self.child.shown() });
        }
        self.open.for_parent(self.parent_format).open_steady(&self.parent)
    }

    /// Refuses what cannot be the child's parent.
    fn check_fit(&self, child: &LayerInfo, parent: &Disk) -> Result<()> {
        let info = parent.chain()[0].info();
        let unfit = |reason: String| {
            let name = |path: &Path| path.shown();
            Err(Error::UnfitParent { child: name(&self.child), parent: name(&self.parent), reason })
        };
        if parent.chain().iter().any(|layer| layer.files()[0].is_at(&self.child)) {
            return unfit("it is the child itself, or lies on it".to_owned());
        }
        let raw_below = (child.format, info.format) == (Format::Vhd, Format::Raw);
        if child.format != info.format && !raw_below {
            return unfit(format!("it is a {}, and the child a {}", info.format, child.format));
        }
        if child.logical_sector_size != info.logical_sector_size {
            let (found, needed) = (info.logical_sector_size, child.logical_sector_size);
            return unfit(format!("its sectors have {found} bytes, and the child's {needed}"));
        }
        // Of a larger child, only VHDX says how it is read beyond its parent.
        let fits = info.size == child.size || info.size < child.size && child.format == Format::Vhdx;
        if !fits {
            return unfit(format!("it has {} bytes, and the child {}", info.size, child.size));
        }
        Ok(())
    }

    /// Copies into the child what it has of its old parents and would not have of the new one.
    fn copy_differences(&self, parent: &Disk) -> Result<()> {
        let child = self.open.open_writable(&self.child)?;
        if let Some(id) = child.info().data_id {
            // What the child reads as stays the same.
            child.top().set_data_id(id);
        }
        let copied = self.copy_into(&child, parent);
        let closed = child.close();
        copied.and(closed)
    }

    fn copy_into(&self, child: &WritableDisk, parent: &Disk) -> Result<()> {
        let size = child.size();
        self.job.begin(Phase::Rebase, size);
        let Some(old) = child.disk().parent() else { return Ok(()) };
        let (old, new) = (old.patched(size, Vec::new())?, parent.patched(size, Vec::new())?);
        let mut at = 0;
        while at < size {
            let run = child.top().map(at, size - at)?;
            let end = at + run.len;
            if run.kind == MappingKind::Absent {
                let mut pairs = Pairs::new(&old, &new, at..end);
                while let Some(pair) = pairs.next()? {
                    self.job.check()?;
                    copy_pair(child, &pair)?;
                    self.job.set_done(pair.offset + pair.len);
                }
                // Readers want to find in the child what its parent is too small for.
                let beyond = at.max(parent.size());
                if beyond < end {
                    fill(child, beyond..end)?;
                }
            }
            at = end;
            self.job.set_done(at);
        }
        Ok(())
    }
}

/// Whether `parent` is the old parent itself, which is no longer where the child looks for it.
fn is_moved(child: &Disk, parent: &Disk) -> bool {
    let recorded = child.chain()[0].info().parent.as_ref().map(|parent| &parent.linkage);
    child.incomplete().is_some()
        && recorded.is_some_and(|id| *id != Linkage::None && id.matches(parent.chain()[0].info()))
}

/// Writes what the old parents hold, the left side, where the new ones hold something else.
fn copy_pair(child: &WritableDisk, pair: &Pair<'_>) -> Result<()> {
    let old = match (&pair.left, &pair.right) {
        (Part::Zeros, Part::Zeros) => return Ok(()),
        (Part::Zeros, Part::Bytes(new)) if is_zero(new) => return Ok(()),
        (Part::Zeros, Part::Bytes(_)) => return child.write_zeroes(pair.offset, pair.len),
        (Part::Bytes(old), _) => old,
    };
    let sector = child.info().logical_sector_size as usize;
    let differs = |at: usize, old: &[u8]| match &pair.right {
        Part::Zeros => !is_zero(old),
        Part::Bytes(new) => old != &new[at..at + old.len()],
    };
    // Sectors that differ are written together where they lie together.
    let mut run = 0..0;
    for (index, bytes) in old.chunks(sector).enumerate() {
        let at = index * sector;
        if !differs(at, bytes) {
            continue;
        }
        if run.end != at {
            child.write_at(&old[run.clone()], pair.offset + run.start as u64)?;
            run.start = at;
        }
        run.end = at + bytes.len();
    }
    child.write_at(&old[run.clone()], pair.offset + run.start as u64)
}

/// Has `child` itself say of `range` that it is zeros where it says nothing.
fn fill(child: &WritableDisk, range: Range<u64>) -> Result<()> {
    let mut at = range.start;
    while at < range.end {
        let run = child.top().map(at, range.end - at)?;
        if run.kind == MappingKind::Absent {
            child.write_zeroes(at, run.len)?;
        }
        at += run.len;
    }
    Ok(())
}
