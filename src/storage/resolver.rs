//! The files that an image names, and who may open them.
//!
//! A name in an image is hostile until proven otherwise: a VMDK descriptor can name `/etc/shadow` as an extent,
//! and a reader that opens it hands the file out as disk content (CVE-2022-47951 and its kin). So every such name
//! goes through a [`Resolver`], which the caller chooses.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::safe_open::{self, Access};
use super::{FileRole, FileStorage, ImageFile, ReadAt, WritableFile, WriteAt};
use crate::error::{Error, Result};
use crate::leaves::ReferenceKind;

/// A name that an image gives for another file.
#[derive(Debug, Clone, Copy)]
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

    fn role(&self) -> FileRole {
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

/// Opens nothing. The default for images that are not opened by path.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoExternal;

impl Resolver for NoExternal {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        Err(reference.not_allowed("no files but the image itself may be opened"))
    }
}

/// Opens plain files in the image's own folder or below it. The default for images opened by path.
///
/// `..`, symlinks, devices, FIFOs, URLs and alternate streams are refused, and so is a parent of which no identity is
/// recorded, as none is of a raw disk. Of an absolute name only the last part counts where an identity guards it; any other
/// absolute name is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct SameDirectory;

impl Resolver for SameDirectory {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        let file = self.find(reference, Access::Read)?;
        file.map(|(file, path)| image_file(file, path, reference)).transpose()
    }

    fn open_writable(&self, reference: &Reference<'_>) -> Result<Option<WritableFile>> {
        let file = self.find(reference, Access::Write)?;
        file.map(|(file, path)| writable_file(file, path)).transpose()
    }
}

