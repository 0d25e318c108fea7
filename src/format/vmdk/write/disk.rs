//! A disk that is open for writing: its extents one after the other.

use std::collections::HashSet;
use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::grain_map::GrainMap;
use super::super::grain_table::TablePages;
use super::super::layout::{SECTOR, SparseExtentHeader};
use super::descriptor::DescriptorText;
use super::sparse::Sparse;
use super::{pack, parent, resize};
use crate::disk::write::{ParentLink, WriteLayer};
use crate::disk::{FileIndex, Identity, Layer, LayerInfo, Mapping, Sealed};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::storage::{ImageFile, WritableFile};

/// A VMDK that is open for writing.
pub(in super::super) struct WritableVmdk {
    info: LayerInfo,
    files: Vec<ImageFile>,
    /// The same files for writing, where they are written.
    writable: Vec<Option<WritableFile>>,
    pages: TablePages,
    pub(super) parts: Vec<Part>,
    descriptor: Mutex<DescriptorText>,
    /// Whether anything was changed since the disk was opened.
    changed: AtomicBool,
    /// The content id that the first change brings, where it is not to be random.
    next_cid: Mutex<Option<Identity>>,
}

/// One extent.
pub(super) struct Part {
    /// The bytes of the disk that it holds.
    pub(super) range: Range<u64>,
    /// Where its line stands in the descriptor.
    pub(super) line: usize,
    pub(super) writer: Writer,
}

/// How an extent is written.
pub(super) enum Writer {
    /// Not at all.
    Zero,
    Flat {
        index: FileIndex,
        offset: u64,
    },
    ReadOnlyFlat {
        index: FileIndex,
        offset: u64,
    },
    Sparse(Box<Sparse>),
    ReadOnlySparse(GrainMap),
}

/// What is done to a part of an extent.
type Action<'a> = &'a mut dyn FnMut(&Writer, Range<u64>) -> Result<()>;

impl WritableVmdk {
    pub(super) fn new(
        (info, files, pages): (LayerInfo, Vec<ImageFile>, TablePages),
        writable: Vec<Option<WritableFile>>,
        parts: Vec<Part>,
        descriptor: DescriptorText,
    ) -> Self {
        let (descriptor, next_cid) = (Mutex::new(descriptor), Mutex::new(None));
        Self { info, files, writable, pages, parts, descriptor, changed: AtomicBool::new(false), next_cid }
    }

    /// A file for writing, where it is one.
    pub(super) fn file(&self, index: FileIndex) -> Option<&WritableFile> {
        self.writable.get(index.0 as usize)?.as_ref()
    }

    pub(super) fn descriptor(&self) -> MutexGuard<'_, DescriptorText> {
        self.descriptor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sparse(&self) -> impl Iterator<Item = &Sparse> {
        self.parts.iter().filter_map(|part| match &part.writer {
            Writer::Sparse(sparse) => Some(&**sparse),
            _ => None,
        })
    }

    /// The error for a change of an extent that is not written.
    fn read_only(&self, part: &Part) -> Error {
        let what = match part.writer {
            Writer::Zero => "of zeros (ZERO)",
            _ => "that is only read (RDONLY)",
        };
        let Range { start, end } = part.range;
        let reason = format!("{start}..{end} of the disk lies in an extent {what}");
        Error::NotWritable { file: self.files[0].name().to_owned(), reason }
    }

    /// The extents that `range` of the disk lies in.
    fn parts(&self, range: &Range<u64>) -> &[Part] {
        let first = self.parts.partition_point(|part| part.range.end <= range.start);
        let last = self.parts.partition_point(|part| part.range.start < range.end);
        &self.parts[first..last]
    }

