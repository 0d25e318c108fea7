//! The files that an image names, and who may open them.
//!
//! A name in an image is hostile until proven otherwise: a VMDK descriptor can name `/etc/shadow` as an extent,
//! and a reader that opens it hands the file out as disk content (CVE-2022-47951 and its kin). So every such name
//! goes through a [`Resolver`], which the caller chooses.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::piece::{Again, Piece};
use super::recorded_name::{self, Within, last_part, similar_ways};
use super::safe_open::{self, Access};
use super::{FileRole, FileStorage, ImageFile, Place, ReadAt, WritableFile, WriteAt};
use crate::error::{Error, Result};
use crate::leaves::{LockMode, ReferenceKind, Shown};

/// A name that an image gives for another file.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Reference<'a> {
    /// The name as the image gives it: relative or absolute, of whichever system.
    pub name: &'a str,
    /// What the file is to the image.
    pub kind: ReferenceKind,
    /// Whether the file will be refused unless it bears an identity that the image recorded.
    pub guarded: bool,
    /// The file that names it.
    pub referrer: &'a ImageFile,
}

impl Reference<'_> {
    /// The error for a name that the policy forbids.
    pub fn not_allowed(&self, reason: impl Into<String>) -> Error {
        Error::NotAllowed {
            referrer: self.referrer.name().to_owned(),
            kind: self.kind,
            name: self.name.to_owned(),
            reason: reason.into(),
        }
    }

    /// The error for a name that is not there, where several others are like it.
    fn ambiguous(&self, candidates: Vec<String>) -> Error {
        let (referrer, name) = (self.referrer.name().to_owned(), self.name.to_owned());
        Error::AmbiguousName { referrer, kind: self.kind, name, candidates }
    }

    /// What the file is for.
    pub fn role(&self) -> FileRole {
        match self.kind {
            ReferenceKind::Parent => FileRole::Image,
            ReferenceKind::Extent => FileRole::Extent,
        }
    }

    /// The folder of the file that names it; empty for the working directory, as paths in it are written.
    fn folder(&self) -> Result<&Path> {
        let path = self.referrer.path().ok_or_else(|| {
            self.not_allowed("the image does not lie in a folder; give a resolver that knows its files")
        })?;
        Ok(path.parent().unwrap_or(Path::new("")))
    }

    /// Whether the file at `way` from its own folder is the one that names it.
    fn is_itself(&self, way: &Path) -> bool {
        self.referrer.path().and_then(Path::file_name) == Some(way.as_os_str())
    }
}

/// Opens the files that images name: parents and extents.
pub trait Resolver: Send + Sync {
    /// The file that `reference` means; `None` when it may be opened but there is no such file.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`] when the policy forbids the name, [`Error::Io`] when opening fails otherwise.
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>>;

    /// The same file for reading and writing: an extent of an image that is opened for writing. Parents are never
    /// opened so. [`SameDirectory`] and [`AnyPath`] lock it.
    ///
    /// The default allows none.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Locked`].
    fn open_writable(&self, reference: &Reference<'_>) -> Result<Option<WritableFile>> {
        Err(reference.not_allowed("this resolver opens no files for writing"))
    }
}

/// Opens nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoExternal;

impl Resolver for NoExternal {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        Err(reference.not_allowed("no files but the image itself may be opened"))
    }
}

/// Opens plain files in the image's own folder or below it; of an image that lies in no folder, nothing. The default.
///
/// `..`, symlinks, devices, FIFOs, URLs and alternate streams are refused, and so is a parent of which no identity is
/// recorded, as none is of a raw disk. A plain name is first tried as it stands. Of an absolute one only the last part counts.
/// A name that is not there is taken for one that differs in letter case or in Unicode form alone, where there is one such
/// file.
#[derive(Debug, Clone, Copy, Default)]
pub struct SameDirectory;

impl Resolver for SameDirectory {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        let Some(Found { file, folder, way }) = self.find(reference, Access::Read)? else { return Ok(None) };
        let path = path_of(&folder, &way);
        // The folder that was meant, wherever the process is then.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let again = move || safe_open::open_beneath(&folder, &way, Access::Read);
        image_file(file, path, reference, Box::new(again)).map(Some)
    }

    fn open_writable(&self, reference: &Reference<'_>) -> Result<Option<WritableFile>> {
        let found = self.find(reference, Access::Write)?;
        found.map(|Found { file, folder, way }| writable_file(file, path_of(&folder, &way))).transpose()
    }
}

/// A file that was found, and the way to it from its image's folder.
struct Found {
    file: File,
    folder: PathBuf,
    way: Vec<String>,
}

fn path_of(folder: &Path, way: &[impl AsRef<str>]) -> PathBuf {
    way.iter().fold(folder.to_path_buf(), |path, part| path.join(part.as_ref()))
}

