//! Another virtual size, in place: what the partition table has at the disk's end moves with it.
//!
//! After every write one valid copy of a GPT stands where it is looked for, and the disk has its old size or its new one.

use crate::disk::{Disk, WritableDisk};
use crate::error::{Error, Result};
use crate::job::Phase;
use crate::partition::{Gpt, GptCopy, GptMove, move_gpt, occupied};

/// What [`WritableDisk::resize`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resized {
    /// The virtual size in bytes before.
    pub before: u64,
    /// The virtual size in bytes now.
    pub after: u64,
    /// Whether the backup of a GPT was moved to the new end.
    pub gpt_moved: bool,
}

impl WritableDisk {
    /// Changes the virtual size and closes the image. What is added reads as zeros. The backup of a GPT moves to the new
    /// end; the partitions stay as they are. With `allow_loss` partitions, file systems and what is not zeros may be cut.
    /// When the job that the image was opened with is cancelled, it keeps its old size.
    ///
    /// ```
    /// use diskport::copy::{Convert, OutputFormat};
    /// use diskport::partition::minimum_size;
    /// use diskport::{Disk, MIB, Open};
    ///
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let path = folder.path().join("new.raw");
    /// Convert::new(&Disk::empty(64 * MIB, 512)).to(OutputFormat::Raw).create(&path)?;
    /// let resized = Open::new().open_writable(&path)?.resize(80 * MIB, false)?;
    /// assert_eq!((resized.before, resized.after), (64 * MIB, 80 * MIB));
    /// // Nothing on this disk says how small it may be.
    /// assert!(minimum_size(&diskport::open(&path)?).is_err());
    /// # Ok::<(), diskport::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ShrinkCuts`] and [`Error::ShrinkLosesData`]; [`Error::SizeLimit`], [`Error::Layout`] and [`Error::NotWritable`]
    /// where the image cannot have this size; [`Error::Unsupported`] for a size of no whole sectors;
    /// [`Error::Damaged`] for a partition table that does not say what would be cut; [`Error::Cancelled`]; and as [`flush`](Self::flush).
    /// What is refused is refused before anything is written.
    pub fn resize(self, size: u64, allow_loss: bool) -> Result<Resized> {
        let before = self.size();
        self.check_size(size)?;
        let (job, end) = (self.job().clone(), size.max(before));
        job.begin_at(Phase::Resize, end, size.min(before));
        let gpt_moved = match size.cmp(&before) {
            std::cmp::Ordering::Equal => self.close().map(|()| false),
            std::cmp::Ordering::Less => shrink(self, size, allow_loss),
            std::cmp::Ordering::Greater => grow(self, size),
        }?;
        job.set_done(end);
        Ok(Resized { before, after: size, gpt_moved })
    }
}

/// The table moves first: a cut then leaves it whole on the disk of the old size.
fn shrink(disk: WritableDisk, size: u64, allow_loss: bool) -> Result<bool> {
    let moved = match allow_loss {
        false => {
            check_ends(&disk, size)?;
            let moved = move_gpt(disk.disk(), size)?;
            disk.check_cut(size, moved.as_ref().map_or(&[], |moved| &moved.left_behind))?;
            moved
        }
        true => fitting(disk.disk(), size)?,
    };
    disk.job().check()?;
    if let Some(moved) = &moved {
        carry_out(&disk, moved)?;
    }
    disk.set_size(size)?;
    Ok(moved.is_some())
}

/// The disk grows first: a cut then leaves the backup where the primary table says that it is.
fn grow(disk: WritableDisk, size: u64) -> Result<bool> {
    let Some(mut moved) = fitting(disk.disk(), size)? else { return disk.set_size(size).map(|()| false) };
    // A backup alone is found at the disk's end and nowhere else: there it must be while the end moves.
    if Gpt::read(disk.disk())?.is_some_and(|gpt| gpt.source() == GptCopy::Backup) {
        if let Some(restored) = fitting(disk.disk(), disk.size())? {
            carry_out(&disk, &restored)?;
        }
        moved = fitting(disk.disk(), size)?.unwrap_or(moved);
    }
    let disk = disk.with_size(size)?;
    carry_out(&disk, &moved)?;
    disk.close()?;
    Ok(true)
}

/// How a GPT moves; `None` where there is none, or none that could.
fn fitting(disk: &Disk, size: u64) -> Result<Option<GptMove>> {
    match move_gpt(disk, size) {
        Err(Error::Layout { .. } | Error::Unsupported { .. }) => Ok(None),
        moved => moved,
    }
}

fn check_ends(disk: &WritableDisk, size: u64) -> Result<()> {
    let cut = occupied(disk.disk())?.into_iter().filter(|it| it.needs() > size);
    let what: Vec<_> = cut.map(|it| it.to_string()).collect();
    if what.is_empty() { Ok(()) } else { Err(Error::ShrinkCuts { file: disk.name(), size, what }) }
}

fn carry_out(disk: &WritableDisk, moved: &GptMove) -> Result<()> {
    for step in &moved.steps {
        for patch in step.iter().filter(|patch| !patch.bytes.is_empty()) {
            disk.write_at(&patch.bytes, patch.offset)?;
        }
        disk.flush()?;
    }
    Ok(())
}
