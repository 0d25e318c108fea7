//! Opening an image, with its parents.

mod detect;
mod merging;
mod parents;
pub(crate) mod pending;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use detect::detect;
use parents::{Chain, Steady};

use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{Disk, Layer, Losses, WritableDisk};
use crate::error::{Error, Result};
use crate::format::{self, Choices, OpenContext, vhd::SizeField, vmdk::GrainTables};
use crate::job::Job;
use crate::leaves::Format;
use crate::storage::resolver::{Named, Placed};
use crate::storage::{FileRole, ImageFile, Place, Resolver, SameDirectory, WritableFile, WriteAt};

/// Layers that a chain may have unless [`Open::max_depth`] says otherwise.
const DEFAULT_DEPTH: usize = 64;
/// Layers that a chain may have whatever the caller says.
const HARD_DEPTH: usize = 1024;

/// Opens an image for reading, with all its parents.
///
/// The [place](Place) of the image is a path, or a storage. The format is detected from the content. Parents and extents must lie in the image's own folder, and parents bear the
/// recorded identities. No file is changed, ever: a log that was left dirty is replayed in memory.
///
/// # Safety of what is opened
///
/// An image comes from someone, and names other files; the content of a raw disk is its guest's own. So that nobody is handed
/// files of the host, or of a neighbour, as his disk's content:
///
/// - What may be a raw disk, by a name that ends in `.raw`, `.img`, `.dd` or `.bin`, or since it is a block device, is never taken
///   for a container by its content alone: a signature in it is [`Error::AmbiguousFormat`] until [`Open::format`] says what it is.
///   Who knows that a disk is raw should always say so.
/// - Whatever else an image names is opened by a [`Resolver`] and by nothing else: by default [`SameDirectory`], which opens
///   nothing for an image that is not opened by path.
/// - A parent of which no identity is recorded, as none is of a raw disk, could be any file: it is opened only when
///   the caller names it, by [`Open::parent`], by a resolver that lists it ([`Explicit`](crate::storage::Explicit)), or by one that
///   opens anything ([`AnyPath`](crate::storage::AnyPath)).
/// - Extents have no identity at all: an image with extents shows what lies beside it under the names that it gives. Images of
///   others belong into a folder of their own, or are opened with [`NoExternal`](crate::storage::NoExternal).
///
/// # Errors
///
/// See [`Error`]: the image is damaged, hostile or unsupported; a parent is missing or another one; reading fails.
pub fn open(image: impl Into<Place>) -> Result<Disk> {
    Open::new().open(image)
}