impl SameDirectory {
    fn find(self, reference: &Reference<'_>, access: Access) -> Result<Option<Found>> {
        if reference.kind == ReferenceKind::Parent && !reference.guarded {
            return Err(reference.not_allowed("no identity of it is recorded, so that it could be any file"));
        }
        let folder = reference.folder()?;
        let Within { ways, refusal } = Within::of(reference.name, reference.kind);
        for way in &ways {
            if let Some(found) = open_way(reference, folder, way, access)? {
                return Ok(Some(found));
            }
        }
        for way in &ways {
            let mut similar = similar_ways(folder, way);
            similar.retain(|way| !reference.is_itself(&way.iter().collect::<PathBuf>()));
            match &similar[..] {
                [] => {}
                [one] => return open_way(reference, folder, one, access),
                several => return Err(reference.ambiguous(several.iter().map(|way| way.join("/")).collect())),
            }
        }
        refusal.map_or(Ok(None), |reason| Err(reference.not_allowed(reason)))
    }
}

/// Opens the plain file that `way` leads to from `folder`, without leaving it.
fn open_way(
    reference: &Reference<'_>,
    folder: &Path,
    way: &[impl AsRef<str>],
    access: Access,
) -> Result<Option<Found>> {
    match safe_open::open_beneath(folder, way, access) {
        Ok(file) => {
            let way = way.iter().map(|part| part.as_ref().to_owned()).collect();
            Ok(Some(Found { file, folder: folder.to_path_buf(), way }))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            Err(reference.not_allowed("it is not a plain file"))
        }
        Err(e) if safe_open::is_escape(&e) => Err(reference
            .not_allowed("it leads over a symbolic link, out of the image's folder or through a file")),
        Err(e) => Err(Error::io("open", path_of(folder, way).shown(), e)),
    }
}

/// Opens any plain file that an image names. Only for images that are trusted like a program.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyPath;

impl Resolver for AnyPath {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        let Some((file, path)) = self.find(reference, safe_open::open_any)? else { return Ok(None) };
        image_file(file, path.clone(), reference, anywhere_again(path)).map(Some)
    }

    fn open_writable(&self, reference: &Reference<'_>) -> Result<Option<WritableFile>> {
        let file = self.find(reference, |path| safe_open::open_any_writable(path, LockMode::Write))?;
        file.map(|(file, path)| writable_file(file, path)).transpose()
    }
}

impl AnyPath {
    fn find(
        self,
        reference: &Reference<'_>,
        open: fn(&Path) -> io::Result<File>,
    ) -> Result<Option<(File, PathBuf)>> {
        let folder = reference.folder()?;
        let name = reference.name;
        if name.is_empty() || name.contains('\0') {
            return Err(reference.not_allowed("it is empty or holds a NUL"));
        }
        let open_path =
            |path: PathBuf| match open(&path).and_then(|file| Ok((file.metadata()?.is_file(), file))) {
                Ok((true, file)) => Ok(Some((file, path))),
                Ok((false, _)) => Err(reference.not_allowed("it is not a plain file")),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(Error::io("open", path.shown(), e)),
            };
        let paths = recorded_name::anywhere(folder, name);
        for path in &paths {
            if let Some(found) = open_path(path.clone())? {
                return Ok(Some(found));
            }
        }
        for path in &paths {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
            else {
                continue;
            };
            let similar = similar_ways(folder, &[name]).into_iter().flatten().map(|name| folder.join(name));
            let mut similar: Vec<_> =
                similar.filter(|path| reference.referrer.path() != Some(path)).collect();
            match (similar.pop(), similar.is_empty()) {
                (None, _) => {}
                (Some(one), true) => return open_path(one),
                (Some(last), false) => {
                    let all = similar.iter().chain([&last]);
                    return Err(reference.ambiguous(all.map(|path| path.shown()).collect()));
                }
            }
        }
        Ok(None)
    }
}

/// The names that descriptors have for their extents.
#[derive(Default)]
pub(crate) struct Named(Mutex<BTreeSet<String>>);

impl Named {
    /// Whether an extent is called `name`, or its name ends in this part.
    pub(crate) fn contain(&self, name: &str) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains(name) || names.iter().any(|named| last_part(named) == name)
    }

    pub(crate) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Opens extents where the caller says that they lie, and all else as another resolver does.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'a> {
    /// Names as images give them, or the last parts of them, and where the files lie.
    pub(crate) extents: &'a [(String, Place)],
    /// Where the names go that there are.
    pub(crate) named: Option<&'a Named>,
    pub(crate) others: &'a dyn Resolver,
}

