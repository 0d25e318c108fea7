//! Opening a disk for writing.

use super::super::check::{Fixing, audit};
use super::super::extent_line::Access;
use super::super::extents::{Content, Vmdk};
use super::super::grain_map::GrainMap;
use super::super::layout::GTES_PER_GT;
use super::super::open::Loaded;
use super::super::sesparse::SeSparse;
use super::beneath::Beneath;
use super::descriptor::DescriptorText;
use super::disk::{Part, WritableVmdk, Writer};
use super::sparse::Sparse;
use crate::disk::{Disk, FileIndex};
use crate::error::{Error, Result};
use crate::findings::{Findings, Repairs};
use crate::format::tools::context::OpenContext;
use crate::leaves::ReferenceKind;
use crate::storage::{FileRole, Reference, Resolver, WritableFile};

/// Opens the disk in `file` for writing, over `parent`.
pub(in super::super) fn open(
    file: WritableFile,
    parent: Option<Disk>,
    context: &OpenContext<'_>,
) -> Result<WritableVmdk> {
    let image = file.image(FileRole::Image)?;
    let mut findings = Findings::default();
    let audited = audit(&image, context, &mut findings, None)?;
    findings.refuse()?;
    let Some(mut audited) = audited else { return Err(not_writable(&file, "it cannot be opened")) };
    check_kind(&file, &audited.loaded)?;
    let files = open_files(&file, &audited.loaded, context)?;
    if audited.differs {
        // The tables' copies differ as a cut leaves them. What is read must not depend on the copy.
        let fixing = Fixing { repairs: Repairs::Lossless, files: &files };
        let again = audit(&image, context, &mut Findings::default(), Some(&fixing))?;
        audited = again.ok_or_else(|| not_writable(&file, "it cannot be opened"))?;
    }
    let Loaded { mut layer, lines, text, .. } = audited.loaded;
    for (image, file) in layer.files.iter_mut().zip(&files) {
        if let Some(file) = file {
            *image = file.image(image.role())?;
        }
    }
    let embedded = is_embedded(&layer);
    let descriptor = DescriptorText::read(&file, text, embedded)?;
    let mut parts = Vec::with_capacity(lines.len());
    for ((extent, line), taken) in layer.extents.into_iter().zip(&lines).zip(audited.taken) {
        let range = extent.start..extent.start + extent.len;
        let beneath = Beneath { parent: parent.clone(), range: range.clone() };
        let writable =
            |index: FileIndex| files[index.0 as usize].clone().filter(|_| line.access == Access::ReadWrite);
        let writer = match extent.content {
            Content::Zero => Writer::Zero,
            Content::Flat { file: index, offset } if writable(index).is_some() => {
                Writer::Flat { index, offset }
            }
            Content::Flat { file: index, offset } => Writer::ReadOnlyFlat { index, offset },
            Content::Grains(map) => match (writable(map.file), taken) {
                (Some(file), Some(taken)) => {
                    Writer::Sparse(Box::new(Sparse::new(file, map, beneath, taken)?))
                }
                _ => Writer::ReadOnlySparse(map),
            },
            Content::SeSparse(_) => return Err(not_writable(&file, "nobody writes seSparse disks")),
            Content::Lost(cause) => return Err(Error::Incomplete(cause)),
        };
        parts.push(Part { range, line: line.at, writer });
    }
    let read = (layer.info, layer.files, layer.pages);
    Ok(WritableVmdk::new(read, files, parts, descriptor))
}

/// Whether the descriptor lies in the only extent.
fn is_embedded(layer: &Vmdk) -> bool {
    layer.extents.iter().any(|extent| matches!(&extent.content, Content::Grains(map) if map.file.0 == 0))
}

/// That the disk is of a kind that is written.
fn check_kind(file: &WritableFile, loaded: &Loaded) -> Result<()> {
    if let Some(path) = &loaded.change_track_path {
        return Err(not_writable(
            file,
            &format!("its changes are tracked in {path:?}, which would not know of them"),
        ));
    }
    if loaded.lines.is_empty() {
        return Err(not_writable(file, "it has no descriptor"));
    }
    for extent in &loaded.layer.extents {
        match &extent.content {
            Content::Zero | Content::Flat { .. } => {}
            Content::Grains(map) if map.packing.is_some() => {
                return Err(not_writable(file, "its grains are compressed"));
            }
            Content::Grains(map) if map.cowd => {
                return Err(not_writable(file, "it has ESX sparse (COWD) extents"));
            }
            Content::Grains(map) if map.gtes_per_gt != u64::from(GTES_PER_GT) => {
                return Err(not_writable(file, "its grain tables do not have 512 entries"));
            }
            Content::Grains(_) => {}
            Content::SeSparse(_) => return Err(not_writable(file, "it has seSparse extents")),
            Content::Lost(cause) => return Err(Error::Incomplete(cause.clone())),
        }
    }
    Ok(())
}

/// The files of the disk that are written, by their index.
pub(in super::super) fn open_files(
    file: &WritableFile,
    loaded: &Loaded,
    context: &OpenContext<'_>,
) -> Result<Vec<Option<WritableFile>>> {
    let Loaded { layer, lines, .. } = loaded;
    let mut files = vec![None; layer.files.len()];
    files[0] = Some(file.clone());
    for (extent, line) in layer.extents.iter().zip(lines) {
        let index = match &extent.content {
            Content::Zero | Content::Lost(_) => continue,
            Content::Flat { file, .. }
            | Content::Grains(GrainMap { file, .. })
            | Content::SeSparse(SeSparse { file, .. }) => file,
        };
        let slot = &mut files[index.0 as usize];
        if slot.is_none() && line.access == Access::ReadWrite {
            let referrer = &layer.files[0];
            let reference =
                Reference { name: &line.name, kind: ReferenceKind::Extent, guarded: false, referrer };
            let Some(file) = context.resolver.open_writable(&reference)? else {
                let (referrer, name) = (referrer.name().to_owned(), line.name.clone());
                return Err(Error::ExtentMissing { referrer, name });
            };
            if !context.choices.ignore_locks {
                file.check_not_claimed()?;
            }
            *slot = Some(file);
        }
    }
    Ok(files)
}

fn not_writable(file: &WritableFile, reason: &str) -> Error {
    Error::NotWritable { file: file.name().to_owned(), reason: reason.to_owned() }
}
