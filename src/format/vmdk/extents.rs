//! The extents of a disk, and the layer that they make.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;

use super::capacity::MAX_SECTORS;
use super::descriptor::Descriptor;
use super::extent_line::{ExtentKind, ExtentLine};
use super::extent_source::ExtentSource;
use super::grain_map::GrainMap;
use super::grain_table::TablePages;
use super::layout::SECTOR;
use super::open::{Kind, describe, describe_hosted, note_grain, warn_sesparse, warn_unclean};
use super::sesparse::SeSparse;
use super::{cowd, hosted, sesparse};
use crate::disk::{FileIndex, Layer, LayerInfo, Mapping, Sealed};
use crate::error::{Error, Problem, Result};
use crate::format::tools::context::OpenContext;
use crate::leaves::Format;
use crate::leaves::ReferenceKind;
use crate::storage::{FileIdentity, FileRole, ImageFile, Reference, Resolver};

/// A VMDK as a layer.
pub(super) struct Vmdk {
    pub(super) info: LayerInfo,
    /// The image's own file first.
    pub(super) files: Vec<ImageFile>,
    pub(super) extents: Vec<Extent>,
    pub(super) pages: TablePages,
}

/// A part of the disk.
pub(super) struct Extent {
    /// First byte of the disk.
    pub(super) start: u64,
    /// Bytes of the disk.
    pub(super) len: u64,
    pub(super) content: Content,
}

pub(super) enum Content {
    Zero,
    Flat {
        file: FileIndex,
        offset: u64,
    },
    Grains(GrainMap),
    SeSparse(SeSparse),
    /// It cannot be read, in a disk that is salvaged.
    Lost(Arc<Error>),
}

impl Sealed for Vmdk {}

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
            Content::Flat { file, offset } => {
                // A file that is too short was refused, but for a salvage.
                let offset = offset + at;
                match self.files[file.0 as usize].size().saturating_sub(offset) {
                    0 => Err(self.cut_off(*file, offset)),
                    there => Ok(Mapping::stored(limit.min(there), *file, offset)),
                }
            }
            Content::Lost(cause) => Err(Error::Incomplete(cause.clone())),
            Content::Grains(map) => map.map(&self.files[map.file.0 as usize], &self.pages, at, limit),
            Content::SeSparse(map) => map.map(&self.files[map.file.0 as usize], &self.pages, at, limit),
        }
    }
}

/// A disk whose descriptor is a file of its own; `lines` are those of its extents.
pub(super) fn open_extents(
    file: ImageFile,
    descriptor: Descriptor,
    lines: &[ExtentLine],
    context: &OpenContext<'_>,
) -> Result<Vmdk> {
    context.resolver.note(lines.iter().filter(|line| !line.name.is_empty()).map(|line| line.name.as_str()));
    let total = lines.iter().try_fold(0_u64, |sum, line| sum.checked_add(line.sectors));
    let Some(sectors) = total.filter(|&total| total <= MAX_SECTORS) else {
        let expected = format!("at most {MAX_SECTORS} sectors in all extents");
        return Err(file.defect(Format::Vmdk, Problem::Size, "descriptor", 0, expected, "more"));
    };
    let mut info = describe(&file, descriptor)?;
    info.size = sectors * SECTOR;
    let mut layer = Vmdk { info, files: vec![file], extents: Vec::new(), pages: TablePages::new() };
    let mut known = Known::default();
    let mut start = 0;
    for line in lines {
        let content = match layer.content(line, context, &mut known) {
            Err(e) if context.choices.salvage => Content::Lost(Arc::new(e)),
            content => content?,
        };
        let len = line.sectors * SECTOR;
        layer.extents.push(Extent { start, len, content });
        start += len;
    }
    Ok(layer)
}

/// What was opened and read for the lines before: a descriptor may name one file thousands of times, and each file
/// is kept open once and its header read once.
#[derive(Default)]
struct Known<'a> {
    names: HashMap<&'a str, FileIndex>,
    files: HashMap<FileKey, FileIndex>,
    headers: HashMap<(FileIndex, ExtentKind), Header>,
}

