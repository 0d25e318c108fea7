//! Where the parent of a differencing disk may be found: the parent locators, and the name in the header.

use std::mem::offset_of;
use std::ops::Range;

use uuid::Uuid;

use super::header::{HEADER, Header};
use super::layout::*;
use crate::disk::{Identity, LayerInfo, Linkage, ParentRef, WarningKind};
use crate::error::{Error, Problem, Result};
use crate::leaves::Format;
use crate::storage::ImageFile;

pub(super) const LOCATOR: &str = "parent locator";
const UNICODE_NAME: &str = "parent unicode name";
/// Bytes of a locator's data; no path is longer.
const LONGEST: u64 = 64 << 10;

/// How a locator gives the name, in the order in which the names are tried.
///
/// A relative name survives a move of the folder that holds the chain, an absolute one does not. Then come the
/// other systems' and the deprecated forms, whose code page nobody recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Relative,
    Absolute,
    FileUrl,
    AnsiRelative,
    AnsiAbsolute,
}

impl Form {
    fn of(platform_code: &[u8; 4]) -> Option<Self> {
        Some(match platform_code {
            b"W2ru" => Form::Relative,
            b"W2ku" => Form::Absolute,
            // The second is what VirtualBox takes for the code.
            b"MacX" | b"M\x162X" => Form::FileUrl,
            b"Wi2r" => Form::AnsiRelative,
            b"Wi2k" => Form::AnsiAbsolute,
            _ => return None,
        })
    }

    fn decode(self, data: &[u8]) -> Result<String, &'static str> {
        let name = match self {
            Form::Relative | Form::Absolute => utf16(data, u16::from_le_bytes)?,
            Form::FileUrl => path_of_url(data)?,
            Form::AnsiRelative | Form::AnsiAbsolute => {
                encoding_rs::WINDOWS_1252.decode_without_bom_handling(data).0.into_owned()
            }
        };
        // The specification counts no NUL, but some writers do.
        let name = name.trim_end_matches('\0');
        if name.is_empty() {
            Err("is empty")
        } else if name.contains('\0') {
            Err("holds a NUL")
        } else {
            Ok(name.to_owned())
        }
    }
}

/// What the header and its locators say of the parent.
pub(super) fn parent(file: &ImageFile, header: &Header, info: &mut LayerInfo) -> Result<ParentRef> {
    let fields = &header.fields;
    let mut names = Vec::new();
    let mut failure = None;
    let mut skip = |info: &mut LayerInfo, structure, offset, why: String| {
        info.warn(file, WarningKind::Unused, structure, format!("at {offset} {why}; skipped"));
        failure.get_or_insert((structure, offset, why));
    };
    for (index, locator) in fields.parent_locators.iter().enumerate() {
        if locator.platform_code == [0; 4] {
            continue;
        }
        let entry = header.offset
            + (offset_of!(DynamicHeader, parent_locators) + index * size_of::<ParentLocator>()) as u64;
        let Some(form) = Form::of(&locator.platform_code) else {
            // An alias names the file by numbers of the volume that it lay on.
            let code = locator.platform_code.escape_ascii();
            let message = format!("at {entry} has the platform code \"{code}\", which is not read; skipped");
            info.warn(file, WarningKind::Unused, LOCATOR, message);
            continue;
        };
        let (offset, len) =
            (locator.platform_data_offset.get(), u64::from(locator.platform_data_length.get()));
        if len > LONGEST {
            skip(info, LOCATOR, entry, format!("has {len} bytes, of which at most {LONGEST} are read"));
            continue;
        }
        let data = match file.read_vec(Format::Vhd, LOCATOR, offset, len, LONGEST) {
            Ok(data) => data,
            // One that leads out of the file does not hide the others.
            Err(Error::Defect(_)) => {
                skip(
                    info,
                    LOCATOR,
                    entry,
                    format!("leads to {len} bytes at {offset}, beyond the file's end"),
                );
                continue;
            }
            Err(other) => return Err(other),
        };
        match form.decode(&data) {
            Ok(name) => names.push((form, name)),
            Err(why) => skip(info, LOCATOR, offset, why.to_owned()),
        }
    }
    names.sort_by_key(|(form, _)| *form);
    let mut names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();

    match utf16(until_nul(&fields.parent_unicode_name), u16::from_be_bytes) {
        Ok(name) if name.is_empty() => {}
        Ok(name) => names.push(name),
        Err(why) => {
            let offset = header.offset + offset_of!(DynamicHeader, parent_unicode_name) as u64;
            skip(info, UNICODE_NAME, offset, why.to_owned());
        }
    }
    let unique = unique(names);
    match failure {
        Some((structure, offset, why)) if unique.is_empty() => Err(unreadable(file, structure, offset, why)),
        _ => {
            Ok(ParentRef { names: unique, linkage: linkage(file, fields, info), modified: modified(fields) })
        }
    }
}

