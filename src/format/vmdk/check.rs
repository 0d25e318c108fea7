//! Checking and repairing a disk.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::allocator::Allocator;
use super::audit::Audit;
use super::extents::{Content, Extent, Vmdk};
use super::hosted;
use super::layout::SECTOR;
use super::open::{self, Kind, Loaded};
use super::table_copies;
use super::write::{DescriptorText, HOME, mark, open_files};
use crate::disk::{Layer, MappingKind};
use crate::error::{Error, Problem, Result};
use crate::findings::{Findings, Repair, Repairs, Severity};
use crate::format::tools::context::OpenContext;
use crate::format::tools::space::Space;
use crate::leaves::Format;
use crate::storage::{FileRole, ImageFile, WritableFile};

/// What is repaired while the disk is looked at.
pub(super) struct Fixing<'a> {
    pub(super) repairs: Repairs,
    /// The files of the disk that may be written.
    pub(super) files: &'a [Option<WritableFile>],
}

/// A disk that was looked at.
pub(super) struct Audited {
    pub(super) loaded: Loaded,
    /// For each extent what is taken of its file, where it is one that is written.
    pub(super) taken: Vec<Option<Allocator>>,
    /// Whether the two copies of some tables differ, and it is known which is right.
    pub(super) differs: bool,
}

/// Looks for everything that is wrong with the disk in `file`.
pub(super) fn check(file: &ImageFile, context: &OpenContext<'_>, findings: &mut Findings) -> Result<()> {
    audit(file, context, findings, None).map(drop)
}

/// Repairs what is wrong with the disk in `file`.
pub(super) fn repair(file: &WritableFile, context: &OpenContext<'_>, repairs: Repairs) -> Result<()> {
    let image = file.image(FileRole::Image)?;
    let loaded = match open::load(image.clone(), context) {
        Ok(loaded) => loaded,
        // Nothing here repairs a disk that does not open.
        Err(Error::Defect(_)) => return Ok(()),
        Err(e) => return Err(e),
    };
    let files = open_files(file, &loaded, context)?;
    let fixing = Fixing { repairs, files: &files };
    audit(&image, context, &mut Findings::default(), Some(&fixing))?;
    if is_away(&loaded)? {
        DescriptorText::read(file, loaded.text, true)?.go_home()?;
    }
    // What is still wrong now is not made to look as if it were not.
    let mut left = Findings::default();
    audit(&file.image(FileRole::Image)?, context, &mut left, None)?;
    if left.refuse().is_ok() { clear_marks(&files) } else { Ok(()) }
}

/// Whether an embedded descriptor lies elsewhere than where qemu reads it, while nothing else lies there.
fn is_away(loaded: &Loaded) -> Result<bool> {
    let text = &loaded.text;
    let [Extent { content: Content::Grains(map), .. }] = &loaded.layer.extents[..] else { return Ok(false) };
    if text.start == HOME || map.file.0 != 0 || map.packing.is_some() || map.cowd {
        return Ok(false);
    }
    let home = HOME..HOME + (text.end - text.start);
    let mut free = map.reserved.iter().all(|(_, area)| area.start >= home.end || area.end <= home.start);
    let (copies, file) = (table_copies::of(map), &loaded.layer.files[0]);
    for located in table_copies::tables(&copies, file, map) {
        free &= located?.copies.into_iter().flatten().all(|at| at >= home.end);
    }
    Ok(free)
}

/// Says of all sparse extents that they were closed.
fn clear_marks(files: &[Option<WritableFile>]) -> Result<()> {
    for file in files.iter().flatten() {
        let image = file.image(FileRole::Extent)?;
        if Kind::of(&image)? == Some(Kind::Hosted) && hosted::Header::read(&image)?.unclean {
            mark(file, false)?;
            file.sync()?;
        }
    }
    Ok(())
}

/// The same, and for a writer what is in use. `None` for a disk that does not open.
pub(super) fn audit(
    file: &ImageFile,
    context: &OpenContext<'_>,
    findings: &mut Findings,
    fixing: Option<&Fixing<'_>>,
) -> Result<Option<Audited>> {
    let loaded = match open::load(file.clone(), context) {
        Ok(loaded) => loaded,
        Err(e) => {
            let consequence = "the disk cannot be read";
            return findings.catch(e, consequence, None).map(|()| None);
        }
    };
    check_descriptor(&loaded, findings)?;
    check_files(&loaded.layer, findings)?;
    let mut audited = Audited { taken: Vec::new(), differs: false, loaded };
    let mut seen = HashSet::new();
    for index in 0..audited.loaded.layer.extents.len() {
        if let Content::Grains(map) = &audited.loaded.layer.extents[index].content
            && !seen.insert(map.file.0)
        {
            // An overlap, and found as one: the file may be named by any number of lines.
            audited.taken.push(None);
            continue;
        }
        let taken = check_extent(&mut audited, index, findings, fixing)?;
        audited.taken.push(taken);
    }
    Ok(Some(audited))
}