    /// Does something to each part of `range`, with the place in its extent. Nothing is done when one of them is not written;
    /// with `zeros`, that does not hold for extents of zeros, of which nothing is done either.
    fn each(&self, range: Range<u64>, zeros: bool, action: Action<'_>) -> Result<()> {
        let parts = self.parts(&range);
        for part in parts {
            match &part.writer {
                Writer::Zero if zeros => {}
                Writer::Zero | Writer::ReadOnlySparse(_) | Writer::ReadOnlyFlat { .. } => {
                    return Err(self.read_only(part));
                }
                Writer::Flat { .. } | Writer::Sparse(_) => {}
            }
        }
        self.begin()?;
        parts.iter().try_for_each(|part| {
            let start = range.start.max(part.range.start) - part.range.start;
            action(&part.writer, start..range.end.min(part.range.end) - part.range.start)
        })
    }

    /// Before the first change: gives the content a new identity, and marks the sparse extents as not closed.
    pub(super) fn begin(&self) -> Result<()> {
        if self.changed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut descriptor = self.descriptor();
        if self.changed.load(Ordering::Acquire) {
            return Ok(());
        }
        let cid = *self.next_cid.lock().unwrap_or_else(PoisonError::into_inner);
        descriptor.change_cid(cid)?;
        for sparse in self.sparse() {
            mark(sparse.file(), true)?;
            sparse.file().sync()?;
        }
        descriptor.sync()?;
        self.changed.store(true, Ordering::Release);
        Ok(())
    }
}

/// Says in the header of a sparse extent whether it is open for writing.
pub(in super::super) fn mark(file: &WritableFile, unclean: bool) -> Result<()> {
    // A whole sector, which is what storage writes at least.
    let mut sector = [0; SECTOR as usize];
    file.read_exact_at(&mut sector, 0)?;
    sector[offset_of!(SparseExtentHeader, unclean_shutdown)] = unclean.into();
    file.write_all_at(&sector, 0)
}

impl Sealed for WritableVmdk {}

impl Layer for WritableVmdk {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let after = self.parts.partition_point(|part| part.range.start <= offset);
        let part = &self.parts[after - 1];
        let at = offset - part.range.start;
        let limit = limit.min(part.range.end - offset);
        match &part.writer {
            Writer::Zero => Ok(Mapping::zero(limit)),
            Writer::Flat { index, offset } | Writer::ReadOnlyFlat { index, offset } => {
                Ok(Mapping::stored(limit, *index, offset + at))
            }
            Writer::Sparse(sparse) => sparse.map(at, limit),
            Writer::ReadOnlySparse(map) => map.map(&self.files[map.file.0 as usize], &self.pages, at, limit),
        }
    }
}

impl WriteLayer for WritableVmdk {
    fn granularity(&self) -> u64 {
        SECTOR
    }

    fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        let mut rest = data;
        self.each(offset..offset + data.len() as u64, false, &mut |writer, range| {
            let (now, later) = rest.split_at((range.end - range.start) as usize);
            rest = later;
            match writer {
                Writer::Sparse(sparse) => sparse.write(now, range.start),
                Writer::Flat { index, offset } => {
                    self.file(*index).map_or(Ok(()), |file| file.write_all_at(now, offset + range.start))
                }
                _ => Ok(()),
            }
        })
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        self.zero(offset..offset + len, false)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.zero(offset..offset + len, true)
    }

    fn begin_in_place(&self, range: &Range<u64>) -> Result<()> {
        self.each(range.clone(), false, &mut |_, _| Ok(()))
    }

    fn flush(&self) -> Result<()> {
        self.sparse().try_for_each(Sparse::flush)?;
        // Publishing tables has made the files of sparse extents durable.
        let sparse: HashSet<u32> = self.sparse().map(|sparse| sparse.index().0).collect();
        let flat = (0..).zip(&self.writable).filter(|(index, _)| !sparse.contains(index));
        flat.filter_map(|(_, file)| file.as_ref()).try_for_each(WritableFile::sync)
    }

    fn close(&self) -> Result<()> {
        if !self.changed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.flush()?;
        for sparse in self.sparse() {
            mark(sparse.file(), false)?;
            sparse.file().sync()?;
        }
        Ok(())
    }

    fn check_size(&self, size: u64) -> Result<()> {
        resize::check_size(self, size).map(drop)
    }

    fn resize(&self, size: u64, _: &Job) -> Result<()> {
        self.flush()?;
        resize::resize(self, size)
    }

    fn pack(&self, job: &Job) -> Result<()> {
        self.sparse().try_for_each(|extent| pack::pack(extent, job))
    }

    fn set_parent(&self, parent: &ParentLink<'_>) -> Result<()> {
        // Nothing may be allocated where the descriptor goes.
        self.flush()?;
        parent::set_parent(&mut self.descriptor(), parent)
    }

    fn set_data_id(&self, id: Identity) {
        *self.next_cid.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }
}

