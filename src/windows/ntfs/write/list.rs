//! Attribute lists: in which record each attribute of a file stands, when one record does not hold them all.

use zerocopy::FromBytes;

use super::super::flaw::{Flaw, flaw};
use super::super::record::Reference;
use super::super::stream::ListEntry;
use super::attribute::Attribute;

/// Where the name begins in an entry.
const NAME: usize = 0x1a;

/// An entry, as far as it is needed to find all records.
pub(super) struct Entry {
    pub record: Reference,
}

pub(super) fn parse(list: &[u8]) -> Result<Vec<Entry>, Flaw> {
    let mut rest = list;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let cut = || flaw("entries that fill an attribute list", "an entry beyond its end");
        let (entry, _) = ListEntry::ref_from_prefix(rest).map_err(|_| cut())?;
        let len = usize::from(entry.len.get());
        entries.push(Entry { record: Reference(entry.record.get()) });
        rest = rest.get(len..).filter(|_| len >= NAME).ok_or_else(cut)?;
    }
    Ok(entries)
}

/// Bytes of the entry of an attribute.
pub(super) fn entry_len(attribute: &Attribute) -> usize {
    (NAME + 2 * attribute.name.len()).next_multiple_of(8)
}

/// The entry of a part of an attribute that begins with cluster `lowest`.
pub(super) fn entry(attribute: &Attribute, lowest: u64, record: Reference, instance: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entry_len(attribute));
    bytes.extend(attribute.kind.to_le_bytes());
    bytes.extend((entry_len(attribute) as u16).to_le_bytes());
    bytes.extend([attribute.name.len() as u8, NAME as u8]);
    bytes.extend(lowest.to_le_bytes());
    bytes.extend(record.0.to_le_bytes());
    bytes.extend(instance.to_le_bytes());
    bytes.extend(attribute.name.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.resize(entry_len(attribute), 0);
    bytes
}
