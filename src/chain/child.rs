//! Making differencing children.

use std::ops::Range;
use std::path::Path;

use super::link::{Way, top_file};
use crate::disk::{Disk, MayDiffer, WritableDisk};
use crate::error::{Error, Result};
use crate::format::{self, ChildOptions, vmdk};
use crate::leaves::Ids;
use crate::leaves::Shown;
use crate::open::Open;
use crate::storage::{Hold, OutputFile, Overwrite, Place, WritableFile, WriteAt};

/// Bytes that are written at once.
const PIECE: u64 = 1 << 20;
/// Sectors that are written together: libvhdi looks at the bitmaps of children a byte at a time.
const GROUP: u64 = 8;

/// A new differencing child: an image that holds only what differs from its parent.
///
/// It records the parent's identity, and the parent's name relative to its own folder and from the root. From then on the
/// parent must not change.
///
/// ```
/// use diskport::Child;
///
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let base = folder.path().join("base.vhdx");
/// # std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx"), &base).expect("copies");
/// let parent = diskport::open(&base)?;
/// let child = Child::of(&parent).create(folder.path().join("child.vhdx"))?.open()?;
/// child.write_at(b"boot", 0)?;
/// child.close()?;
/// let child = diskport::open(folder.path().join("child.vhdx"))?;
/// assert_eq!(child.chain().len(), parent.chain().len() + 1);
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Child {
    parent: Disk,
    parent_name: Option<String>,
    size: u64,
    block_size: Option<u64>,
    changed: Option<Disk>,
    ids: Ids,
    overwrite: Overwrite,
    sync: bool,
}

impl Child {
    /// A child of `parent`, of the same format; of a raw disk, a VHD.
    pub fn of(parent: &Disk) -> Self {
        Self {
            parent: parent.clone(),
            parent_name: None,
            size: parent.size(),
            block_size: None,
            changed: None,
            ids: Ids::random(),
            overwrite: Overwrite::No,
            sync: true,
        }
    }

    /// The one name that the child records of its parent, as a [resolver](crate::storage::Resolver) will be asked for it. By default
    /// it records the parent's path, relative to its own folder and from the root; in a storage it has none of these, and needs a name.
    pub fn parent_name(self, name: impl Into<String>) -> Self {
        Self { parent_name: Some(name.into()), ..self }
    }

    /// The virtual size in bytes, where it is to be larger than the parent's; a VHDX can. What is added reads as zeros.
    pub fn size(self, size: u64) -> Self {
        Self { size, ..self }
    }

    /// Bytes of a block; by default as many as the parent's.
    pub fn block_size(self, block_size: u64) -> Self {
        Self { block_size: Some(block_size), ..self }
    }

    /// What the child reads as from the beginning, by default as its parent. It holds all in which `changed` differs from the
    /// parent by their maps: of the parent with [changes](Disk::patched) over it, the changes alone.
    pub fn content_of(self, changed: &Disk) -> Self {
        Self { size: changed.size(), changed: Some(changed.clone()), ..self }
    }

    /// Where its identities and times come from; by default random ones, and now.
    pub fn ids(self, ids: Ids) -> Self {
        Self { ids, ..self }
    }

    /// Whether an existing file is replaced; it is not by default.
    pub fn overwrite(self, overwrite: impl Into<Overwrite>) -> Self {
        Self { overwrite: overwrite.into(), ..self }
    }

    /// Whether the child is made durable before it gets its name; it is by default.
    pub fn sync(self, sync: bool) -> Self {
        Self { sync, ..self }
    }

