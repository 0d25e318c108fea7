//! Opening: from the footer to a layer.

use std::mem::offset_of;

use uuid::Uuid;

use super::bat::Bat;
use super::dynamic::Dynamic;
use super::fixed::FixedWriter;
use super::footer::{FOOTER, Found};
use super::footer_pair::FooterPair;
use super::header::{HEADER, Header};
use super::layout::*;
use super::write::Writer;
use super::{SizeField, check, fixed, footer, locator};
use crate::disk::write::WriteLayer;
use crate::disk::{Geometry, Identity, Layer, LayerInfo, WarningKind};
use crate::error::{Error, Problem, Result};
use crate::findings::Findings;
use crate::format::tools::context::OpenContext;
use crate::leaves::Format;
use crate::storage::{FileRole, ImageFile, WritableFile};

/// The creators known to follow the specification, or to err in ways that are provided for.
const CREATORS: [[u8; 4]; 14] = [
    *b"vpc ", *b"vs  ", *b"win ", *b"d2v ", *b"d2v\0", *b"qemu", *b"qem2", *b"vbox", *b"tap\0", *b"CTXS",
    *b"caml", *b"dutl", *b"wa\0\0", *b"wa  ",
];

/// The creators that may mean the geometry for the size: Virtual PC, and QEMU unless it was told otherwise.
const SIZED_BY_GEOMETRY: [[u8; 4]; 2] = [*b"vpc ", *b"qemu"];

/// The geometry of any disk that is larger than a geometry can say.
const LARGEST_GEOMETRY: Geometry = Geometry { cylinders: 65535, heads: 16, sectors: 255 };

/// An image as it was found.
pub(super) struct Image {
    pub(super) found: Found,
    pub(super) info: LayerInfo,
    /// `None`: a fixed disk.
    pub(super) blocks: Option<(Header, Bat)>,
}

/// Opens a VHD as a layer.
pub(crate) fn open(file: ImageFile, context: &OpenContext<'_>) -> Result<Box<dyn Layer>> {
    let Image { found, info, blocks } = read(&file, context)?;
    match blocks {
        None => Ok(Box::new(fixed::open(file, &found, info)?)),
        Some((_, mut bat)) => {
            bat.reads_cut_blocks = context.choices.salvage;
            Ok(Box::new(Dynamic::new(file, bat, info)))
        }
    }
}

/// Opens a VHD for writing.
pub(crate) fn open_writable(file: WritableFile, context: &OpenContext<'_>) -> Result<Box<dyn WriteLayer>> {
    let image = file.image(FileRole::Image)?;
    let mut findings = Findings::default();
    let opened = check::structures(&image, context, &mut findings)?;
    findings.refuse()?;
    // What does not open is an error among the findings.
    let Image { found, info, blocks } = opened.map_or_else(|| read(&image, context), Ok)?;
    let refuse =
        |reason: &str| Err(Error::NotWritable { file: file.name().to_owned(), reason: reason.to_owned() });
    if found.footer.saved_state != 0 {
        return refuse("it belongs to a virtual machine that is suspended, and would change below it");
    }
    let footers = FooterPair::new(file.clone(), &found);
    let Some((header, bat)) = blocks else {
        return Ok(Box::new(FixedWriter::new(file, fixed::open(image, &found, info)?, footers)));
    };
    if !header.offset.is_multiple_of(SECTOR) || !header.table().start.is_multiple_of(SECTOR) {
        return refuse(
            "its header or its BAT does not begin with a sector, so that a cut could tear an entry",
        );
    }
    Ok(Box::new(Writer::new(file, Dynamic::new(image, bat, info), header, footers)))
}

/// Reads what an image says of itself and its blocks.
pub(super) fn read(file: &ImageFile, context: &OpenContext<'_>) -> Result<Image> {
    let found = footer::find(file)?;
    check_support(file, &found)?;
    let disk_type = found.footer.disk_type.get();
    let subformat = match disk_type {
        FIXED => "fixed",
        DYNAMIC => "dynamic",
        _ => "differencing",
    };
    let mut info = LayerInfo::new(Format::Vhd, subformat, size(file, &found, context.choices.vhd_size)?);
    info.id = Some(Identity::Uuid(Uuid::from_bytes(found.footer.unique_id)));
    info.creator = Some(found.creator());
    info.geometry = found.geometry();
    info.warnings.extend(found.warnings.iter().cloned());
    warn(file, &found, &mut info);
    if disk_type == FIXED {
        return Ok(Image { found, info, blocks: None });
    }
    let header = Header::read(file, &found, &mut info)?;
    info.block_size = Some(header.block_size());
    if disk_type == DIFFERENCING {
        info.parent = Some(locator::parent(file, &header, &mut info)?);
    } else if header.fields.parent_unique_id != [0; 16] {
        info.warn(
            file,
            WarningKind::Irregular,
            HEADER,
            "it names a parent, which a dynamic disk does not have",
        );
    }
    let bat = Bat::open(file, &found, &header, &mut info)?;
    Ok(Image { found, info, blocks: Some((header, bat)) })
}

