//! Opening a disk: its descriptor, its extents, and what it says of itself.

use std::ops::Range;

use super::descriptor::{self, Descriptor, NO_PARENT};
use super::extent_line::{ExtentKind, ExtentLine};
use super::extent_source::ExtentSource;
use super::extents::{Content, Extent, Vmdk, open_extents};
use super::grain_table::TablePages;
use super::layout::{COWD, KDMV, KDMV_UNFINISHED, SECTOR, SESPARSE};
use super::{cowd, hosted, sesparse};
use crate::disk::{FileIndex, Identity, Layer, LayerInfo, Linkage, ParentRef, WarningKind};
use crate::error::{Problem, Result};
use crate::format::tools::context::OpenContext;
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::storage::ImageFile;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hosted,
    Cowd,
    SeSparse,
    Descriptor,
}

impl Kind {
    pub(super) fn of(file: &ImageFile) -> Result<Option<Self>> {
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

/// An image, and what its descriptor says that reading does not need.
pub(super) struct Loaded {
    pub(super) layer: Vmdk,
    /// The lines of the extents; none where there is no descriptor.
    pub(super) lines: Vec<ExtentLine>,
    pub(super) change_track_path: Option<String>,
    /// Where the descriptor lies in the image's own file.
    pub(super) text: Range<u64>,
}

impl Loaded {
    /// A layer of an extent without a descriptor.
    fn bare(layer: Vmdk) -> Self {
        Self { layer, lines: Vec::new(), change_track_path: None, text: 0..0 }
    }
}

pub(super) fn open(file: ImageFile, context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    load(file, context).map(|loaded| Box::new(loaded.layer) as _)
}

pub(super) fn load(file: ImageFile, context: &OpenContext<'_>) -> Result<Loaded> {
    match Kind::of(&file)? {
        Some(Kind::Hosted) => open_hosted(file, context),
        Some(Kind::Cowd) => open_bare_cowd(file, context).map(Loaded::bare),
        Some(Kind::SeSparse) => open_bare_sesparse(file, context).map(Loaded::bare),
        Some(Kind::Descriptor) => {
            let size = file.size();
            let text = file.read_vec(Format::Vmdk, "descriptor", 0, size, descriptor::MAX_BYTES)?;
            let mut descriptor = descriptor::parse(&file, 0, &text, false)?;
            let lines = std::mem::take(&mut descriptor.extents);
            let change_track_path = descriptor.change_track_path.take();
            let layer = open_extents(file, descriptor, &lines, context)?;
            Ok(Loaded { layer, lines, change_track_path, text: 0..size })
        }
        None => {
            let expected = "KDMV, COWD, an seSparse header or \"# Disk DescriptorFile\"";
            let found = "none of them";
            Err(file.defect(Format::Vmdk, Problem::Signature, "header", 0, expected, found))
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
fn open_hosted(file: ImageFile, context: &OpenContext<'_>) -> Result<Loaded> {
    let header = hosted::Header::read(&file)?;
    let (start, len) = (header.descriptor.start, header.descriptor.end - header.descriptor.start);
    let text = file.read_vec(Format::Vmdk, "descriptor", start, len, descriptor::MAX_BYTES)?;
    // QEMU leaves room for one in the pieces of a split disk, too.
    if text.first().is_none_or(|&byte| byte == 0) {
        return Err(file
            .defect_box(Format::Vmdk, Problem::Descriptor, "header", start, "an embedded descriptor", "none")
            .advise(Hint::OpenDescriptor)
            .into());
    }
    let mut descriptor = descriptor::parse(&file, start, &text, true)?;
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
    let lines = std::mem::take(&mut descriptor.extents);
    let change_track_path = descriptor.change_track_path.take();
    let mut info = describe(&file, descriptor)?;
    let map = header.map(&source(&file, declared, context))?;
    describe_hosted(&header, &file, &mut info);
    let pages = TablePages::new();
    if header.compressed && !header.gd_at_end && !context.choices.salvage {
        hosted::check_tail(&map, &file, &pages)?;
    }
    let layer = Vmdk { pages, ..single(file, info, map.size, Content::Grains(map)) };
    Ok(Loaded { layer, lines, change_track_path, text: header.descriptor })
}

fn source<'a>(file: &'a ImageFile, declared: Option<u64>, context: &OpenContext<'_>) -> ExtentSource<'a> {
    let choices = context.choices;
    let (choice, salvage) = (choices.grain_tables, choices.salvage);
    ExtentSource { extent: 0, file, index: FileIndex(0), declared, choice, salvage }
}

/// What the header of a hosted extent says of the disk.
pub(super) fn describe_hosted(header: &hosted::Header, file: &ImageFile, info: &mut LayerInfo) {
    note_grain(info, header.grain);
    info.compressed |= header.compressed;
    if header.unclean {
        warn_unclean(info, file);
    }
}

pub(super) fn warn_unclean(info: &mut LayerInfo, file: &ImageFile) {
    info.warn(file, WarningKind::Unclean, "header", "the disk was not closed after it was last written to");
}

/// Takes note of an extent's grains: the smallest of all extents are the disk's blocks.
pub(super) fn note_grain(info: &mut LayerInfo, grain: u64) {
    info.block_size = Some(info.block_size.map_or(grain, |other| other.min(grain)));
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
            .advise(Hint::OpenDescriptorOfChild)
            .into());
    }
    let mut info = LayerInfo::new(Format::Vmdk, "vmfsSparse", 0);
    warn_bare(&mut info, &file);
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
    warn_bare(&mut info, &file);
    warn_sesparse(&mut info, &file);
    let size = header.capacity * SECTOR;
    let map = header.map(&source(&file, None, context))?;
    Ok(single(file, info, size, Content::SeSparse(map)))
}

fn warn_bare(info: &mut LayerInfo, file: &ImageFile) {
    let message = "there is none: if the disk has a parent, its bytes are missing";
    info.warn(file, WarningKind::Incomplete, "descriptor", message);
}

pub(super) fn warn_sesparse(info: &mut LayerInfo, file: &ImageFile) {
    note_grain(info, 8 * SECTOR);
    let what = "grains that the guest unmapped read as zeros, not as the parent's";
    if !info.warnings.iter().any(|warning| warning.message == what) {
        info.warn(file, WarningKind::Irregular, "grain table", what);
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
