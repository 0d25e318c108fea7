//! What a check has found so far, each with its place.

use std::collections::BTreeMap;

use super::fault::NtfsFault;
use crate::error::{Error, Result};
use crate::findings::Severity;
use crate::windows::ntfs::flaw::Flaw;
use crate::windows::ntfs::record::{Attribute, kind};

/// Findings of one kind that are kept: a hostile volume has one for each of its records.
const MAX_OF_A_KIND: u64 = 100;

/// One thing that is wrong with a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NtfsFinding {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong.
    pub fault: NtfsFault,
    /// The FILE record, where it is about one.
    pub record: Option<u64>,
    /// The path of the record's file, as far as it can be told.
    pub path: Option<String>,
    /// The attribute: `$DATA`, `$INDEX_ALLOCATION:$I30`.
    pub attribute: Option<String>,
    /// The structure, in the field's words.
    pub structure: &'static str,
    /// Where it lies on the disk, in bytes.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is.
    pub found: String,
}

/// Where something is wrong.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub record: Option<u64>,
    pub attribute: Option<String>,
    pub structure: &'static str,
    pub offset: u64,
}

impl Place {
    pub fn record(record: u64, offset: u64) -> Self {
        Self { record: Some(record), attribute: None, structure: "FILE record", offset }
    }

    pub fn of(&self, attribute: &Attribute) -> Self {
        let name = label(attribute.kind, &units(attribute.name));
        Self { attribute: Some(name), offset: self.offset + attribute.at as u64, ..self.clone() }
    }
}

/// An attribute's type, and its name if it has one.
pub(super) fn label(kind: u32, name: &[u16]) -> String {
    let kind = match kind {
        kind::STANDARD_INFORMATION => "$STANDARD_INFORMATION",
        kind::ATTRIBUTE_LIST => "$ATTRIBUTE_LIST",
        kind::FILE_NAME => "$FILE_NAME",
        kind::OBJECT_ID => "$OBJECT_ID",
        kind::SECURITY_DESCRIPTOR => "$SECURITY_DESCRIPTOR",
        kind::VOLUME_NAME => "$VOLUME_NAME",
        kind::VOLUME_INFORMATION => "$VOLUME_INFORMATION",
        kind::DATA => "$DATA",
        kind::INDEX_ROOT => "$INDEX_ROOT",
        kind::INDEX_ALLOCATION => "$INDEX_ALLOCATION",
        kind::BITMAP => "$BITMAP",
        kind::REPARSE_POINT => "$REPARSE_POINT",
        kind::EA_INFORMATION => "$EA_INFORMATION",
        kind::EA => "$EA",
        kind::LOGGED_UTILITY_STREAM => "$LOGGED_UTILITY_STREAM",
        _ => return format!("type {kind:#x}"),
    };
    match name {
        [] => kind.to_owned(),
        name => format!("{kind}:{}", String::from_utf16_lossy(name)),
    }
}

/// The UTF-16 units of a name.
pub(super) fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
}

#[derive(Debug, Default)]
pub(super) struct Findings {
    pub list: Vec<NtfsFinding>,
    counts: BTreeMap<NtfsFault, u64>,
}

impl Findings {
    pub fn add(
        &mut self,
        fault: NtfsFault,
        place: Place,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        let count = self.counts.entry(fault).or_default();
        *count += 1;
        if *count > MAX_OF_A_KIND {
            return;
        }
        let Place { record, attribute, structure, offset } = place;
        let (expected, found, severity) = (expected.into(), found.into(), fault.severity());
        self.list.push(NtfsFinding {
            severity,
            fault,
            record,
            path: None,
            attribute,
            structure,
            offset,
            expected,
            found,
        });
    }

    pub fn flaw(&mut self, fault: NtfsFault, place: Place, flaw: Flaw) {
        self.add(fault, place, flaw.expected, flaw.found);
    }

    /// Whether more of a kind are not kept: who takes pains to tell of one need not go on.
    pub fn is_full(&self, fault: NtfsFault) -> bool {
        self.counts.get(&fault).is_some_and(|&count| count >= MAX_OF_A_KIND)
    }

    /// Counts one that is not told of.
    pub fn count(&mut self, fault: NtfsFault) {
        *self.counts.entry(fault).or_default() += 1;
    }

    /// Findings that are not kept.
    pub fn unlisted(&self) -> u64 {
        self.counts.values().map(|count| count.saturating_sub(MAX_OF_A_KIND)).sum()
    }

    /// Takes what keeps a structure from being read as a finding; other errors are returned.
    pub fn catch<T>(&mut self, record: u64, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(read) => Ok(Some(read)),
            Err(Error::Damaged { structure, offset, expected, found }) => {
                let place = Place { record: Some(record), attribute: None, structure, offset };
                self.add(NtfsFault::Unreadable, place, expected, found);
                Ok(None)
            }
            Err(Error::Unsupported { what } | Error::Layout { reason: what }) => {
                let place =
                    Place { record: Some(record), attribute: None, structure: "FILE record", offset: 0 };
                self.add(NtfsFault::Unreadable, place, "what can be read", what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