/// What tells a file from the others of a layer, whatever it is called.
#[derive(PartialEq, Eq, Hash)]
enum FileKey {
    Identity(FileIdentity),
    /// Where there are no identities, and names were made plain by the resolver.
    Path(PathBuf),
    /// Where a storage that the caller keeps lies in memory.
    Storage(usize),
}

impl FileKey {
    fn of(file: &ImageFile) -> Self {
        match (file.storage().identity(), file.path()) {
            (Some(identity), _) => FileKey::Identity(identity),
            (None, Some(path)) => FileKey::Path(path.to_path_buf()),
            (None, None) => FileKey::Storage(Arc::as_ptr(file.storage()).cast::<()>() as usize),
        }
    }
}

/// The header of a sparse extent.
enum Header {
    Hosted(hosted::Header),
    Cowd(cowd::Header),
    SeSparse(sesparse::Header),
}

impl Header {
    /// The header of an extent of this kind in `file`, which also says what there is to say of the disk.
    fn read(file: &ImageFile, kind: ExtentKind, info: &mut LayerInfo) -> Result<Self> {
        if kind == ExtentKind::SeSparse {
            warn_sesparse(info, file);
            return sesparse::Header::read(file).map(Self::SeSparse);
        }
        // Both are called SPARSE and VMFSSPARSE, now and then.
        if Kind::of(file)? == Some(Kind::Cowd) {
            let header = cowd::Header::read(file)?;
            if header.unclean {
                warn_unclean(info, file);
            }
            note_grain(info, header.grain);
            return Ok(Self::Cowd(header));
        }
        let header = hosted::Header::read(file)?;
        describe_hosted(&header, file, info);
        Ok(Self::Hosted(header))
    }

    fn map(&self, source: &ExtentSource<'_>) -> Result<Content> {
        match self {
            // That the stream is not cut is seen where its last grain is read: to look for that one here, in each of
            // many extents, takes too long.
            Self::Hosted(header) => header.map(source).map(Content::Grains),
            Self::Cowd(header) => header.map(source).map(Content::Grains),
            Self::SeSparse(header) => header.map(source).map(Content::SeSparse),
        }
    }
}

impl Vmdk {
    /// The error for bytes of a flat extent behind the end of its file.
    fn cut_off(&self, index: FileIndex, offset: u64) -> Error {
        let file = &self.files[index.0 as usize];
        let (expected, found) = ("a file that reaches so far", format!("{} bytes", file.size()));
        file.defect(Format::Vmdk, Problem::Truncated, "flat extent", offset, expected, found)
    }

    /// Opens what a line of the descriptor names.
    fn content<'a>(
        &mut self,
        line: &'a ExtentLine,
        context: &OpenContext<'_>,
        known: &mut Known<'a>,
    ) -> Result<Content> {
        if line.kind == ExtentKind::Zero {
            return Ok(Content::Zero);
        }
        let index = match known.names.get(line.name.as_str()) {
            Some(index) => *index,
            None => {
                let file = self.extent_file(line, context)?;
                let files = &mut self.files;
                let index = *known.files.entry(FileKey::of(&file)).or_insert_with(|| {
                    files.push(file);
                    FileIndex(files.len() as u32 - 1)
                });
                known.names.insert(&line.name, index);
                index
            }
        };
        let file = &self.files[index.0 as usize];
        if line.kind == ExtentKind::Flat {
            return flat(line, file, index, context.choices.salvage);
        }
        let header = match known.headers.entry((index, line.kind)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Header::read(file, line.kind, &mut self.info)?),
        };
        header.map(&ExtentSource {
            extent: self.extents.len() as u32,
            file,
            index,
            declared: Some(line.sectors),
            choice: context.choices.grain_tables,
            salvage: context.choices.salvage,
        })
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
fn flat(line: &ExtentLine, file: &ImageFile, index: FileIndex, salvage: bool) -> Result<Content> {
    let range = line.offset.checked_mul(SECTOR).zip(line.sectors.checked_mul(SECTOR));
    match range.and_then(|(offset, len)| Some((offset, offset.checked_add(len)?))) {
        Some((offset, end)) if end <= file.size() || salvage => Ok(Content::Flat { file: index, offset }),
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