impl WritableVmdk {
    fn zero(&self, range: Range<u64>, keep: bool) -> Result<()> {
        self.each(range, true, &mut |writer, range| match writer {
            Writer::Sparse(sparse) => sparse.zero(range.start, range.end - range.start, keep),
            Writer::Flat { index, offset } => {
                let range = offset + range.start..offset + range.end;
                self.file(*index).map_or(Ok(()), |file| file.zero(range))
            }
            _ => Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::copy::{Convert, OutputFormat};
    use crate::findings::Repairs;
    use crate::format::tools::context::{Choices, OpenContext};
    use crate::format::vmdk::Subformat;
    use crate::storage::{Fault, FaultyStorage, FileStorage, SameDirectory};
    use crate::{Disk, MIB, Open};

    const GRAIN: usize = 64 * 1024;

    fn open(path: &Path, call: u64) -> Result<WritableVmdk> {
        let storage = FileStorage::open_writable(path).expect("opens");
        let storage = FaultyStorage::new(storage, call, Fault::Error(ErrorKind::StorageFull));
        let context = OpenContext { resolver: (&SameDirectory).into(), choices: Choices::default() };
        super::super::open(WritableFile::at_path(Arc::new(storage), path), None, &context)
    }

    /// What the first two grains hold, each one thing all over.
    fn content(path: &Path) -> [u8; 2] {
        let checked = Open::new().repair(path, Repairs::Lossless).expect("repairs");
        assert!(checked.is_clean(), "{:#?}", checked.findings);
        let mut found = vec![0; 2 * GRAIN];
        Open::new().open(path).expect("opens").read_at(&mut found, 0).expect("reads");
        let (first, second) = found.split_at(GRAIN);
        assert!(first.iter().all(|byte| *byte == first[0]) && second.iter().all(|byte| *byte == second[0]));
        [first[0], second[0]]
    }

    /// Only some of the tables then name the first grain's place, which must not become the second one's.
    #[test]
    fn publishing_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk.vmdk");
        let kind = OutputFormat::Vmdk(Subformat::MonolithicSparse);
        Convert::new(&Disk::empty(MIB, 512)).to(kind).create(&path).expect("writes");
        let image = std::fs::read(&path).expect("reads");
        let mut failures = 0;
        for again in [false, true] {
            for end in [false, true] {
                for call in 1.. {
                    std::fs::write(&path, &image).expect("writes");
                    let Ok(disk) = open(&path, call) else { continue };
                    if disk.write(&[1; GRAIN], 0).is_err() {
                        continue;
                    }
                    let flushed = disk.flush();
                    if matches!(flushed, Err(Error::Poisoned { .. })) {
                        continue;
                    }
                    let step = disk.write_zeroes(0, GRAIN as u64);
                    let step = step.and_then(|()| disk.write(&[2; GRAIN], GRAIN as u64));
                    let step = step
                        .and_then(|()| if again { disk.write(&[3; GRAIN], 0) } else { Ok(()) })
                        .and_then(|()| if end { disk.close() } else { Ok(()) });
                    drop(disk);
                    let found = content(&path);
                    assert!([0, 1, 3].contains(&found[0]) && [0, 2].contains(&found[1]), "{call}: {found:?}");
                    if step.is_ok() && end {
                        assert_eq!(found, [if again { 3 } else { 0 }, 2], "{call}");
                    }
                    failures += u32::from(flushed.is_err());
                    if flushed.is_ok() && step.is_ok() {
                        break;
                    }
                }
            }
        }
        assert!(failures > 8, "{failures}");
    }
}
