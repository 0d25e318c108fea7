//! The images that are worked on: files with names, of which the last few make up the image itself.

use diskport::storage::{Explicit, WriteAt};
use diskport::{Format, Open};

use crate::bytes::Bytes;

/// An image with its parents.
#[derive(Clone)]
pub struct Image {
    /// The files, the parents' first.
    pub files: Vec<(String, Bytes)>,
    pub top: Top,
}

/// Which of the files are the image's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// The file that is opened.
    pub main: usize,
    /// The first of its own files.
    pub own: usize,
    /// The format, for those that have no signature.
    pub format: Option<Format>,
}

/// How the image is opened whose files are `storages`, by their names.
pub fn opener<'a, S: WriteAt + Clone + 'static>(
    files: impl IntoIterator<Item = (&'a str, &'a S)>,
    top: Top,
) -> Open {
    let mut resolver = Explicit::default();
    for (name, storage) in files {
        resolver.insert_writable(name, std::sync::Arc::new(storage.clone()));
    }
    let open = Open::new().resolver(resolver);
    top.format.map_or(open.clone(), |format| open.format(format))
}
