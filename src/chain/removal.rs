//! What a merge removes of the layers that it has merged.
//!
//! A descriptor can name any file beside it as an extent. So what goes is what a merged layer has for its own: the files that are
//! written when the layer is, each of them open for writing and locked, and none that a layer which stays needs.

use std::path::PathBuf;

use super::layers::Layers;
use crate::disk::Layer;
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::open::Open;
use crate::storage::{FileIdentity, WritableFile};

/// Files that are about to be removed.
pub(super) struct Removal {
    open: Open,
    /// Those of the layers between the top and the base, the lowest first.
    between: Vec<WritableFile>,
    /// The top's own file, and its format.
    top: (WritableFile, Format),
    /// The files of the layers that stay.
    kept: Vec<FileIdentity>,
}

impl Removal {
    /// What would be removed of `layers`, which are open for that.
    pub(super) fn of(open: &Open, layers: &Layers) -> Result<Self> {
        let format = |layer: &dyn Layer| layer.info().format;
        let formats = layers.above.chain().iter().skip(1).map(|layer| format(&**layer));
        let mut between = Vec::new();
        for (file, format) in layers.between.iter().zip(formats).rev() {
            between.extend(open.own_files(file, format)?);
        }
        let staying = layers.base.chain().iter().flat_map(|layer| layer.files());
        let kept = staying.filter_map(|file| file.storage().identity()).collect();
        Ok(Self { open: open.clone(), between, top: (layers.top_file()?, format(layers.top())), kept })
    }

    /// The files, as they will be removed: the top, which alone is still good, last.
    fn files(&self) -> Result<Vec<WritableFile>> {
        let (top, format) = &self.top;
        let stays = |file: &WritableFile| {
            file.storage().identity().is_some_and(|identity| self.kept.contains(&identity))
        };
        let top = self.open.own_files(top, *format)?;
        Ok(self.between.iter().cloned().chain(top).filter(|file| !stays(file)).collect())
    }

    /// Where they lie: the files themselves, not links to them.
    pub(super) fn paths(&self) -> Result<Vec<PathBuf>> {
        self.files()?.iter().map(place).collect()
    }

    /// Removes them, and says which.
    pub(super) fn run(self) -> Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        for file in &self.files()? {
            let path = place(file)?;
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", file.name(), e))?;
            removed.push(path);
        }
        Ok(removed)
    }
}

fn place(file: &WritableFile) -> Result<PathBuf> {
    let what = || Error::Unsupported { what: format!("{}: lies in no folder", file.name()) };
    let path = file.path().ok_or_else(what)?;
    path.canonicalize().map_err(|e| Error::io("find", file.name(), e))
}