    /// Makes the child at `place`: a path, where it appears when it is whole, or an empty storage.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ParentUnreachable`] when nothing would find the parent by the names that the child records,
    /// [`crate::Error::Incomplete`] when a parent of the parent is missing, [`crate::Error::Unsupported`] for a format that knows no
    /// parents, for a parent that is a [slice](Disk::slice) or a [patched](Disk::patched) disk,
    /// [`crate::Error::SizeLimit`] for a size that the format does not allow, [`crate::Error::OutputExists`],
    /// [`crate::Error::OutputIsSource`], [`crate::Error::Locked`] while somebody writes to the parent, [`crate::Error::OutOfRange`] for a
    /// patch beyond the disk, [`crate::Error::Io`]. Nothing is left then.
    pub fn create(&self, place: impl Into<Place<dyn WriteAt>>) -> Result<NewChild> {
        let (place, held) = (place.into(), self.parent.hold()?);
        match &place {
            Place::Path(path) => {
                let child = self.begin(path)?;
                vmdk::replace(path, &[], &self.parent, || child.publish(self.sync))?;
            }
            Place::Storage { .. } => self.write(&place.writable()?, &self.way(&place)?)?,
        }
        Ok(NewChild { place, parent: self.parent.clone(), _held: held })
    }

    /// By which names the child at `place` finds its parent.
    fn way(&self, place: &Place<dyn WriteAt>) -> Result<Way> {
        match (&self.parent_name, place) {
            (Some(name), _) => Ok(Way::named(name)),
            (None, Place::Path(path)) => Way::new(path, &self.parent),
            (None, Place::Storage { name, .. }) => {
                let parent = top_file(&self.parent)?.name().to_owned();
                Err(Error::ParentUnreachable { child: name.clone(), parent })
            }
        }
    }

    /// The child, whole, but not yet under its name.
    pub(crate) fn begin(&self, path: &Path) -> Result<OutputFile> {
        self.parent.check_not_source(path)?;
        let way = self.way(&path.into())?;
        let output = OutputFile::create(path, self.overwrite)?;
        let file = WritableFile::new(output.storage().clone(), path.shown());
        self.write(&file, &way)?;
        Ok(output)
    }

    fn write(&self, file: &WritableFile, way: &Way) -> Result<()> {
        self.parent.check_complete()?;
        let file = &file.clone().with_ids(self.ids.clone());
        let link = way.link(&self.parent)?;
        let format = link.info.format.of_child();
        let options = ChildOptions { size: self.size, block_size: self.block_size };
        format::create_child(format, file, &link, &options)?;
        let Some(changed) = &self.changed else { return Ok(()) };
        let child = Open::new().over(file.clone(), &self.parent)?;
        let group = GROUP * u64::from(link.info.logical_sector_size);
        let mut written = 0;
        for range in MayDiffer::new(&self.parent, changed, self.size) {
            let (range, differs) = range?;
            if !differs {
                continue;
            }
            for extent in changed.extents(range) {
                let extent = extent?;
                let start = (extent.start / group * group).max(written);
                let end = extent.end().next_multiple_of(group).min(changed.size()).max(start);
                // Whole groups of zeros need no bytes; a group that is zeros in part does.
                let zeros = if extent.is_data() {
                    end..end
                } else {
                    let first = extent.start.next_multiple_of(group).clamp(start, end);
                    first..(extent.end() / group * group).clamp(first, end)
                };
                copy(changed, &child, start..zeros.start)?;
                child.write_zeroes(zeros.start, zeros.end - zeros.start)?;
                copy(changed, &child, zeros.end..end)?;
                written = end;
            }
        }
        child.close()
    }
}

/// A child that was made. It costs nothing more until it is opened, which reads its tables. Until it is dropped, or the disk that it
/// was opened as, nobody else writes to its parent.
#[derive(Debug)]
pub struct NewChild {
    place: Place<dyn WriteAt>,
    parent: Disk,
    _held: Vec<Hold>,
}

impl NewChild {
    /// Opens it for writing, over the parent that it was made of.
    ///
    /// # Errors
    ///
    /// As [`Open::open_writable`].
    pub fn open(self) -> Result<WritableDisk> {
        Open::new().over(self.place.writable()?, &self.parent)
    }
}

/// Writes what `changed` holds in `range` to the child.
fn copy(changed: &Disk, child: &WritableDisk, range: Range<u64>) -> Result<()> {
    let mut bytes = vec![0; PIECE.min(range.end - range.start) as usize];
    for at in range.clone().step_by(PIECE as usize) {
        let bytes = &mut bytes[..PIECE.min(range.end - at) as usize];
        changed.read_at(bytes, at)?;
        child.write_at(bytes, at)?;
    }
    Ok(())
}
