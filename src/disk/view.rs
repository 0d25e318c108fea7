//! What of a disk that is open for writing is read, beside its changes, and the same as a [`Disk`].
//!
//! A mapping into the image's files holds only until space is given back, so that none leaves this file: a view says of its
//! bytes that they lie in the disk itself, which finds them when they are read, under its lock. Nor does a view keep the
//! image open, and locked: it ends with it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};

use super::Disk;
use super::layer::{FileIndex, Layer, LayerInfo, Mapping, MappingKind, Sealed};
use crate::error::{Error, Result};
use crate::storage::{FileIdentity, FileRole, ImageFile, ReadAt};

/// The disk, and whether it can be used.
pub(super) struct Shown {
    pub(super) disk: Disk,
    /// Held together by all, but alone by what gives space back that a reader may have its eyes on.
    pub(super) state: RwLock<State>,
    /// Whether a change ended in a panic: how far it came is unknown.
    pub(super) broken: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// A flush failed: what is durable is unknown.
    Poisoned,
    Closed,
}

impl Shown {
    pub(super) fn new(disk: Disk) -> Self {
        Self { disk, state: RwLock::new(State::Open), broken: AtomicBool::new(false) }
    }

    pub(super) fn size(&self) -> u64 {
        self.disk.size()
    }

    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let _state = self.shared()?;
        self.disk.read_at(buf, offset)
    }

    pub(super) fn shared(&self) -> Result<RwLockReadGuard<'_, State>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        self.usable(*state).map(|()| state)
    }

    pub(super) fn usable(&self, state: State) -> Result<()> {
        match state {
            State::Closed => Err(Error::Closed { file: self.name() }),
            State::Open if !self.broken.load(Ordering::Acquire) => Ok(()),
            _ => Err(Error::Poisoned { file: self.name() }),
        }
    }

    pub(super) fn name(&self) -> String {
        name(&self.disk)
    }

    /// The disk as one layer whose bytes lie in it.
    pub(super) fn view(self: &Arc<Self>) -> Result<Disk> {
        let _state = self.shared()?;
        let layers = self.disk.chain();
        let Some((top, parents)) = layers.split_first() else { return Ok(self.disk.clone()) };
        let mut info = LayerInfo::new(top.info().format, top.info().subformat, self.disk.size());
        info.logical_sector_size = top.info().logical_sector_size;
        info.physical_sector_size = top.info().physical_sector_size;
        info.block_size = top.info().block_size;
        info.id = top.info().id;
        info.geometry = top.info().geometry;
        info.creator.clone_from(&top.info().creator);
        info.compressed = layers.iter().any(|layer| layer.info().compressed);
        info.warnings = self.disk.warnings().cloned().collect();
        let name = name(&self.disk);
        // Whoever writes beside it must know its files, though their bytes are not had from them.
        let own = top.files().iter().map(|file| {
            let identity = file.storage().identity();
            let storage = Source { disk: Arc::downgrade(self), name: name.clone(), identity };
            file.clone().with_role(FileRole::Disk).with_storage(Arc::new(storage))
        });
        let mut files = own.collect::<Result<Vec<_>>>()?;
        files.extend(parents.iter().flat_map(|layer| layer.files()).cloned());
        let disk = Arc::downgrade(self);
        Ok(Disk::new(vec![Arc::new(View { info, files, disk, name })], None, Vec::new()))
    }
}

/// How messages call the image.
fn name(disk: &Disk) -> String {
    let file = disk.chain().iter().flat_map(|layer| layer.files()).next();
    file.map_or_else(|| "(image)".to_owned(), |file| file.name().to_owned())
}

fn open(disk: &Weak<Shown>, name: &str) -> Result<Arc<Shown>> {
    disk.upgrade().ok_or_else(|| Error::Closed { file: name.to_owned() })
}

struct View {
    info: LayerInfo,
    /// The image's own, each with the content of the disk; those of the parents follow.
    files: Vec<ImageFile>,
    disk: Weak<Shown>,
    name: String,
}

impl Sealed for View {}

impl Layer for View {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let shown = open(&self.disk, &self.name)?;
        let _state = shown.shared()?;
        let first = shown.disk.extents(offset..offset.saturating_add(limit)).skip_holes().next();
        let Some(extent) = first.transpose()? else { return Ok(Mapping::absent(limit)) };
        Ok(match extent.kind {
            MappingKind::Zero => Mapping::zero(extent.len),
            MappingKind::Absent => Mapping::absent(extent.len),
            MappingKind::Stored { .. } | MappingKind::Packed(_) => {
                Mapping::stored(extent.len, FileIndex(0), offset)
            }
        })
    }

    fn is_image(&self) -> bool {
        false
    }
}

/// The disk's bytes, as those of one of its files.
struct Source {
    disk: Weak<Shown>,
    name: String,
    identity: Option<FileIdentity>,
}

impl ReadAt for Source {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let shown = open(&self.disk, &self.name)?;
        ReadAt::read_at(&*shown, buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&*open(&self.disk, &self.name)?)
    }

    fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }
}