/// What the descriptor has that is odd.
fn check_descriptor(loaded: &Loaded, findings: &mut Findings) -> Result<()> {
    let file = &loaded.layer.files[0];
    for warning in &loaded.layer.info.warnings {
        // Marks of disks that were not closed are found with the extents.
        if warning.structure == "descriptor" {
            let defect = file.defect_box(
                Format::Vmdk,
                Problem::Descriptor,
                "descriptor",
                loaded.text.start,
                "nothing out of the ordinary",
                warning.message.clone(),
            );
            findings.add(Severity::Note, defect, "other software may read the disk otherwise", None);
        }
    }
    if is_away(loaded)? {
        let found = format!("one at {}", loaded.text.start);
        let expected = format!("a descriptor at {HOME}");
        let defect = file.defect_box(Format::Vmdk, Problem::Descriptor, "header", 28, expected, found);
        let repair = Repair::lossless("move the descriptor to its place");
        findings.add(Severity::Warning, defect, "qemu reads an older one", Some(repair));
    }
    Ok(())
}

/// That no two extents lie in the same bytes of a file, and that their files are of the right size.
fn check_files(layer: &Vmdk, findings: &mut Findings) -> Result<()> {
    let mut spaces: HashMap<u32, Space> = HashMap::new();
    for extent in &layer.extents {
        let (index, range) = match &extent.content {
            Content::Zero | Content::Lost(_) => continue,
            Content::Flat { file, offset } => (file.0, *offset..offset + extent.len),
            Content::Grains(map) => (map.file.0, 0..u64::MAX),
            Content::SeSparse(map) => (map.file.0, 0..u64::MAX),
        };
        if let Err(hit) = spaces.entry(index).or_default().take(range.clone()) {
            let file = &layer.files[index as usize];
            let found = format!("{}..{} of the disk there too", extent.start, extent.start + extent.len);
            let expected = "each byte in one extent";
            let defect =
                file.defect_box(Format::Vmdk, Problem::Overlap, "extent", hit.start, expected, found);
            findings.add(Severity::Error, defect, "a write to one place of the disk changes another", None);
        }
    }
    for (index, space) in spaces {
        let file = &layer.files[index as usize];
        if space.end() < file.size() {
            let (expected, found) = (format!("{} bytes", space.end()), format!("{}", file.size()));
            let defect =
                file.defect_box(Format::Vmdk, Problem::Size, "flat extent", space.end(), expected, found);
            findings.add(Severity::Note, defect, "no extent has the rest of the file", None);
        }
    }
    Ok(())
}

fn check_extent(
    audited: &mut Audited,
    index: usize,
    findings: &mut Findings,
    fixing: Option<&Fixing<'_>>,
) -> Result<Option<Allocator>> {
    let layer = &audited.loaded.layer;
    let extent = &layer.extents[index];
    let map = match &extent.content {
        Content::Zero | Content::Flat { .. } | Content::Lost(_) => return Ok(None),
        Content::SeSparse(_) => return walk(layer, index, findings).map(|()| None),
        Content::Grains(map) => map,
    };
    let file = &layer.files[map.file.0 as usize];
    if map.cowd || map.packing.is_some() {
        return walk(layer, index, findings).map(|()| None);
    }
    let header = hosted::Header::read(file)?;
    check_header(&header, file, findings);
    let fixer = fixing.and_then(|fixing| Some((fixing.files[map.file.0 as usize].as_ref()?, fixing.repairs)));
    let (taken, differs) = Audit::new(file, map, &header, findings, fixer).run()?;
    audited.differs |= differs;
    Ok(taken)
}

fn check_header(header: &hosted::Header, file: &ImageFile, findings: &mut Findings) {
    if header.unclean {
        let (expected, found) = ("0, for a disk that was closed", "another number");
        let defect = file.defect_box(Format::Vmdk, Problem::Value, "header", 72, expected, found);
        let repair = Repair::lossless("check the tables and clear the mark");
        findings.add(
            Severity::Warning,
            defect,
            "other software may check the disk, or refuse it",
            Some(repair),
        );
    }
    if header.rgd.is_none() {
        let (expected, found) = ("redundant grain tables", "none");
        let defect = file.defect_box(Format::Vmdk, Problem::Table, "header", 48, expected, found);
        findings.add(Severity::Note, defect, "a damaged table cannot be told or repaired", None);
    }
}

/// Looks at every grain of an extent that is only read.
fn walk(layer: &Vmdk, index: usize, findings: &mut Findings) -> Result<()> {
    let extent = &layer.extents[index];
    let Content::Grains(map) = &extent.content else {
        return walk_part(layer, extent, 0..extent.len, 8 * SECTOR, findings);
    };
    // Where there is no table there is nothing to look at.
    let table_len = map.grain * map.gtes_per_gt;
    let file = &layer.files[map.file.0 as usize];
    for located in table_copies::tables(&table_copies::of(map), file, map) {
        let start = located?.table * table_len;
        walk_part(layer, extent, start..extent.len.min(start + table_len), map.grain, findings)?;
    }
    Ok(())
}

/// The same of a part of it, in grains of `grain` bytes.
fn walk_part(
    layer: &Vmdk,
    extent: &Extent,
    part: Range<u64>,
    grain: u64,
    findings: &mut Findings,
) -> Result<()> {
    let mut at = part.start;
    while at < part.end {
        match layer.map(extent.start + at, part.end - at) {
            Ok(run) => {
                at += match run.kind {
                    // Grains that are packed are looked at one by one.
                    MappingKind::Packed(_) => run.len.min(grain),
                    _ => run.len,
                };
            }
            Err(e) => {
                findings.catch(e, "the grain cannot be read", None)?;
                at = (at / grain + 1) * grain;
            }
        }
    }
    Ok(())
}
