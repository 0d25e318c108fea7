//! Opening a disk: its descriptor, its extents, and what it says of itself.

use std::collections::HashMap;

use super::descriptor::{self, Descriptor, NO_PARENT};
use super::extent_line::{ExtentKind, ExtentLine};
use super::grain_map::GrainMap;
use super::grain_table::TablePages;
use super::layout::{COWD, KDMV, KDMV_UNFINISHED, SECTOR, SESPARSE};
use super::sesparse::SeSparse;
use super::{GrainTables, cowd, hosted, sesparse};
use crate::disk::{FileIndex, Identity, Layer, LayerInfo, Linkage, Mapping, ParentRef};
use crate::error::{Error, Problem, Result};
use crate::format::{Format, OpenContext};
use crate::storage::{FileRole, ImageFile, Reference, ReferenceKind};

/// Sectors of a disk, by policy: 64 TiB.
pub(super) const MAX_SECTORS: u64 = 1 << 37;

/// One sparse extent that is about to be opened.
pub(super) struct ExtentSource<'a> {
    /// Its number in the layer.
    pub(super) extent: u32,
    pub(super) file: &'a ImageFile,
    pub(super) index: FileIndex,
    /// Its sectors as the descriptor has them, where there is one.
    pub(super) declared: Option<u64>,
    pub(super) choice: GrainTables,
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hosted,
    Cowd,
    SeSparse,
    Descriptor,
}

impl Kind {
    fn of(file: &ImageFile) -> Result<Option<Self>> {
        let mut head = vec![0; file.size().min(descriptor::PROBE_BYTES) as usize];
        file.read_exact_at(&mut head, 0)?;
        Ok(if head.starts_with(&KDMV) || head.starts_with(&KDMV_UNFINISHED) {
            Some(Kind::Hosted)
        } else if head.starts_with(&COWD) {
            Some(Kind::Cowd)
        } else if head.starts_with(&SESPARSE.to_le_bytes()) {
            Some(Kind::SeSparse)
        } else if descriptor::probe(&head) {
            Some(Kind::Descriptor)
        } else {
            None
        })
    }
}

/// Whether `file` bears one of VMDK's signatures.
pub(super) fn probe(file: &ImageFile) -> Result<bool> {
    Kind::of(file).map(|kind| kind.is_some())
}

pub(super) fn open(file: ImageFile, context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    let layer = match Kind::of(&file)? {
        Some(Kind::Hosted) => open_hosted(file, context)?,
        Some(Kind::Cowd) => open_bare_cowd(file, context)?,
        Some(Kind::SeSparse) => open_bare_sesparse(file, context)?,
        Some(Kind::Descriptor) => {
            let text = file.read_vec(Format::Vmdk, "descriptor", 0, file.size(), descriptor::MAX_BYTES)?;
            let descriptor = descriptor::parse(&file, 0, &text, false)?;
            open_extents(file, descriptor, context)?
        }
        None => {
            let expected = "KDMV, COWD, an seSparse header or \"# Disk DescriptorFile\"";
            let found = "none of them";
            return Err(file.defect(Format::Vmdk, Problem::Signature, "header", 0, expected, found));
        }
    };
    Ok(Box::new(layer))
}

struct Vmdk {
    info: LayerInfo,
    /// The image's own file first.
    files: Vec<ImageFile>,
    extents: Vec<Extent>,
    pages: TablePages,
}

struct Extent {
    /// First byte of the disk.
    start: u64,
    /// Bytes of the disk.
    len: u64,
    content: Content,
}

enum Content {
    Zero,
    Flat { file: FileIndex, offset: u64 },
    Grains(GrainMap),
    SeSparse(SeSparse),
}

impl Layer for Vmdk {
    fn info(&self) -> &LayerInfo {
        &self.info
    }

    fn files(&self) -> &[ImageFile] {
        &self.files
    }

    fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
        let after = self.extents.partition_point(|extent| extent.start <= offset);
        let extent = &self.extents[after - 1];
        let at = offset - extent.start;
        let limit = limit.min(extent.len - at);
        match &extent.content {
            Content::Zero => Ok(Mapping::zero(limit)),
            Content::Flat { file, offset } => Ok(Mapping::stored(limit, *file, offset + at)),
            Content::Grains(map) => map.map(&self.files[map.file.0 as usize], &self.pages, at, limit),
            Content::SeSparse(map) => map.map(&self.files[map.file.0 as usize], &self.pages, at, limit),
        }
    }
}

/// A layer of one extent, which is the image's own file.
fn single(file: ImageFile, mut info: LayerInfo, size: u64, content: Content) -> Vmdk {
    info.size = size;
    let extents = vec![Extent { start: 0, len: size, content }];
    Vmdk { info, files: vec![file], extents, pages: TablePages::new() }
}

/// monolithicSparse and streamOptimized: the descriptor lies in the extent.
fn open_hosted(file: ImageFile, context: &OpenContext<'_>) -> Result<Vmdk> {
    let header = hosted::Header::read(&file)?;
    let (start, len) = (header.descriptor.start, header.descriptor.end - header.descriptor.start);
    if len == 0 {
        return Err(file
            .defect_box(Format::Vmdk, Problem::Descriptor, "header", 0, "an embedded descriptor", "none")
            .advise("this is one extent of a disk: open the descriptor that names it")
            .into());
    }
    let text = file.read_vec(Format::Vmdk, "descriptor", start, len, descriptor::MAX_BYTES)?;
    let descriptor = descriptor::parse(&file, start, &text, true)?;
    let [line] = &descriptor.extents[..] else {
        let found = format!("{} extents", descriptor.extents.len());
        let expected = "one extent: the file itself";
        return Err(file.defect(Format::Vmdk, Problem::Descriptor, "descriptor", start, expected, found));
    };
    if line.kind != ExtentKind::Sparse {
        let at = start + line.at as u64;
        let (expected, found) = ("a SPARSE extent: the file itself", format!("{:?}", line.kind));
        return Err(file.defect(Format::Vmdk, Problem::Descriptor, "descriptor", at, expected, found));
    }
    // The name in it is not looked at: the file may have been renamed.
    let declared = Some(line.sectors);
    let mut info = describe(&file, descriptor)?;
    let map = hosted_map(&header, &source(&file, declared, context), &mut info)?;
    Ok(single(file, info, map.size, Content::Grains(map)))
}

fn source<'a>(file: &'a ImageFile, declared: Option<u64>, context: &OpenContext<'_>) -> ExtentSource<'a> {
    ExtentSource { extent: 0, file, index: FileIndex(0), declared, choice: context.choices.grain_tables }
}

fn hosted_map(header: &hosted::Header, source: &ExtentSource<'_>, info: &mut LayerInfo) -> Result<GrainMap> {
    let map = header.map(source)?;
    if header.compressed && !header.gd_at_end {
        hosted::check_tail(&map, source.file, &TablePages::new())?;
    }
    info.block_size.get_or_insert(map.grain);
    info.compressed |= header.compressed;
    if header.unclean {
        warn_unclean(info, source.file);
    }
    Ok(map)
}

fn warn_unclean(info: &mut LayerInfo, file: &ImageFile) {
    info.warn("header", format!("{}: the disk was not closed after it was last written to", file.name()));
}

/// A COWD extent without its descriptor.
fn open_bare_cowd(file: ImageFile, context: &OpenContext<'_>) -> Result<Vmdk> {
    let header = cowd::Header::read(&file)?;
    if !header.root {
        return Err(file
            .defect_box(
                Format::Vmdk,
                Problem::Descriptor,
                "COWD header",
                8,
                "a disk without a parent",
                "a child",
            )
            .advise("open the descriptor that names this extent: it says which parent the disk has")
            .into());
    }
    let mut info = LayerInfo::new(Format::Vmdk, "vmfsSparse", 0);
    warn_bare(&mut info);
    let map = header.map(&source(&file, None, context))?;
    info.block_size = Some(map.grain);
    if header.unclean {
        warn_unclean(&mut info, &file);
    }
    Ok(single(file, info, map.size, Content::Grains(map)))
}