/// How to open an image; what is not said has a sensible default.
///
/// ```
/// use diskport::{Format, Open};
/// use diskport::storage::NoExternal;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = Open::new().format(Format::Vhdx).resolver(NoExternal).open(image)?;
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Clone)]
pub struct Open {
    format: Option<Format>,
    resolver: Option<Arc<dyn Resolver>>,
    parent: Option<Place>,
    parent_format: Option<Format>,
    extents: Vec<(String, Place)>,
    /// The names in the descriptors that were read, by this value and those that were made of it.
    named: Arc<Named>,
    ignore_parent_mismatch: bool,
    missing_parent_allowed: bool,
    change_ignored: bool,
    max_depth: usize,
    choices: Choices,
    losses: Option<Losses>,
    pub(crate) job: Job,
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
            parent_format: None,
            extents: Vec::new(),
            named: Arc::default(),
            ignore_parent_mismatch: false,
            missing_parent_allowed: false,
            change_ignored: false,
            max_depth: DEFAULT_DEPTH,
            choices: Choices::default(),
            losses: None,
            job: Job::new(),
        }
    }

    /// Takes the image for one of this format, whatever its content looks like. Parents are still detected; see
    /// [`parent_format`](Self::parent_format).
    pub fn format(self, format: Format) -> Self {
        Self { format: Some(format), ..self }
    }

    /// Who opens the parents and extents that images name; by default [`SameDirectory`].
    pub fn resolver(self, resolver: impl Resolver + 'static) -> Self {
        Self { resolver: Some(Arc::new(resolver)), ..self }
    }

    /// The parent of the image, wherever it lies. It must still bear the identity recorded.
    pub fn parent(self, parent: impl Into<Place>) -> Self {
        Self { parent: Some(parent.into()), ..self }
    }

    /// Takes the [`parent`](Self::parent) for one of this format, whatever its content looks like; and any parent of the chain of
    /// which no identity is recorded, as none is of a raw disk.
    pub fn parent_format(self, format: Format) -> Self {
        Self { parent_format: Some(format), ..self }
    }

    /// The extent that images call `name`, or whose name ends in this part, wherever it lies. It must be named by the image, or by
    /// one of its parents: else [`Error::NoSuchExtent`] says which there are. One in a storage is only read; an
    /// [`Explicit`](crate::storage::Explicit) has storages that are written to.
    pub fn extent(mut self, name: impl Into<String>, extent: impl Into<Place>) -> Self {
        self.extents.push((name.into(), extent.into()));
        self
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

    /// How far a [check](Self::check), a [repair](Self::repair) or a [compaction](WritableDisk::compact) of the image has come,
    /// and what stops it.
    pub fn job(self, job: &Job) -> Self {
        Self { job: job.clone(), ..self }
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

    /// Opens a damaged image for reading, as far as it can be read; see [`Disk::salvaged`]. What cannot be is added to
    /// `losses`. Beside what other disks lose, these do:
    /// - what the log of a VHDX holds, when it cannot be replayed,
    /// - what lies beyond the end of a file that was cut,
    /// - what a missing parent or extent holds, or one that is another, may not be opened, or cannot be read at all.
    ///
    /// Headers, and what else says how large the disk is and where its tables are, must be sound. Nothing else than reading
    /// is changed by it: [`check`](Self::check) finds what it finds, and damaged images are not written to.
    pub fn salvage(self, losses: &Losses) -> Self {
        Self { losses: Some(losses.clone()), ..self }
    }

    /// Writes also to files that VMware or Citrix Provisioning say beside them to use. Those locks stay behind when a program
    /// dies; the system's own, which do not, are never ignored.
    pub fn ignore_locks(mut self, ignore: bool) -> Self {
        self.choices.ignore_locks = ignore;
        self
    }

    /// Opens `image` for reading.
    ///
    /// # Errors
    ///
    /// As [`open`](fn@open).
    pub fn open(&self, image: impl Into<Place>) -> Result<Disk> {
        let image = image.into();
        match image.path().and_then(pending::find).filter(|_| !self.change_ignored) {
            Some(change) => self.changed(image, &change),
            None => self.open_file(image.image(FileRole::Image)?),
        }
    }

    /// The same, whatever extents the caller has placed.
    pub(crate) fn open_unchecked(&self, path: &Path) -> Result<Disk> {
        self.chain().open(Place::from(path).image(FileRole::Image)?)
    }

    /// Opens `image` for writing, and locks it if it is a file; its parents are only read, and kept from being written to.
    ///
    /// # Errors
    ///
    /// As [`open`](fn@open); [`Error::Locked`]; [`Error::NotWritable`]; [`Error::Defect`] for whatever
    /// [`check`](Self::check) calls an error. Nothing is changed then.
    pub fn open_writable(&self, image: impl Into<Place<dyn WriteAt>>) -> Result<WritableDisk> {
        self.writable(self.lock(image)?)
    }

    /// The file of `image`, locked for writing, if no other program uses it.
    pub(crate) fn lock(&self, image: impl Into<Place<dyn WriteAt>>) -> Result<WritableFile> {
        let image = image.into();
        image.path().map_or(Ok(()), |path| self.check_not_changing(path))?;
        let file = image.writable()?;
        if !self.choices.ignore_locks {
            file.check_not_claimed()?;
        }
        Ok(file)
    }

    /// Opens the image at `path` for reading, and keeps writers from it and its parents while it is open.
    pub(crate) fn open_steady(&self, path: &Path) -> Result<Disk> {
        self.chain().steady(Steady::All).open(Place::from(path).image(FileRole::Image)?)
    }

    fn writable(&self, file: WritableFile) -> Result<WritableDisk> {
        let opened = self.chain().steady(Steady::Parents).open(file.image(FileRole::Image)?);
        let disk = self.with_all_known(opened)?;
        disk.check_complete()?;
        merging::check_not_merging(disk.chain())?;
        let Some(top) = disk.chain().first() else {
            return Err(Error::NotRecognised { file: file.name().to_owned() });
        };
        let top = format::open_writable(top.info().format, file.clone(), disk.parent(), &self.context())?;
        let open = self.clone();
        let job = self.job.clone();
        Ok(WritableDisk::new(&disk, Arc::from(top), job, move || open.writable(file.clone())))
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
        self.open_file(file.image(FileRole::Image)?)
    }

    /// Records a parent in the image in `file`, which keeps its content's identity.
    pub(crate) fn record_parent(
        &self,
        file: WritableFile,
        link: &ParentLink<'_>,
        parent: &Disk,
    ) -> Result<()> {
        let format = self.format_of(&file.image(FileRole::Image)?)?;
        let top = format::open_writable(format, file, Some(parent.clone()), &self.context())?;
        if let Some(id) = top.info().data_id {
            top.set_data_id(id);
        }
        top.set_parent(link)?;
        top.close()
    }

    /// The files of the image in `file` that are written when it is, `file` first, the others opened for that and locked.
    pub(crate) fn own_files(&self, file: &WritableFile, format: Format) -> Result<Vec<WritableFile>> {
        format::own_files(format, file, &self.context())
    }

    /// One image, by itself, at `path`, whatever its name ends in: headers only.
    pub(crate) fn layer(&self, path: &Path) -> Result<Box<dyn Layer>> {
        let file = Place::from(path).image(FileRole::Image)?;
        match format::probe(&file)?[..] {
            [format] => format::open(format, file, &self.context()),
            _ => Err(Error::NotRecognised { file: file.name().to_owned() }),
        }
    }

    /// Opens `file`, a new child of `parent`, for writing; writers are kept from the parent while it is open.
    pub(crate) fn over(&self, file: WritableFile, parent: &Disk) -> Result<WritableDisk> {
        let held = Arc::new(parent.hold()?);
        let format = parent.chain().first().map_or(Format::Raw, |top| top.info().format).of_child();
        let top = format::open_writable(format, file.clone(), Some(parent.clone()), &self.context())?;
        let top: Arc<dyn WriteLayer> = Arc::from(top);
        let layers = std::iter::once(top.clone() as _).chain(parent.chain().iter().cloned()).collect();
        let (open, parent) = (self.clone(), parent.clone());
        let reopen = move || {
            // Not given up until it is open again.
            let _held = &held;
            open.over(file.clone(), &parent)
        };
        Ok(WritableDisk::new(&Disk::new(layers, None, Vec::new()), top, self.job.clone(), reopen))
    }

    /// The format of `file`: as it was said, or as its content shows.
    pub(crate) fn format_of(&self, file: &ImageFile) -> Result<Format> {
        self.format.map_or_else(|| detect(file), Ok)
    }

    /// Who opens what images name.
    pub(crate) fn policy(&self) -> &dyn Resolver {
        self.resolver.as_deref().unwrap_or(&SameDirectory)
    }

    /// What formats need of these options.
    pub(crate) fn context(&self) -> OpenContext<'_> {
        let resolver = Placed { extents: &self.extents, named: Some(&self.named), others: self.policy() };
        OpenContext { resolver, choices: self.choices }
    }

    /// Opens `file` for reading.
    fn open_file(&self, file: ImageFile) -> Result<Disk> {
        let Some(losses) = &self.losses else { return self.with_all_known(self.chain().open(file)) };
        let mut context = self.context();
        context.choices.salvage = true;
        self.with_all_known(Chain::new(self, context).open(file))?.salvaged(losses)
    }

    /// What came of opening an image, unless the caller says of an extent where it lies that no image of it names.
    pub(crate) fn with_known_extents<T>(&self, opened: Result<T>) -> Result<T> {
        if opened.as_ref().err().is_none_or(Error::is_about_extents) {
            self.check_extents()?;
        }
        opened
    }

    /// The same of a chain: one that lacks a parent may lack the image that has the extent.
    fn with_all_known(&self, opened: Result<Disk>) -> Result<Disk> {
        match opened {
            Ok(disk) if disk.incomplete().is_some() => Ok(disk),
            opened => self.with_known_extents(opened),
        }
    }

    /// Refuses a place of an extent that no descriptor has named.
    pub(crate) fn check_extents(&self) -> Result<()> {
        match self.extents.iter().find(|(name, _)| !self.named.contain(name)) {
            Some((name, _)) => Err(Error::NoSuchExtent { name: name.clone(), named: self.named.list() }),
            None => Ok(()),
        }
    }

    fn chain(&self) -> Chain<'_> {
        Chain::new(self, self.context())
    }
}
