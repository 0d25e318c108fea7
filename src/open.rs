//! Opening an image, with its parents.

mod merging;
mod parents;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parents::Chain;

use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Disk, Layer, WritableDisk};
use crate::error::{Error, Result};
use crate::format::{self, Choices, OpenContext, vhd::SizeField, vmdk::GrainTables};
use crate::leaves::Format;
use crate::storage::{
    FileRole, FileStorage, ImageFile, NoExternal, ReadAt, Resolver, SameDirectory, WritableFile, WriteAt,
};

/// Layers that a chain may have unless [`Open::max_depth`] says otherwise.
const DEFAULT_DEPTH: usize = 64;
/// Layers that a chain may have whatever the caller says.
const HARD_DEPTH: usize = 1024;
/// Endings of names under which a file without any signature is taken for a raw disk.
const RAW_ENDINGS: [&str; 4] = ["raw", "img", "dd", "bin"];

/// Opens the image at `path` for reading, with all its parents.
///
/// The format is detected from the content. Parents and extents must lie in the image's own folder and bear the
/// recorded identities. No file is changed, ever: a log that was left dirty is replayed in memory.
///
/// # Errors
///
/// See [`Error`]: the image is damaged, hostile or unsupported; a parent is missing or another one; reading fails.
pub fn open(path: impl AsRef<Path>) -> Result<Disk> {
    Open::new().open_path(path)
}

/// How to open an image; what is not said has a sensible default.
///
/// ```
/// use std::sync::Arc;
/// use diskport::{Format, Open};
/// use diskport::storage::{FileStorage, NoExternal};
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let storage = FileStorage::open(image).expect("the file opens");
/// let disk = Open::new().format(Format::Vhdx).resolver(NoExternal).open(storage)?;
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Clone)]
pub struct Open {
    format: Option<Format>,
    resolver: Option<Arc<dyn Resolver>>,
    parent: Option<PathBuf>,
    ignore_parent_mismatch: bool,
    missing_parent_allowed: bool,
    max_depth: usize,
    choices: Choices,
}

impl Default for Open {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("format", &self.format)
            .field("parent", &self.parent)
            .finish_non_exhaustive()
    }
}

impl Open {
    /// The defaults: format detected, parents and extents in the image's own folder.
    pub fn new() -> Self {
        Self {
            format: None,
            resolver: None,
            parent: None,
            ignore_parent_mismatch: false,
            missing_parent_allowed: false,
            max_depth: DEFAULT_DEPTH,
            choices: Choices::default(),
        }
    }

    /// Takes the image for one of this format, whatever its content looks like. Parents are still detected.
    pub fn format(self, format: Format) -> Self {
        Self { format: Some(format), ..self }
    }

    /// Who opens the parents and extents that images name. By default [`SameDirectory`] for an image opened by
    /// path, and [`NoExternal`] for one opened from a storage.
    pub fn resolver(self, resolver: impl Resolver + 'static) -> Self {
        Self { resolver: Some(Arc::new(resolver)), ..self }
    }

    /// The parent of the image, wherever it lies. It must still bear the identity recorded.
    pub fn parent(self, path: impl Into<PathBuf>) -> Self {
        Self { parent: Some(path.into()), ..self }
    }

    /// Reads over a parent that is not the one recorded. The content is wrong wherever the two differ.
    pub fn ignore_parent_mismatch(self, ignore: bool) -> Self {
        Self { ignore_parent_mismatch: ignore, ..self }
    }

    /// Opens an image whose parent is missing, is another one, or may not be opened, so that what it says of itself can be
    /// looked at. Reading its content then fails with [`Error::Incomplete`].
    pub fn allow_missing_parent(self, allow: bool) -> Self {
        Self { missing_parent_allowed: allow, ..self }
    }

    /// How many layers a chain may have: 64 by default, 1024 at most.
    pub fn max_depth(self, layers: usize) -> Self {
        Self { max_depth: layers.clamp(1, HARD_DEPTH), ..self }
    }

    /// Which field gives the size of a VHD whose footer disagrees with itself.
    pub fn vhd_size(mut self, field: SizeField) -> Self {
        self.choices.vhd_size = field;
        self
    }

    /// Which grain table of a VMDK is read where its two copies differ.
    pub fn grain_tables(mut self, tables: GrainTables) -> Self {
        self.choices.grain_tables = tables;
        self
    }

    /// Opens the image in `storage`.
    ///
    /// # Errors
    ///
    /// As [`open`](fn@open).
    pub fn open(&self, storage: impl ReadAt + 'static) -> Result<Disk> {
        let file = ImageFile::new(Arc::new(storage), "(image)", FileRole::Image)?;
        self.open_file(file, &NoExternal)
    }

    /// Opens the image at `path`.
    ///
    /// # Errors
    ///
    /// As [`open`](fn@open).
    pub fn open_path(&self, path: impl AsRef<Path>) -> Result<Disk> {
        self.open_file(image_at(path.as_ref())?, &SameDirectory)
    }