/// An seSparse extent without its descriptor.
fn open_bare_sesparse(file: ImageFile, context: &OpenContext<'_>) -> Result<Vmdk> {
    let header = sesparse::Header::read(&file)?;
    let mut info = LayerInfo::new(Format::Vmdk, "seSparse", 0);
    warn_bare(&mut info);
    warn_sesparse(&mut info);
    let size = header.capacity * SECTOR;
    let map = header.map(&source(&file, None, context))?;
    Ok(single(file, info, size, Content::SeSparse(map)))
}

fn warn_bare(info: &mut LayerInfo) {
    info.warn("descriptor", "there is none: if the disk has a parent, its bytes are missing");
}

fn warn_sesparse(info: &mut LayerInfo) {
    info.block_size.get_or_insert(8 * SECTOR);
    let what = "grains that the guest unmapped read as zeros, not as the parent's";
    if !info.warnings.iter().any(|warning| warning.message == what) {
        info.warn("grain table", what);
    }
}

/// What the descriptor says of the disk.
pub(super) fn describe(file: &ImageFile, descriptor: Descriptor) -> Result<LayerInfo> {
    let ddb = &descriptor.ddb;
    let mut info = LayerInfo::new(Format::Vmdk, descriptor.create_type, 0);
    info.id = ddb.uuid_image.map(Identity::Uuid);
    info.data_id = descriptor.cid.map(Identity::Cid);
    info.geometry = ddb.geometry();
    info.logical_sector_size = ddb.logical_sector_size.unwrap_or(512);
    info.physical_sector_size = ddb.physical_sector_size.unwrap_or(512).max(info.logical_sector_size);
    info.parent = parent(file, &descriptor)?;
    info.warnings = descriptor.warnings;
    Ok(info)
}

fn parent(file: &ImageFile, descriptor: &Descriptor) -> Result<Option<ParentRef>> {
    let names: Vec<_> = descriptor.parent_file_name_hint.iter().cloned().collect();
    let cid = Some(descriptor.parent_cid).filter(|&cid| cid != NO_PARENT);
    let linkage = match (cid, descriptor.ddb.uuid_parent) {
        // VirtualBox names a parent by its UUID alone.
        (_, Some(uuid)) if names.is_empty() => Linkage::Id(vec![Identity::Uuid(uuid)]),
        (Some(cid), _) => Linkage::DataId(vec![Identity::Cid(cid)]),
        (None, Some(uuid)) => Linkage::Id(vec![Identity::Uuid(uuid)]),
        (None, None) if names.is_empty() => return Ok(None),
        (None, None) => {
            let expected = "a parentCID beside the parentFileNameHint";
            let found = "a parentCID of ffffffff, which says that there is no parent";
            return Err(file.defect(Format::Vmdk, Problem::Ambiguous, "descriptor", 0, expected, found));
        }
    };
    Ok(Some(ParentRef { names, linkage, modified: None }))
}

/// A disk whose descriptor is a file of its own.
fn open_extents(file: ImageFile, mut descriptor: Descriptor, context: &OpenContext<'_>) -> Result<Vmdk> {
    let lines = std::mem::take(&mut descriptor.extents);
    let total = lines.iter().try_fold(0_u64, |sum, line| sum.checked_add(line.sectors));
    let Some(sectors) = total.filter(|&total| total <= MAX_SECTORS) else {
        let expected = format!("at most {MAX_SECTORS} sectors in all extents");
        return Err(file.defect(Format::Vmdk, Problem::Size, "descriptor", 0, expected, "more"));
    };
    let mut info = describe(&file, descriptor)?;
    info.size = sectors * SECTOR;
    let mut layer = Vmdk { info, files: vec![file], extents: Vec::new(), pages: TablePages::new() };
    let mut known = HashMap::new();
    let mut start = 0;
    for line in &lines {
        let content = layer.content(line, context, &mut known)?;
        let len = line.sectors * SECTOR;
        layer.extents.push(Extent { start, len, content });
        start += len;
    }
    Ok(layer)
}

