//! Opening and reading an image changes no byte of any file and leaves no file behind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use libtest_mimic::Failed;

use crate::common::corpus::{Corpus, Image};
use crate::common::digest;

type Digests = BTreeMap<PathBuf, String>;

/// What the files of each folder held before the first of them was opened.
static BEFORE: LazyLock<Mutex<BTreeMap<PathBuf, Digests>>> = LazyLock::new(Mutex::default);

/// That the image's own file is the one that the manifest describes; remembers what its folder holds.
pub fn is_as_recorded(corpus: &Corpus, image: &Image) -> Result<(), Failed> {
    let path = corpus.path(&image.file);
    let found = before(&path)?.remove(&path);
    if found.as_deref() != Some(image.file_digest.as_str()) {
        return Err(format!("the file is not the one of the manifest: {found:?}").into());
    }
    Ok(())
}

/// That the image, the files it was read from and the list of files in its folder are what they were.
pub fn check(corpus: &Corpus, image: &Image, read: &[PathBuf]) -> Result<(), Failed> {
    let path = corpus.path(&image.file);
    let before = before(&path)?;
    let names = files_beside(&path)?;
    if !names.iter().eq(before.keys()) {
        return Err(format!("the folder's files have changed: {names:?}").into());
    }
    for file in read.iter().chain([&path]) {
        let expected = before.get(file).ok_or_else(|| format!("{} lies elsewhere", file.display()))?;
        if digest::of_file(file)? != *expected {
            return Err(format!("reading has changed {}", file.display()).into());
        }
    }
    Ok(())
}

/// The digests of all files in the folder of `path`, taken when it is asked for the first time.
fn before(path: &Path) -> io::Result<Digests> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut known = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(digests) = known.get(folder) {
        return Ok(digests.clone());
    }
    let digests: Digests = files_beside(path)?
        .into_iter()
        .map(|file| Ok((file.clone(), digest::of_file(&file)?)))
        .collect::<io::Result<_>>()?;
    known.insert(folder.to_owned(), digests.clone());
    Ok(digests)
}

fn files_beside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
