//! Finding an image's children, and a parent that was moved.

use std::fs::ReadDir;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::link::top_file;
use crate::disk::{Disk, Layer, LayerInfo, Linkage};
use crate::error::{Error, Result};
use crate::leaves::ReferenceKind;
use crate::leaves::Shown;
use crate::open::Open;
use crate::storage::{ImageFile, Reference, relative};

/// The images in `folder`, but not below it, that name the top image of `parent` as their parent.
///
/// An image is a child when the first of its parent's recorded names that leads to a file leads to this one. Where a later
/// one does, or none leads to a file, the recorded identity decides. Only headers are read; files that are no images, or damaged ones, are passed over.
/// What those images name is opened as `open` allows, and nowhere else is it so much as looked whether there is a file.
///
/// # Errors
///
/// [`Error::Io`] when `folder` cannot be listed.
pub fn children_of(parent: &Disk, folder: impl AsRef<Path>, open: &Open) -> Result<Vec<PathBuf>> {
    let Some(own) = parent.chain().first().and_then(|top| Sought::new(&**top)) else {
        return Ok(Vec::new());
    };
    Ok(sorted(images_in(folder.as_ref(), open)?.filter(|found| found.is_child_of(&own))))
}

/// Refuses when images in the folder of `disk`'s top image name it as their parent: for use before it is written to.
///
/// # Errors
///
/// [`Error::HasChildren`], and as [`children_of`].
pub fn check_no_children(disk: &Disk, open: &Open) -> Result<()> {
    let file = top_file(disk)?;
    let Some(path) = file.path() else { return Ok(()) };
    refuse_children(file.name(), &children_of(disk, folder_of(path), open)?)
}

/// The images in `folders`, but not below them, that bear the identity which `child` recorded of its parent.
///
/// For a parent that was moved or renamed, of a child opened by [`Open::allow_missing_parent`];
/// [`Rebase`](super::Rebase) records its new place. Only headers are read, as in [`children_of`].
///
/// # Errors
///
/// [`Error::NoParent`]; [`Error::Unsupported`] for a child that records no identity: one of a raw disk; and as
/// [`children_of`].
pub fn find_parents(
    child: &Disk,
    folders: impl IntoIterator<Item = impl AsRef<Path>>,
    open: &Open,
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
        let images = images_in(folder.as_ref(), open)?;
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
    let children = children.iter().map(|child| child.shown()).collect();
    Err(Error::HasChildren { file: file.to_owned(), children })
}

/// The folder that `path` lies in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sorted<'a>(found: impl IntoIterator<Item = Found<'a>>) -> Vec<PathBuf> {
    let mut paths: Vec<_> = found.into_iter().map(|found| found.path).collect();
    paths.sort();
    paths
}

/// An image whose children are looked for.
pub(super) struct Sought<'a> {
    layer: &'a dyn Layer,
    file: &'a ImageFile,
    /// Where it lies, free of symlinks.
    path: Option<PathBuf>,
}

impl<'a> Sought<'a> {
    /// `None` where no file holds it.
    pub(super) fn new(layer: &'a dyn Layer) -> Option<Self> {
        let file = layer.files().first()?;
        Some(Self { layer, file, path: file.path().and_then(|path| path.canonicalize().ok()) })
    }

    pub(super) fn info(&self) -> &LayerInfo {
        self.layer.info()
    }

    pub(super) fn name(&self) -> &str {
        self.file.name()
    }
}

/// Where a name leads.
#[derive(PartialEq, Eq)]
enum Lead {
    Here,
    Elsewhere,
}

/// An image in a folder, by itself.
pub(super) struct Found<'a> {
    pub(super) path: PathBuf,
    layer: Box<dyn Layer>,
    /// The folder, free of symlinks.
    folder: Arc<PathBuf>,
    open: &'a Open,
}

impl Found<'_> {
    /// Whether it names `parent` as its parent.
    pub(super) fn is_child_of(&self, parent: &Sought<'_>) -> bool {
        let Some(recorded) = &self.layer.info().parent else { return false };
        let matches = || recorded.linkage != Linkage::None && recorded.linkage.matches(parent.info());
        let leads: Vec<_> = recorded.names.iter().filter_map(|name| self.lead(name, parent)).collect();
        let leads_here = leads.iter().position(|lead| *lead == Lead::Here);
        leads_here == Some(0) || (leads_here.is_some() || leads.is_empty()) && matches()
    }

    /// Whether it knows `parent` by its identity now.
    pub(super) fn knows(&self, parent: &LayerInfo) -> bool {
        self.layer.info().parent.as_ref().is_some_and(|recorded| recorded.linkage.matches(parent))
    }

    /// Where `name` leads, as far as that may be known: by itself a name can only be compared.
    fn lead(&self, name: &str, parent: &Sought<'_>) -> Option<Lead> {
        if parent.path.as_ref().is_some_and(|path| relative::leads_to(&self.folder, name, path)) {
            return Some(Lead::Here);
        }
        let referrer = self.layer.files().first()?;
        // What it leads to is compared and nothing else: that is as good as an identity.
        let reference = Reference { name, kind: ReferenceKind::Parent, guarded: true, referrer };
        let file = self.open.policy().open(&reference).ok()??;
        let is = |other: &ImageFile| file.path().is_some_and(|path| other.is_at(path));
        if is(referrer) {
            return None;
        }
        Some(if is(parent.file) { Lead::Here } else { Lead::Elsewhere })
    }
}

/// The images in `folder`, opened as `open` allows. What cannot be opened as one, by its headers alone, is passed over.
pub(super) fn images_in<'a>(folder: &Path, open: &'a Open) -> Result<impl Iterator<Item = Found<'a>>> {
    let failed = |e| Error::io("list", folder.shown(), e);
    let entries: ReadDir = folder.read_dir().map_err(failed)?;
    let plain = Arc::new(folder.canonicalize().map_err(failed)?);
    let files = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().is_ok_and(|kind| kind.is_file()).then(|| entry.path())
    });
    Ok(files.filter_map(move |path| {
        Some(Found { layer: open.layer(&path).ok()?, path, folder: plain.clone(), open })
    }))
}
