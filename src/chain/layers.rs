//! The layers of a merge.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, Layer};
use crate::error::{Error, Result};
use crate::open::Open;
use crate::storage::FileStorage;

/// A chain in two parts, the upper of which is locked against writers.
pub(super) struct Layers {
    /// The layers to merge, over nothing.
    pub(super) above: Disk,
    /// The layer that stays, over its parents.
    pub(super) base: Disk,
    locks: Vec<FileStorage>,
}

impl Layers {
    /// The chain of `top`, cut above `base`: its parent, unless another is named.
    pub(super) fn open(open: &Open, top: &Path, base: Option<&Path>) -> Result<Self> {
        let (above, _) = cut(&open.open_path(top)?, base)?;
        let locks = above.chain().iter().map(|layer| lock(&**layer)).collect::<Result<Vec<_>>>()?;
        // A writer may have been at work until the locks were held.
        let (above, base) = cut(&open.open_path(top)?, base)?;
        Ok(Self { above, base, locks })
    }

    /// Lets anyone write to them again.
    pub(super) fn unlock(&mut self) {
        self.locks.clear();
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
            let file = || path.display().to_string();
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

/// Locks the file of `layer` against writers.
fn lock(layer: &dyn Layer) -> Result<FileStorage> {
    let file = &layer.files()[0];
    let path = file.path().unwrap_or(Path::new(file.name()));
    let storage = FileStorage::open(path).map_err(|e| Error::io("open", file.name(), e))?;
    match storage.try_lock_shared().map_err(|e| Error::io("lock", file.name(), e))? {
        true => Ok(storage),
        false => Err(Error::Locked { file: file.name().to_owned() }),
    }
}