/// The names in locators, by their codes and data, and in the header, as [`parent`] gives them, of those that can be read.
pub(super) fn names<'a>(
    locators: impl Iterator<Item = (&'a [u8; 4], &'a [u8])>,
    unicode_name: &[u8],
) -> Vec<String> {
    let read = |(code, data): (&[u8; 4], &[u8])| {
        Form::of(code).and_then(|form| Some((form, form.decode(data).ok()?)))
    };
    let mut names: Vec<_> = locators.filter_map(read).collect();
    names.sort_by_key(|(form, _)| *form);
    let own = utf16(until_nul(unicode_name), u16::from_be_bytes).ok();
    unique(names.into_iter().map(|(_, name)| name).chain(own))
}

/// Each name once, where it comes first.
fn unique(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut unique = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

/// Whether anyone uses this platform code.
pub(super) fn is_known(platform_code: &[u8; 4]) -> bool {
    Form::of(platform_code).is_some() || platform_code == b"Mac "
}

/// The locators that are used.
fn used(header: &DynamicHeader) -> impl Iterator<Item = &ParentLocator> {
    header.parent_locators.iter().filter(|locator| locator.platform_code != [0; 4])
}

/// Where the locators' data lie.
pub(super) fn data(header: &DynamicHeader) -> impl Iterator<Item = Range<u64>> {
    used(header).map(|locator| {
        let start = locator.platform_data_offset.get();
        start..start.saturating_add(locator.platform_data_length.get().into())
    })
}

/// What the locators claim of the file: their data, and room for longer ones.
pub(super) fn places(header: &DynamicHeader) -> impl Iterator<Item = Range<u64>> {
    used(header).zip(data(header)).map(|(locator, data)| {
        let space = u64::from(locator.platform_data_space.get());
        // Sectors by the specification, bytes by most writers.
        let space = if space < SECTOR { space * SECTOR } else { space };
        data.start..data.end.max(data.start.saturating_add(space))
    })
}

fn unreadable(file: &ImageFile, structure: &'static str, offset: u64, why: String) -> Error {
    let expected = "a name of the parent in a locator or in the header";
    let found = format!("none: the {structure} {why}");
    file.defect(Format::Vhd, Problem::Locator, structure, offset, expected, found)
}

fn linkage(file: &ImageFile, fields: &DynamicHeader, info: &mut LayerInfo) -> Linkage {
    let id = Uuid::from_bytes(fields.parent_unique_id);
    if id.is_nil() {
        let message = "the parent unique id is zero: the parent is taken for a raw disk, as XenServer does";
        info.warn(file, WarningKind::Incomplete, HEADER, message);
        return Linkage::None;
    }
    Linkage::Id(vec![Identity::Uuid(id)])
}

/// When the parent's file was modified; Windows leaves the field zero at times.
fn modified(fields: &DynamicHeader) -> Option<i64> {
    let seconds = fields.parent_time_stamp.get();
    (seconds != 0).then(|| EPOCH + i64::from(seconds))
}

/// The bytes of a 16-bit string before its NUL, if it has one.
fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.chunks_exact(2).position(|unit| unit == [0, 0]).map_or(bytes.len(), |units| units * 2);
    bytes.get(..end).unwrap_or(bytes)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, &'static str> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("has an odd number of bytes for UTF-16");
    }
    char::decode_utf16(units.iter().map(|bytes| unit(*bytes)))
        .collect::<Result<_, _>>()
        .map_err(|_| "has half of a surrogate pair")
}

/// The path in a file URL (RFC 2396), whose host is this one: empty, `localhost`, or XenServer's `.`, a relative path.
fn path_of_url(url: &[u8]) -> Result<String, &'static str> {
    let path = url.strip_prefix(b"file://").ok_or("is not a file URL")?;
    let path = path.strip_prefix(b"localhost").filter(|path| path.starts_with(b"/")).unwrap_or(path);
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            // XenServer does not escape: a lone percent sign is itself.
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8")
}