impl Vmdk {
    /// Opens what a line of the descriptor names. `known` are the files that are open already, by name.
    fn content(
        &mut self,
        line: &ExtentLine,
        context: &OpenContext<'_>,
        known: &mut HashMap<String, FileIndex>,
    ) -> Result<Content> {
        if line.kind == ExtentKind::Zero {
            return Ok(Content::Zero);
        }
        let index = match known.get(&line.name) {
            Some(index) => *index,
            None => {
                let index = FileIndex(self.files.len() as u32);
                let file = self.extent_file(line, context)?;
                self.files.push(file);
                known.insert(line.name.clone(), index);
                index
            }
        };
        let file = &self.files[index.0 as usize];
        let source = ExtentSource {
            extent: self.extents.len() as u32,
            file,
            index,
            declared: Some(line.sectors),
            choice: context.choices.grain_tables,
        };
        match line.kind {
            ExtentKind::Flat => flat(line, file, index),
            ExtentKind::SeSparse => {
                warn_sesparse(&mut self.info);
                sesparse::Header::read(file)?.map(&source).map(Content::SeSparse)
            }
            // Both are called SPARSE and VMFSSPARSE, now and then.
            _ if Kind::of(file)? == Some(Kind::Cowd) => {
                let header = cowd::Header::read(file)?;
                if header.unclean {
                    warn_unclean(&mut self.info, file);
                }
                self.info.block_size.get_or_insert(header.grain);
                header.map(&source).map(Content::Grains)
            }
            _ => {
                let header = hosted::Header::read(file)?;
                hosted_map(&header, &source, &mut self.info).map(Content::Grains)
            }
        }
    }

    /// The file of an extent, opened under the caller's policy.
    fn extent_file(&self, line: &ExtentLine, context: &OpenContext<'_>) -> Result<ImageFile> {
        let referrer = &self.files[0];
        let itself = || {
            let at = line.at as u64;
            let expected = "an extent in another file";
            let found = format!("{:?}, the descriptor itself", line.name);
            referrer.defect(Format::Vmdk, Problem::Overlap, "descriptor", at, expected, found)
        };
        let own_name = referrer.path().and_then(|path| path.file_name()).and_then(|name| name.to_str());
        if own_name == Some(&line.name) || referrer.name() == line.name {
            return Err(itself());
        }
        let reference = Reference { name: &line.name, kind: ReferenceKind::Extent, guarded: false, referrer };
        let file = context.resolver.open(&reference)?.ok_or_else(|| Error::ExtentMissing {
            referrer: referrer.name().to_owned(),
            name: line.name.clone(),
        })?;
        let identity = file.storage().identity();
        if identity.is_some() && identity == referrer.storage().identity() {
            return Err(itself());
        }
        Ok(file.with_role(FileRole::Extent))
    }
}

/// A flat extent: the file's bytes, never looked into.
fn flat(line: &ExtentLine, file: &ImageFile, index: FileIndex) -> Result<Content> {
    let range = line.offset.checked_mul(SECTOR).zip(line.sectors.checked_mul(SECTOR));
    match range.and_then(|(offset, len)| Some((offset, offset.checked_add(len)?))) {
        Some((offset, end)) if end <= file.size() => Ok(Content::Flat { file: index, offset }),
        _ => Err(file.defect(
            Format::Vmdk,
            Problem::Truncated,
            "flat extent",
            file.size(),
            format!("{} sectors from sector {} on, as the descriptor says", line.sectors, line.offset),
            format!("a file of {} bytes", file.size()),
        )),
    }
}
