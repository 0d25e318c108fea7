//! Parent locator, [MS-VHDX] 2.6.2.6: key and value pairs that say where the parent lies and which one it is.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use uuid::{Uuid, uuid};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::layout::{ParentLocatorEntry, ParentLocatorHeader};
use crate::disk::write::ParentLink;
use crate::disk::{Identity, Linkage, ParentRef};
use crate::error::{Error, Problem, Result};
use crate::leaves::Format::Vhdx;
use crate::storage::{FileRole, ImageFile, MemoryStorage};
use crate::strict;

/// The only locator type there is: a VHDX parent.
const VHDX_PARENT: Uuid = uuid!("b04aefb7-d19e-4a81-b789-25b8e9445913");
/// Pairs that a locator may have; writers make five.
const MAX_PAIRS: usize = 64;
/// The paths, in the order in which they are tried (2.6.2.6.3).
const PATHS: [&str; 3] = ["relative_path", "volume_path", "absolute_win32_path"];

const HEADER: usize = size_of::<ParentLocatorHeader>();
const ENTRY: usize = size_of::<ParentLocatorEntry>();

/// Reads the locator at `place`, an item of at most 1 MiB.
///
/// A path that cannot be read does not hide the others; what is wrong with it is said in the second part.
pub(crate) fn read(file: &ImageFile, place: Range<u64>) -> Result<(ParentRef, Vec<String>)> {
    let length = place.end - place.start;
    let bytes = file.read_vec(Vhdx, "parent locator", place.start, length, crate::leaves::MIB)?;
    let locator = Locator { file, at: place.start, bytes: &bytes };
    let pairs = locator.pairs()?;
    let (mut names, mut skipped, mut failure) = (Vec::new(), Vec::new(), None);
    for key in PATHS {
        match pairs.get(key).map(|value| locator.text(key, value)) {
            Some(Ok(name)) => names.push(name),
            Some(Err(Error::Defect(defect))) => {
                skipped.push(format!("skipped: expected {}, found {}", defect.expected, defect.found));
                failure.get_or_insert(defect);
            }
            Some(Err(other)) => return Err(other),
            None => {}
        }
    }
    if let Some(defect) = failure.filter(|_| names.is_empty()) {
        return Err(defect.into());
    }
    let Some(&linkage) = pairs.get("parent_linkage") else {
        return Err(locator.defect("the key \"parent_linkage\"", "none"));
    };
    let mut accepted = vec![locator.identity("parent_linkage", linkage)?];
    if let Some(&second) = pairs.get("parent_linkage2") {
        // Set by a merge that was cut short: the parent may bear either. Otherwise Windows leaves it nil.
        let second = locator.identity("parent_linkage2", second)?;
        accepted.extend(Some(second).filter(|&second| second != Identity::Uuid(Uuid::nil())));
    }
    Ok((ParentRef { names, linkage: Linkage::DataId(accepted), modified: None }, skipped))
}

/// The locator that leads to `parent`.
pub(super) fn encode(parent: &ParentLink<'_>) -> Result<Vec<u8>> {
    let Some(Identity::Uuid(linkage)) = parent.info.data_id else {
        return Err(Error::Layout { reason: "the parent of a VHDX must be a VHDX".to_owned() });
    };
    // A name with a backslash, of a file beside the child, is read as it stands where it can be one.
    let beside = || parent.relative.filter(|way| !way.contains('/')).map(str::to_owned);
    let relative = parent.windows_relative().or_else(beside);
    let relative = relative.map(|way| if way.starts_with("..\\") { way } else { format!(".\\{way}") });
    let pairs = [
        ("parent_linkage", Some(linkage.braced().to_string())),
        ("relative_path", relative),
        ("absolute_win32_path", parent.windows_absolute()),
    ];
    let pairs: Vec<_> = pairs.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))).collect();
    let mut header = ParentLocatorHeader::new_zeroed();
    header.locator_type = VHDX_PARENT.to_bytes_le();
    header.key_value_count = (pairs.len() as u16).into();
    let mut bytes = header.as_bytes().to_vec();
    let mut text = Vec::new();
    for (key, value) in &pairs {
        let mut place = |string: &str| {
            let start = HEADER + pairs.len() * ENTRY + text.len();
            text.extend(string.encode_utf16().flat_map(u16::to_le_bytes));
            let length = u16::try_from(HEADER + pairs.len() * ENTRY + text.len() - start);
            length.map(|length| (start as u32, length)).map_err(|_| Error::Layout {
                reason: format!("a path of {} bytes is too long for a parent locator", string.len()),
            })
        };
        let ((key_offset, key_length), (value_offset, value_length)) = (place(key)?, place(value)?);
        let entry = ParentLocatorEntry {
            key_offset: key_offset.into(),
            value_offset: value_offset.into(),
            key_length: key_length.into(),
            value_length: value_length.into(),
        };
        bytes.extend_from_slice(entry.as_bytes());
    }
    bytes.extend_from_slice(&text);
    Ok(bytes)
}

