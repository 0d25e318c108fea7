//! What a child records of its parent: the names by which it finds it, and what the parent says of itself.

use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::disk::write::ParentLink;
use crate::error::{Error, Result};
use crate::format;
use crate::leaves::{Format, ReferenceKind, Shown};
use crate::open::Open;
use crate::storage::{
    AnyPath, FileRole, ImageFile, MemoryStorage, Reference, Resolver, SameDirectory, WritableFile, relative,
};

/// The names by which a child finds its parent.
pub(super) struct Way {
    relative: Option<String>,
    absolute: Option<String>,
}

impl Way {
    /// One name, as it was given.
    pub(super) fn named(name: &str) -> Self {
        Self { relative: Some(name.to_owned()), absolute: None }
    }

    /// The names for a child at `child`, of a format that has such a parent. One that no policy would find by them is
    /// refused.
    ///
    /// # Errors
    ///
    /// [`Error::ParentUnreachable`].
    pub(super) fn new(child: &Path, parent: &Disk) -> Result<Self> {
        let file = top_file(parent)?;
        let way = Self::between(child, file)?;
        let link = way.link(parent)?;
        let names = format::recorded_names(link.info.format.of_child(), &link)?;
        if leads(child, &names, file)? {
            return Ok(way);
        }
        let (child, parent) = (child.shown(), file.name().to_owned());
        Err(Error::ParentUnreachable { child, parent })
    }

    fn between(child: &Path, parent: &ImageFile) -> Result<Self> {
        let failed = |e| Error::io("find the folder of", child.shown(), e);
        let child = relative::absolute(child).map_err(failed)?;
        let Some(parent) = parent.path() else { return Ok(Self { relative: None, absolute: None }) };
        // The file itself: names that lead over symlinks are not followed by default.
        let failed = |e| Error::io("find", parent.shown(), e);
        let parent = parent.canonicalize().map_err(failed)?;
        Ok(Self { relative: relative::way(&child, &parent), absolute: parent.to_str().map(relative::plain) })
    }

    /// What the child records of `parent`.
    pub(super) fn link<'a>(&'a self, parent: &'a Disk) -> Result<ParentLink<'a>> {
        let file = top_file(parent)?;
        Ok(ParentLink {
            info: parent.chain()[0].info(),
            relative: self.relative.as_deref(),
            absolute: self.absolute.as_deref(),
            modified: file.storage().modified(),
        })
    }
}

/// Whether one of the names that the image at `child` records leads to `parent`, under some policy.
fn leads(child: &Path, names: &[String], parent: &ImageFile) -> Result<bool> {
    let referrer = &ImageFile::at_path(Arc::new(MemoryStorage::default()), child, FileRole::Image)?;
    let resolvers: [&dyn Resolver; 2] = [&SameDirectory, &AnyPath];
    let leads = |(resolver, name): (&&dyn Resolver, &String)| {
        let reference = Reference { name, kind: ReferenceKind::Parent, guarded: true, referrer };
        let found = resolver.open(&reference).ok().flatten();
        found.and_then(|found| found.path().map(|path| parent.is_at(path))).unwrap_or(false)
    };
    Ok(resolvers.iter().flat_map(|resolver| names.iter().map(move |name| (resolver, name))).any(leads))
}

/// The file of a disk that is a parent: an image as it is, since a later reader of the child finds nothing else.
pub(super) fn top_file(parent: &Disk) -> Result<&ImageFile> {
    let top = parent.chain().first();
    if top.is_some_and(|top| !top.is_image()) {
        let what = "a part of a disk, or a disk with changes over it, cannot be a parent".to_owned();
        return Err(Error::Unsupported { what });
    }
    let file = top.and_then(|top| top.files().first());
    file.ok_or_else(|| Error::Unsupported { what: "a disk that no file holds cannot be a parent".to_owned() })
}

/// Records `parent` in the image in `file`, of `format`, which keeps its content's identity.
pub(super) fn set_parent(open: &Open, file: WritableFile, format: Format, parent: &Disk) -> Result<()> {
    let way = Way::new(file.path().unwrap_or(Path::new(file.name())), parent)?;
    open.clone().format(format).record_parent(file, &way.link(parent)?, parent)
}