impl SameDirectory {
    fn find(self, reference: &Reference<'_>, access: Access) -> Result<Option<(File, PathBuf)>> {
        if reference.kind == ReferenceKind::Parent && !reference.guarded {
            return Err(reference.not_allowed("no identity of it is recorded, so that it could be any file"));
        }
        let folder = reference.folder()?;
        let components = components(reference)?;
        match safe_open::open_beneath(folder, &components, access) {
            Ok(file) => {
                let path = components.iter().fold(folder.to_path_buf(), |path, part| path.join(part));
                Ok(Some((file, path)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                Err(reference.not_allowed("it is not a plain file"))
            }
            Err(e) if safe_open::is_escape(&e) => Err(reference
                .not_allowed("it leads over a symbolic link, out of the image's folder or through a file")),
            Err(e) => Err(Error::io("open", components.join("/"), e)),
        }
    }
}

/// Opens any plain file that an image names. Only for images that are trusted like a program.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyPath;

impl Resolver for AnyPath {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        let file = self.find(reference, safe_open::open_any)?;
        file.map(|(file, path)| image_file(file, path, reference)).transpose()
    }

    fn open_writable(&self, reference: &Reference<'_>) -> Result<Option<WritableFile>> {
        let file = self.find(reference, safe_open::open_any_writable)?;
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
        let path = named(folder, name);
        match open(&path).and_then(|file| Ok((file.metadata()?.is_file(), file))) {
            Ok((true, file)) => Ok(Some((file, path))),
            Ok((false, _)) => Err(reference.not_allowed("it is not a plain file")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("open", path.display().to_string(), e)),
        }
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
    let storage =
        FileStorage::from_file(file).map_err(|e| Error::io("open", path.display().to_string(), e))?;
    WritableFile::lock(storage, path)
}

fn image_file(file: File, path: PathBuf, reference: &Reference<'_>) -> Result<ImageFile> {
    let storage =
        FileStorage::from_file(file).map_err(|e| Error::io("open", path.display().to_string(), e))?;
    ImageFile::at_path(Arc::new(storage), path, reference.role())
}

/// Where the file lies that an image in `folder` calls `name`, whatever that leads to.
fn named(folder: &Path, name: &str) -> PathBuf {
    if Path::new(name).is_absolute() {
        PathBuf::from(name)
    } else if cfg!(not(windows)) && is_windows_absolute(name) {
        // A VHD writes all absolute names so, wherever it was made. Of another machine's the last part may still be here.
        let from_root = name.starts_with('\\').then(|| PathBuf::from(name.replace('\\', "/")));
        from_root.filter(|path| path.is_file()).unwrap_or_else(|| folder.join(last_part(name)))
    } else {
        name.split(['/', '\\']).fold(folder.to_path_buf(), |path, part| path.join(part))
    }
}

/// The last part of a path of any system.
fn last_part(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// `C:\…`, `\\server\share\…`, `\\?\…`, `\…`
fn is_windows_absolute(name: &str) -> bool {
    let bytes = name.as_bytes();
    name.starts_with('\\')
        || (bytes.len() >= 3
            && bytes[0].is_ascii_alphabetic()
            && bytes[1] == b':'
            && matches!(bytes[2], b'\\' | b'/'))
}

/// The plain names that lead from the folder to the file, or the reason why this name may not be followed.
fn components<'a>(reference: &Reference<'a>) -> Result<Vec<&'a str>> {
    let refuse = |reason| Err(reference.not_allowed(reason));
    let mut name = reference.name;
    if name.is_empty() || name.contains('\0') {
        return refuse("it is empty or holds a NUL");
    }
    if is_windows_absolute(name) || name.starts_with('/') {
        if !reference.guarded {
            return refuse("it is an absolute path");
        }
        name = last_part(name);
    }
    if name.is_empty() || name.ends_with(['/', '\\']) {
        return refuse("it names a folder");
    }
    let parts: Vec<&str> = name.split(['/', '\\']).filter(|part| !matches!(*part, "." | "")).collect();
    for part in &parts {
        if *part == ".." {
            return refuse("it leaves the image's folder");
        }
        if part.contains(':') {
            return refuse("it is a URL, a drive or an alternate stream");
        }
        if part.len() > MAX_NAME {
            return refuse("a part of it is longer than any file's name");
        }
        if is_device_name(part) {
            return refuse("it is the name of a device");
        }
    }
    if parts.is_empty() {
        return refuse("it names a folder");
    }
    Ok(parts)
}

/// Bytes of a file's name: the limit of the file systems of Linux and macOS, and a lenient one of Windows'.
const MAX_NAME: usize = 255;

/// Names that Windows takes for devices in any folder, with or without an extension.
fn is_device_name(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    let numbered = |prefix| {
        stem.strip_prefix(prefix)
            .is_some_and(|digit: &str| digit.len() == 1 && digit.as_bytes()[0].is_ascii_digit())
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    fn parts(name: &str, kind: ReferenceKind) -> Option<Vec<String>> {
        let storage = Arc::new(MemoryStorage::default());
        let referrer = ImageFile::at_path(storage, "/images/child.vhd", FileRole::Image).expect("has a size");
        let parts = components(&Reference {
            name,
            kind,
            guarded: kind == ReferenceKind::Parent,
            referrer: &referrer,
        })
        .ok()?;
        Some(parts.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn names_that_stay_in_the_folder() {
        for kind in [ReferenceKind::Parent, ReferenceKind::Extent] {
            assert_eq!(parts("a.vmdk", kind), Some(vec!["a.vmdk".to_owned()]));
            assert_eq!(parts(".\\a.vhd", kind), Some(vec!["a.vhd".to_owned()]));
            assert_eq!(parts("./sub\\a b.vhd", kind), Some(vec!["sub".to_owned(), "a b.vhd".to_owned()]));
        }
    }

    #[test]
    fn absolute_parents_count_by_their_last_part() {
        for name in
            ["C:\\images\\b.vhd", "\\\\server\\share\\b.vhd", "\\\\?\\C:\\x\\b.vhd", "/vmfs/volumes/x/b.vhd"]
        {
            assert_eq!(parts(name, ReferenceKind::Parent), Some(vec!["b.vhd".to_owned()]), "{name}");
            assert_eq!(parts(name, ReferenceKind::Extent), None, "{name}");
        }
    }

    #[test]
    fn names_that_lead_away() {
        for name in [
            "",
            "a\0b",
            "../a",
            "sub/../../a",
            "..\\a",
            "nbd://x/y",
            "json:{}",
            "a.vhd:stream",
            "sub/",
            "CON",
            "nul.vhd",
            ".",
        ] {
            for kind in [ReferenceKind::Parent, ReferenceKind::Extent] {
                assert_eq!(parts(name, kind), None, "{name:?}");
            }
        }
    }
}