/// The names that a child of `parent` records, as they are read back.
pub(crate) fn recorded_names(parent: &ParentLink<'_>) -> Result<Vec<String>> {
    let bytes = encode(parent)?;
    let place = 0..bytes.len() as u64;
    let file = ImageFile::new(Arc::new(MemoryStorage::new(bytes)), "(parent locator)", FileRole::Memory)?;
    read(&file, place).map(|(parent, _)| parent.names)
}

struct Locator<'a> {
    file: &'a ImageFile,
    at: u64,
    bytes: &'a [u8],
}

impl<'a> Locator<'a> {
    /// The values by their keys.
    fn pairs(&self) -> Result<HashMap<String, &'a [u8]>> {
        let Ok((header, entries)) = ParentLocatorHeader::read_from_prefix(self.bytes) else {
            return Err(self.defect(format!("at least {HEADER} bytes"), format!("{}", self.bytes.len())));
        };
        let kind = Uuid::from_bytes_le(header.locator_type);
        if kind != VHDX_PARENT {
            return Err(self.file.defect(
                Vhdx,
                Problem::Unsupported,
                "parent locator",
                self.at,
                format!("the locator type {VHDX_PARENT} (VHDX parent)"),
                format!("{kind}"),
            ));
        }
        let count = header.key_value_count.get() as usize;
        if count > MAX_PAIRS || count * ENTRY > entries.len() {
            return Err(self.defect(
                format!("at most {MAX_PAIRS} entries, within {} bytes", self.bytes.len()),
                format!("{count} entries"),
            ));
        }
        let mut pairs = HashMap::new();
        for entry in entries.chunks_exact(ENTRY).take(count) {
            let Ok(entry) = ParentLocatorEntry::read_from_bytes(entry) else { break };
            let key = self.slice("key", entry.key_offset.get(), entry.key_length.get())?;
            let key = self.text("key", key)?;
            let value = self.slice("value", entry.value_offset.get(), entry.value_length.get())?;
            if pairs.contains_key(&key) {
                return Err(self.defect("each key once", format!("{key:?} twice")));
            }
            pairs.insert(key, value);
        }
        Ok(pairs)
    }

    /// The bytes of a key or value, which are not empty and lie behind the header.
    fn slice(&self, what: &str, offset: u32, length: u16) -> Result<&'a [u8]> {
        let range = offset as usize..(offset as usize).saturating_add(length.into());
        let bytes = self.bytes.get(range).filter(|bytes| !bytes.is_empty() && offset as usize >= HEADER);
        bytes.ok_or_else(|| {
            self.defect(
                format!("a {what} that is not empty, within the locator of {} bytes", self.bytes.len()),
                format!("{length} bytes at {offset}"),
            )
        })
    }

    /// UTF-16 text without a terminator.
    fn text(&self, what: &str, bytes: &[u8]) -> Result<String> {
        let units = bytes.chunks_exact(2);
        if !units.remainder().is_empty() {
            return Err(self.defect(format!("UTF-16 in the {what}"), format!("{} bytes", bytes.len())));
        }
        let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let text: String = char::decode_utf16(units)
            .collect::<Result<_, _>>()
            .map_err(|e| self.defect(format!("UTF-16 in the {what}"), e.to_string()))?;
        if text.contains('\0') {
            return Err(self.defect(format!("no NUL in the {what}"), format!("{text:?}")));
        }
        Ok(text)
    }

    /// A DataWriteGuid: "{…}".
    fn identity(&self, key: &str, value: &[u8]) -> Result<Identity> {
        let text = self.text(key, value)?;
        strict::guid(&text)
            .map(Identity::Uuid)
            .ok_or_else(|| self.defect(format!("a GUID as {key}"), format!("{text:?}")))
    }

    fn defect(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        self.file.defect(Vhdx, Problem::Locator, "parent locator", self.at, expected, found)
    }
}