/// Refuses what cannot be read.
fn check_support(file: &ImageFile, found: &Found) -> Result<()> {
    let Footer { features, file_format_version, disk_type, creator_version, .. } = &found.footer;
    let refuse = |field, expected: &str, what: String| {
        Err(found.defect(file, Problem::Unsupported, field, expected, what))
    };
    if Features::from_bits(features.get()).is_none() {
        let field = offset_of!(Footer, features);
        return refuse(field, "no features but bits 0 and 1", format!("{features:#010x}"));
    }
    let version = file_format_version.get();
    if version >> 16 != VERSION_1_0 >> 16 {
        let field = offset_of!(Footer, file_format_version);
        return refuse(field, "version 1.0", format!("{}.{}", version >> 16, version & 0xFFFF));
    }
    if !matches!(disk_type.get(), FIXED | DYNAMIC | DIFFERENCING) {
        let field = offset_of!(Footer, disk_type);
        return refuse(field, "fixed (2), dynamic (3) or differencing (4)", format!("{disk_type}"));
    }
    // Its own makers refuse this version, calling it broken.
    if found.footer.is_tap() && creator_version.get() == 1 && disk_type.get() != FIXED {
        let expected = "sector bitmaps with the first sector in the highest bit";
        let version = "XenServer's version 0.1, whose bitmaps are the other way round".to_owned();
        return refuse(offset_of!(Footer, creator_version), expected, version);
    }
    Ok(())
}

/// The virtual size.
fn size(file: &ImageFile, found: &Found, choice: SizeField) -> Result<u64> {
    let current = found.footer.current_size.get();
    let (size, field) = match found.geometry() {
        Some(geometry) if choice == SizeField::Chs && geometry != LARGEST_GEOMETRY => {
            (geometry.size(), offset_of!(Footer, cylinders))
        }
        _ => (current, offset_of!(Footer, current_size)),
    };
    if size == 0 || !size.is_multiple_of(SECTOR) || size > LARGEST {
        let expected = format!("a whole number of sectors, from {SECTOR} to {LARGEST} bytes");
        return Err(found.defect(file, Problem::Size, field, expected, format!("{size} bytes")));
    }
    Ok(size)
}

/// Notes what is odd about the footer and does not hinder reading.
fn warn(file: &ImageFile, found: &Found, info: &mut LayerInfo) {
    let footer = &found.footer;
    let mut warn = |kind, message: String| info.warn(file, kind, FOOTER, message);
    if !Features::from_bits_retain(footer.features.get()).contains(Features::RESERVED) {
        warn(WarningKind::Irregular, "bit 1 of the features, which is always to be set, is clear".to_owned());
    }
    let version = footer.file_format_version.get();
    if version != VERSION_1_0 {
        warn(
            WarningKind::Irregular,
            format!("version {}.{} is read as 1.0", version >> 16, version & 0xFFFF),
        );
    }
    let next = footer.data_offset.get();
    if footer.disk_type == FIXED && !matches!(next, u64::MAX | 0xFFFF_FFFF) {
        let what = format!("the data offset of a fixed disk is {next:#x}; it has no meaning");
        warn(WarningKind::Irregular, what);
    }
    if !CREATORS.contains(&footer.creator_application) {
        warn(WarningKind::UnknownCreator, format!("unknown creator: {}", found.creator()));
    }
    if footer.saved_state != 0 {
        let what =
            "the disk belongs to a virtual machine that was suspended: its content is as after a power cut";
        warn(WarningKind::Suspended, what.to_owned());
    }
    let hidden = footer.hidden != 0 && footer.is_tap();
    if hidden {
        warn(WarningKind::Irregular, "XenServer marks this image as hidden".to_owned());
    }
    if footer.hidden != 0 && !hidden || footer.reserved.iter().any(|&byte| byte != 0) {
        warn(WarningKind::Irregular, "its reserved bytes are not zero".to_owned());
    }
    warn_of_geometry(file, found, info);
}

/// A geometry that says another size than the current one is worth a word where its creator means it for the size, as
/// Virtual PC does, or where it was chosen. With all others it is the size rounded down, as the specification has it.
fn warn_of_geometry(file: &ImageFile, found: &Found, info: &mut LayerInfo) {
    let Some(geometry) = found.geometry().filter(|geometry| *geometry != LARGEST_GEOMETRY) else { return };
    let (by_geometry, current) = (geometry.size(), found.footer.current_size.get());
    let in_doubt = SIZED_BY_GEOMETRY.contains(&found.footer.creator_application) || info.size != current;
    if in_doubt && by_geometry != current {
        let Geometry { cylinders, heads, sectors } = geometry;
        let message = format!(
            "the current size is {current} bytes, the geometry {cylinders}/{heads}/{sectors} says {by_geometry}; \
             the disk is read with {} bytes",
            info.size
        );
        info.warn(file, WarningKind::SizeInDoubt, FOOTER, message);
    }
}
