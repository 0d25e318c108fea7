//! Finding an image's children, and a parent that was moved.

use std::fs::ReadDir;
use std::path::{Path, PathBuf};

use super::link::top_file;
use crate::disk::{Disk, Layer, LayerInfo, Linkage, ParentRef};
use crate::error::{Error, Result};
use crate::open::Open;
use crate::storage::resolver::named;

/// The images in `folder`, but not below it, that name the top image of `parent` as their parent.
///
/// An image is a child when the first of its parent's recorded names that leads to a file leads to this one. Where a later
/// one does, or none leads to a file, the recorded identity decides. Only headers are read; files that are no images, or damaged ones, are passed over.
///
/// # Errors
///
/// [`Error::Io`] when `folder` cannot be listed.
pub fn children_of(parent: &Disk, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let Some(own) = parent.chain().first() else { return Ok(Vec::new()) };
    Ok(sorted(images_in(folder.as_ref())?.filter(|found| found.is_child_of(&**own))))
}

/// Refuses when images in the folder of `disk`'s top image name it as their parent: for use before it is written to.
///
/// # Errors
///
/// [`Error::HasChildren`], and as [`children_of`].
pub fn check_no_children(disk: &Disk) -> Result<()> {
    let file = top_file(disk)?;
    let Some(path) = file.path() else { return Ok(()) };
    refuse_children(file.name(), &children_of(disk, folder_of(path))?)
}

/// The images in `folders`, but not below them, that bear the identity which `child` recorded of its parent.
///
/// For a parent that was moved or renamed, of a child opened by [`Open::allow_missing_parent`];
/// [`Rebase`](super::Rebase) records its new place. Only headers are read.
///
/// # Errors
///
/// [`Error::NoParent`]; [`Error::Unsupported`] for a child that records no identity: one of a raw disk; and as
/// [`children_of`].
pub fn find_parents(
    child: &Disk,
    folders: impl IntoIterator<Item = impl AsRef<Path>>,
) -> Result<Vec<PathBuf>> {
    let own = top_file(child)?;
    let file = || own.name().to_owned();
    let Some(recorded) = &child.chain()[0].info().parent else {
        return Err(Error::NoParent { file: file() });
    };
    if recorded.linkage == Linkage::None {
        let what = format!("{}: records no identity of its parent, by which it could be found", file());
        return Err(Error::Unsupported { what });
    }
    let mut found = Vec::new();
    for folder in folders {
        let images = images_in(folder.as_ref())?;
        found.extend(
            images.filter(|image| recorded.linkage.matches(image.layer.info()) && !own.is_at(&image.path)),
        );
    }
    Ok(sorted(found))
}

pub(super) fn refuse_children(file: &str, children: &[PathBuf]) -> Result<()> {
    if children.is_empty() {
        return Ok(());
    }
    let children = children.iter().map(|child| child.display().to_string()).collect();
    Err(Error::HasChildren { file: file.to_owned(), children })
}

/// The folder that `path` lies in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sorted(found: impl IntoIterator<Item = Found>) -> Vec<PathBuf> {
    let mut paths: Vec<_> = found.into_iter().map(|found| found.path).collect();
    paths.sort();
    paths
}

/// An image in a folder, by itself.
pub(super) struct Found {
    pub(super) path: PathBuf,
    layer: Box<dyn Layer>,
}

impl Found {
    /// Whether it names `parent` as its parent.
    pub(super) fn is_child_of(&self, parent: &dyn Layer) -> bool {
        let (Some(recorded), Some(file)) = (&self.layer.info().parent, parent.files().first()) else {
            return false;
        };
        let matches = || recorded.linkage != Linkage::None && recorded.linkage.matches(parent.info());
        let named = self.named(recorded);
        let leads_here = named.iter().position(|path| file.is_at(path));
        leads_here == Some(0) || (leads_here.is_some() || named.is_empty()) && matches()
    }

    /// Whether it knows `parent` by its identity now.
    pub(super) fn knows(&self, parent: &LayerInfo) -> bool {
        self.layer.info().parent.as_ref().is_some_and(|recorded| recorded.linkage.matches(parent))
    }

    /// The plain files that the parent's names lead to, but for the image itself.
    fn named(&self, recorded: &ParentRef) -> Vec<PathBuf> {
        let paths = recorded.names.iter().map(|name| named(folder_of(&self.path), name));
        paths.filter(|path| *path != self.path && path.is_file()).collect()
    }
}

/// The images in `folder`. What cannot be opened as one, by its headers alone, is passed over.
pub(super) fn images_in(folder: &Path) -> Result<impl Iterator<Item = Found>> {
    let failed = |e| Error::io("list", folder.display().to_string(), e);
    let entries: ReadDir = folder.read_dir().map_err(failed)?;
    let files = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().is_ok_and(|kind| kind.is_file()).then(|| entry.path())
    });
    let open = Open::new();
    Ok(files.filter_map(move |path| Some(Found { layer: open.layer(&path).ok()?, path })))
}