impl Placed<'_> {
    /// Takes note of the names in a descriptor, if they matter.
    pub(crate) fn note<'n>(&self, names: impl Iterator<Item = &'n str>) {
        if let Some(named) = self.named.filter(|_| !self.extents.is_empty()) {
            named.0.lock().unwrap_or_else(PoisonError::into_inner).extend(names.map(str::to_owned));
        }
    }

    fn place_of(&self, reference: &Reference<'_>) -> Option<&Place> {
        let names = [reference.name, last_part(reference.name)];
        let named = |name: &&str| self.extents.iter().find(|(placed, _)| placed == name);
        let extent = names.iter().filter(|_| reference.kind == ReferenceKind::Extent).find_map(named);
        extent.map(|(_, place)| place)
    }
}

impl Resolver for Placed<'_> {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        match self.place_of(reference) {
            Some(Place::Path(path)) => {
                let file = safe_open::open_any(path).map_err(|e| Error::io("open", path.shown(), e))?;
                image_file(file, path.clone(), reference, anywhere_again(path.clone())).map(Some)
            }
            Some(place) => place.image(reference.role()).map(Some),
            None => self.others.open(reference),
        }
    }

    fn open_writable(&self, reference: &Reference<'_>) -> Result<Option<WritableFile>> {
        match self.place_of(reference) {
            Some(Place::Path(path)) => WritableFile::open(path).map(Some),
            Some(Place::Storage { .. }) => {
                Err(reference.not_allowed("it was given as a storage that is only read"))
            }
            None => self.others.open_writable(reference),
        }
    }
}

impl<'a, R: Resolver> From<&'a R> for Placed<'a> {
    fn from(others: &'a R) -> Self {
        Self { extents: &[], named: None, others }
    }
}

/// Opens what the caller lists, by the names that images use (or the last parts of them), and nothing else.
///
/// ```
/// use std::sync::Arc;
/// use diskport::storage::{Explicit, MemoryStorage, ReadAt};
///
/// let base: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new([0; 512]));
/// let resolver = Explicit::from([("base.vhdx", base)]);
/// ```
#[derive(Default)]
pub struct Explicit {
    files: HashMap<String, Arc<dyn ReadAt>>,
    writable: HashMap<String, Arc<dyn WriteAt>>,
}

impl Explicit {
    /// Adds a file under a name.
    pub fn insert(&mut self, name: impl Into<String>, storage: Arc<dyn ReadAt>) {
        self.files.insert(name.into(), storage);
    }

    /// Adds a file that may also be written under a name.
    pub fn insert_writable(&mut self, name: impl Into<String>, storage: Arc<dyn WriteAt>) {
        let name = name.into();
        self.files.insert(name.clone(), storage.clone());
        self.writable.insert(name, storage);
    }
}

impl<N: Into<String>, const COUNT: usize> From<[(N, Arc<dyn ReadAt>); COUNT]> for Explicit {
    fn from(files: [(N, Arc<dyn ReadAt>); COUNT]) -> Self {
        files.into_iter().collect()
    }
}

impl<N: Into<String>> FromIterator<(N, Arc<dyn ReadAt>)> for Explicit {
    fn from_iter<I: IntoIterator<Item = (N, Arc<dyn ReadAt>)>>(files: I) -> Self {
        let files = files.into_iter().map(|(name, storage)| (name.into(), storage)).collect();
        Self { files, writable: HashMap::new() }
    }
}

impl fmt::Debug for Explicit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.files.keys()).finish()
    }
}

impl Resolver for Explicit {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        let listed = [reference.name, last_part(reference.name)];
        let Some((name, storage)) = listed.iter().find_map(|name| self.files.get_key_value(*name)) else {
            return Ok(None);
        };
        ImageFile::new(storage.clone(), name, reference.role()).map(Some)
    }

    fn open_writable(&self, reference: &Reference<'_>) -> Result<Option<WritableFile>> {
        let listed = [reference.name, last_part(reference.name)];
        let found = listed.iter().find_map(|name| self.writable.get_key_value(*name));
        Ok(found.map(|(name, storage)| WritableFile::new(storage.clone(), name)))
    }
}

fn writable_file(file: File, path: PathBuf) -> Result<WritableFile> {
    let storage = FileStorage::from_file(file).map_err(|e| Error::io("open", path.shown(), e))?;
    WritableFile::lock(storage, path)
}

/// How the file at `path`, which the caller's policy took wherever it lies, is opened again.
fn anywhere_again(path: PathBuf) -> Again {
    let path = std::path::absolute(&path).unwrap_or(path);
    Box::new(move || safe_open::open_any(&path))
}

/// The file that was found at `path`. Of extents an image may have thousands.
fn image_file(file: File, path: PathBuf, reference: &Reference<'_>, again: Again) -> Result<ImageFile> {
    let failed = |e| Error::io("open", path.shown(), e);
    match reference.kind {
        ReferenceKind::Parent => {
            let storage = FileStorage::from_file(file).map_err(failed)?;
            ImageFile::opened(storage, path, FileRole::Image)
        }
        ReferenceKind::Extent => {
            let piece = Piece::new(file, path.shown(), again).map_err(failed)?;
            ImageFile::piece(piece, path, FileRole::Extent)
        }
    }
}
