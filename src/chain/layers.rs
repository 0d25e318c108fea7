//! The layers of a merge.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, Layer};
use crate::error::{Error, Result};
use crate::leaves::LockHolder;
use crate::leaves::Shown;
use crate::open::Open;
use crate::storage::WritableFile;

/// A chain in two parts, the upper of which nobody else writes to while this value lives.
pub(super) struct Layers {
    /// The layers to merge, over nothing.
    pub(super) above: Disk,
    /// The layer that stays, over its parents.
    pub(super) base: Disk,
    /// The top's file, when it is to be written to.
    top: Option<WritableFile>,
    /// Those of the layers between the top and the base, when they are to be removed.
    pub(super) between: Vec<WritableFile>,
    /// The layers to merge as they were opened first; their locks end with it.
    _held: Option<Disk>,
}

impl Layers {
    /// The chain of `top`, cut above `base`: its parent, unless another is named.
    pub(super) fn open(open: &Open, top: &Path, base: Option<&Path>) -> Result<Self> {
        let (above, base) = cut(&open.open_steady(top)?, base)?;
        Ok(Self { above, base, top: None, between: Vec::new(), _held: None })
    }

    /// The same, where the top and the base are to be written to, and with `remove` the others to be removed.
    pub(super) fn open_writable(open: &Open, top: &Path, base: Option<&Path>, remove: bool) -> Result<Self> {
        let (held, _) = cut(&open.open(top)?, base)?;
        let file = open.lock(top)?;
        let mut between = Vec::new();
        for layer in held.chain().iter().skip(1) {
            if remove {
                between.push(own_file(open, &**layer)?);
                continue;
            }
            for file in layer.files() {
                // Of a file system without locks, opening the layers warns.
                let _ = file.hold()?;
            }
        }
        // A writer may have been at work until the locks were held.
        let (above, base) = cut(&open.open_held(&file)?, base)?;
        Ok(Self { above, base, top: Some(file), between, _held: Some(held) })
    }

    /// The top's file, for writing.
    pub(super) fn top_file(&self) -> Result<WritableFile> {
        let file = || self.top().files()[0].name().to_owned();
        self.top.clone().ok_or_else(|| Error::Locked { file: file(), holder: LockHolder::Reader })
    }

    /// Refuses another image in the base's place, or other content: the base as it was opened, or as it becomes by the
    /// merge, has one of two data ids.
    pub(super) fn check_base(&self, found: &Disk) -> Result<()> {
        let (base, found) = (&self.base.chain()[0], &found.chain()[0]);
        let identity = |layer: &dyn Layer| layer.files()[0].storage().identity();
        let ids = [base.info().data_id, self.top().info().data_id];
        let same = identity(&**base) == identity(&**found) && base.info().id == found.info().id;
        if same && ids.contains(&found.info().data_id) {
            return Ok(());
        }
        Err(Error::ParentMismatch {
            child: self.top().files()[0].name().to_owned(),
            parent: found.files()[0].name().to_owned(),
            expected: "the image as it was when the merge began".to_owned(),
            found: "another one, or other content".to_owned(),
        })
    }

    pub(super) fn top(&self) -> &dyn Layer {
        &*self.above.chain()[0]
    }

    /// Where the base lies.
    pub(super) fn base_path(&self) -> Result<&Path> {
        let file = &self.base.chain()[0].files()[0];
        let what = || Error::Unsupported { what: format!("{}: lies in no folder", file.name()) };
        file.path().ok_or_else(what)
    }

    /// Whether the image at `path` is one of them.
    pub(super) fn contain(&self, path: &Path) -> bool {
        let all = self.above.chain().iter().chain(self.base.chain());
        all.into_iter().any(|layer| layer.files()[0].is_at(path))
    }
}

fn cut(disk: &Disk, base: Option<&Path>) -> Result<(Disk, Disk)> {
    disk.check_complete()?;
    let top = disk.chain()[0].files()[0].name();
    let at = match base {
        None => 1,
        Some(path) => {
            let is_base = |layer: &Arc<dyn Layer>| layer.files()[0].is_at(path);
            let below = disk.chain().iter().skip(1).position(is_base);
            let file = || path.shown();
            1 + below.ok_or_else(|| Error::NotInChain { file: file(), top: top.to_owned() })?
        }
    };
    split(disk, at)
}

/// The upper `layers` of a chain, over nothing, and those below.
pub(super) fn split(chain: &Disk, layers: usize) -> Result<(Disk, Disk)> {
    chain.check_complete()?;
    if layers == 0 || chain.chain().len() <= layers {
        let top = chain.chain().first().and_then(|top| top.files().first());
        let file = top.map_or("(no image)", |file| file.name()).to_owned();
        return Err(Error::NoParent { file });
    }
    let part = |layers: &[Arc<dyn Layer>]| Disk::new(layers.to_vec(), None, Vec::new());
    let (above, below) = chain.chain().split_at(layers);
    Ok((part(above), part(below)))
}

/// The file of `layer`, for writing, and locked.
fn own_file(open: &Open, layer: &dyn Layer) -> Result<WritableFile> {
    let file = &layer.files()[0];
    let what = || Error::Unsupported { what: format!("{}: lies in no folder", file.name()) };
    let found = open.lock(file.path().ok_or_else(what)?)?;
    match found.storage().identity() == file.storage().identity() {
        true => Ok(found),
        // Another has taken its place since it was read.
        false => Err(Error::Locked { file: file.name().to_owned(), holder: LockHolder::Writer }),
    }
}
