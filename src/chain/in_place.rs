//! Changes of an image in place that are made whole, or not at all.
//!
//! All that is to change is first written into a differencing child of the image, under a hidden name beside it. When it gets
//! that name it is durable and whole, and from then on whoever opens the image reads it through the child: as changed. Then the child is merged into the
//! image, and removed. So a cut before the child has its name leaves the image as it was. After a cut behind that, it is as changed, and
//! whatever is done next to it in place, or a merge, ends the change.
//!
//! Programs that know nothing of this may meet half of the change in the image until it has ended.

use std::path::Path;

use super::child::Child;
use super::family::check_no_children;
use super::link::top_file;
use super::merge::{Merge, Merged};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::open::{Open, pending};

/// Makes the image that is the top of `source`, opened as `open` says, hold what `changed` does: `source` with
/// [changes](Disk::patched) over it, of the same size. `check` is called when all has been read and nothing is changed yet, and may still refuse.
///
/// # Errors
///
/// [`Error::NotWritable`], [`Error::Locked`]; [`Error::HasChildren`] when other images name this one as their parent;
/// [`Error::SourceChanged`] when it was written to since it was opened; what `check` returns; and as [`Merge::commit`].
pub fn change_in_place(
    source: &Disk,
    changed: &Disk,
    open: &Open,
    job: &Job,
    check: impl FnOnce() -> Result<()>,
) -> Result<Merged> {
    let file = top_file(source)?;
    let refuse =
        |reason: &str| Error::NotWritable { file: file.name().to_owned(), reason: reason.to_owned() };
    let path = file.path().ok_or_else(|| refuse("it lies in no folder"))?;
    if file.is_device() {
        return Err(refuse("beside a block device there is no place for what is to change"));
    }
    if source.size() != changed.size() {
        return Err(refuse("its size would change"));
    }
    // A change without an end cannot be met by its parent's name.
    open.for_change(path)?;
    check_no_children(source, open)?;
    let change = pending::place(path);
    let output = Child::of(source).content_of(changed).begin(&change)?;
    source.check_unchanged()?;
    check()?;
    // What cannot be written to, or is in use, is known before anything is changed.
    drop(open.open_writable(path)?);
    output.publish(true)?;
    merge(path, &change, open, job)
}

/// Ends a [change in place](change_in_place) of the image at `path` that was cut off, if there is one.
///
/// # Errors
///
/// As [`Merge::commit`].
pub fn end_change(path: impl AsRef<Path>, open: &Open, job: &Job) -> Result<Option<Merged>> {
    let path = path.as_ref();
    pending::find(path).map(|change| merge(path, &change, open, job)).transpose()
}

fn merge(path: &Path, change: &Path, open: &Open, job: &Job) -> Result<Merged> {
    Merge::of(change).open(open.for_change(path)?).delete(true).job(job).commit()
}
