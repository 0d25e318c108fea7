//! The images that are worked on: files with names, of which the last few make up the image itself.

use diskport::chain::merge_into;
use diskport::job::Job;
use diskport::storage::{Explicit, WriteAt};
use diskport::{Format, Open};

use crate::bytes::{Bytes, Memory};

/// An image with its parents.
#[derive(Clone)]
pub struct Image {
    /// The files, the parents' first.
    pub files: Vec<(String, Bytes)>,
    /// Its layers, the base first.
    pub chain: Vec<Top>,
}

impl Image {
    /// The image itself.
    pub fn top(&self) -> Top {
        self.chain[self.chain.len() - 1]
    }

    /// The layer below it.
    pub fn base(&self) -> Option<Top> {
        self.chain.iter().rev().nth(1).copied()
    }

    /// The names of the files.
    pub fn names(&self) -> Vec<String> {
        self.files.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The files in memory, and how to open `layer` in them.
    pub fn storages(&self, layer: Top) -> (Vec<Memory>, Open) {
        let storages: Vec<_> = self.files.iter().map(|(_, bytes)| Memory::new(bytes.clone())).collect();
        let named = self.files.iter().zip(&storages).map(|((name, _), storage)| (name.as_str(), storage));
        let open = opener(named, layer);
        (storages, open)
    }

    /// The image when the files hold what `storages` do.
    pub fn with(mut self, storages: &[Memory]) -> Self {
        for ((_, bytes), storage) in self.files.iter_mut().zip(storages) {
            *bytes = storage.bytes();
        }
        self
    }
}

/// Which of the files are a layer's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// The file that is opened.
    pub main: usize,
    /// The first of its own files.
    pub own: usize,
    /// The format.
    pub format: Format,
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
    // A raw disk has no signature.
    if top.format == Format::Raw { open.format(Format::Raw) } else { open }
}

/// Merges the top of `chain` into the layer below it, and puts it on that one again.
pub fn merge<S: WriteAt + Clone + 'static>(
    names: &[String],
    storages: &[S],
    chain: &[Top],
) -> diskport::Result<()> {
    let [.., base, top] = chain else { panic!("nothing to merge") };
    let open = |layer| opener(names.iter().map(String::as_str).zip(storages), layer);
    let disk = open(*top).open(storages[top.main].clone())?;
    let into = open(*base).open_writable(storages[base.main].clone())?;
    merge_into(&disk, 1, into, &Job::new())?;
    record_parent(names, storages, chain)
}

/// Records in the top of `chain` the layer below it as its parent.
pub fn record_parent<S: WriteAt + Clone + 'static>(
    names: &[String],
    storages: &[S],
    chain: &[Top],
) -> diskport::Result<()> {
    let [.., base, top] = chain else { panic!("there is no parent") };
    let open = opener(names.iter().map(String::as_str).zip(storages), *base);
    let parent = open.open(storages[base.main].clone())?;
    diskport::chain::record_parent(storages[top.main].clone(), &parent, &names[base.main])
}