    /// Opens the image at `path` for writing, and locks it; its parents are only read.
    ///
    /// # Errors
    ///
    /// As [`open`](fn@open); [`Error::Locked`]; [`Error::NotWritable`]; [`Error::Defect`] for whatever
    /// [`check`](Self::check) calls an error. Nothing is changed then.
    pub fn open_writable(&self, path: impl AsRef<Path>) -> Result<WritableDisk> {
        self.writable(WritableFile::open(path.as_ref())?, &SameDirectory)
    }

    /// Opens the image in `storage` for writing.
    ///
    /// # Errors
    ///
    /// As [`open_writable`](Self::open_writable).
    pub fn open_writable_storage(&self, storage: impl WriteAt + 'static) -> Result<WritableDisk> {
        self.writable(WritableFile::new(Arc::new(storage), "(image)"), &NoExternal)
    }

    fn writable(&self, file: WritableFile, default: &dyn Resolver) -> Result<WritableDisk> {
        let disk = self.open_file(file.image(FileRole::Image)?, default)?;
        disk.check_complete()?;
        merging::check_not_merging(disk.chain())?;
        let Some(top) = disk.chain().first() else {
            return Err(Error::NotRecognised { file: file.name().to_owned() });
        };
        let context = self.context(default);
        let top = format::open_writable(top.info().format, file, disk.parent(), &context)?;
        Ok(WritableDisk::new(&disk, Arc::from(top)))
    }

    /// The same options for another image of a chain, whose format is known.
    pub(crate) fn for_layer(&self, format: Format) -> Self {
        self.for_parent(Some(format))
    }

    /// The same options for an image that a child is to lie on.
    pub(crate) fn for_parent(&self, format: Option<Format>) -> Self {
        Self { format, parent: None, missing_parent_allowed: false, ..self.clone() }
    }

    /// Opens the image in `file`, which the caller has locked, for reading.
    pub(crate) fn open_held(&self, file: &WritableFile) -> Result<Disk> {
        self.open_file(file.image(FileRole::Image)?, &SameDirectory)
    }

    /// Records a parent in the image in `file`, which keeps its content's identity.
    pub(crate) fn record_parent(
        &self,
        file: WritableFile,
        default: &dyn Resolver,
        link: &ParentLink<'_>,
        parent: &Disk,
    ) -> Result<()> {
        let format = self.format_of(&file.image(FileRole::Image)?)?;
        let top = format::open_writable(format, file, Some(parent.clone()), &self.context(default))?;
        if let Some(id) = top.info().data_id {
            top.set_data_id(id);
        }
        top.set_parent(link)?;
        top.close()
    }

    /// One image, by itself, at `path`: headers only.
    pub(crate) fn layer(&self, path: &Path) -> Result<Box<dyn Layer>> {
        let file = image_at(path)?;
        format::open(self.format_of(&file)?, file, &self.context(&SameDirectory))
    }

    /// Opens `file`, a new child of `parent`, for writing.
    pub(crate) fn over(&self, file: WritableFile, parent: &Disk) -> Result<WritableDisk> {
        let context = self.context(&NoExternal);
        let format = detect(&file.image(FileRole::Image)?)?;
        let top = format::open_writable(format, file, Some(parent.clone()), &context)?;
        let top: Arc<dyn WriteLayer> = Arc::from(top);
        let layers = std::iter::once(top.clone() as _).chain(parent.chain().iter().cloned()).collect();
        Ok(WritableDisk::new(&Disk::new(layers, None, Vec::new()), top))
    }

    /// The format of `file`: as it was said, or as its content shows.
    pub(crate) fn format_of(&self, file: &ImageFile) -> Result<Format> {
        self.format.map_or_else(|| detect(file), Ok)
    }

    /// What formats need of these options.
    pub(crate) fn context<'a>(&'a self, default: &'a dyn Resolver) -> OpenContext<'a> {
        let resolver = self.resolver.as_deref().unwrap_or(default);
        OpenContext { resolver, choices: self.choices }
    }

    fn open_file(&self, file: ImageFile, default: &dyn Resolver) -> Result<Disk> {
        let context = self.context(default);
        Chain::new(self, context).open(file)
    }
}

/// The file at a path that the caller chose.
pub(crate) fn image_at(path: &Path) -> Result<ImageFile> {
    let storage = FileStorage::open(path).map_err(|e| Error::io("open", path.display().to_string(), e))?;
    ImageFile::at_path(Arc::new(storage), path, FileRole::Image)
}

/// The one format that `file` can be.
fn detect(file: &ImageFile) -> Result<Format> {
    let formats = format::probe(file)?;
    match formats[..] {
        [format] => Ok(format),
        [] => {
            let ending = file.path().and_then(Path::extension).and_then(|ending| ending.to_str());
            let raw =
                ending.is_some_and(|ending| RAW_ENDINGS.iter().any(|raw| raw.eq_ignore_ascii_case(ending)));
            raw.then_some(Format::Raw).ok_or(Error::NotRecognised { file: file.name().to_owned() })
        }
        _ => Err(Error::AmbiguousFormat { file: file.name().to_owned(), formats }),
    }
}
