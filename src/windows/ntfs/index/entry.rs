//! One entry of an index: a key, and what it leads to.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::windows::ntfs::record::Reference;

/// The entry has a child, whose number is its last eight bytes.
pub(super) const HAS_CHILD: u16 = 1;
/// The entry ends its node, and has no key.
pub(super) const LAST: u16 = 2;
pub(super) const HEADER: usize = size_of::<EntryHeader>();
/// A child's number.
pub(super) const CHILD: usize = size_of::<u64>();
/// Entries are multiples of this.
const ALIGN: usize = 8;

/// In a directory the first eight bytes are the file's reference. In other indexes they tell where data lie.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct EntryHeader {
    data_offset: U16,
    data_len: U16,
    reserved: [u8; 4],
    pub len: U16,
    pub key_len: U16,
    pub flags: U16,
    padding: U16,
}

/// An entry of a node, and its child.
#[derive(Debug, Clone, Copy)]
pub(in crate::windows::ntfs) struct Entry<'a> {
    /// Header, key, data and padding, without the child's number, which the header's length and flags may tell of.
    pub(super) bytes: &'a [u8],
    /// The node of the keys before this one, as it is numbered on the volume.
    pub child: Option<u64>,
}

impl<'a> Entry<'a> {
    /// The entry that these bytes are, which would stand in a leaf.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, _) = EntryHeader::ref_from_prefix(bytes).ok()?;
        let whole = usize::from(header.len.get()) == bytes.len() && bytes.len().is_multiple_of(ALIGN);
        let fits = HEADER + usize::from(header.key_len.get()) <= bytes.len();
        (whole && fits && header.flags.get() & (LAST | HAS_CHILD) == 0).then_some(Self { bytes, child: None })
    }

    pub fn key(&self) -> &'a [u8] {
        key(self.bytes)
    }

    /// The file of a directory's entry.
    pub fn reference(&self) -> Reference {
        Reference(U64::read_from_prefix(self.bytes).map_or(0, |(reference, _)| reference.get()))
    }

    /// The data of an entry of another index; `None` when they would not lie in it.
    pub fn data(&self) -> Option<&'a [u8]> {
        let (header, _) = EntryHeader::ref_from_prefix(self.bytes).ok()?;
        let at = usize::from(header.data_offset.get());
        self.bytes.get(at..at + usize::from(header.data_len.get()))
    }

    /// The entry as it would stand in a leaf.
    pub fn to_vec(self) -> Vec<u8> {
        let mut entry = self.bytes.to_vec();
        if let Ok((header, _)) = EntryHeader::mut_from_prefix(&mut entry) {
            header.len = (self.bytes.len() as u16).into();
            header.flags = 0.into();
        }
        entry
    }

    /// Bytes that it takes in its node.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.child.map_or(0, |_| CHILD)
    }
}

/// The key of an entry.
fn key(entry: &[u8]) -> &[u8] {
    let len = EntryHeader::ref_from_prefix(entry).map_or(0, |(header, _)| header.key_len.get());
    entry.get(HEADER..HEADER + usize::from(len)).unwrap_or_default()
}

/// A directory's entry for a name of a file.
pub(in crate::windows::ntfs) fn file_entry(file: Reference, key: &[u8]) -> Vec<u8> {
    let mut entry = new(key, &[]);
    entry[..8].copy_from_slice(&file.0.to_le_bytes());
    entry
}

/// An entry of an index that is no directory's.
pub(in crate::windows::ntfs) fn view_entry(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut entry = new(key, data);
    if !data.is_empty() {
        entry[..2].copy_from_slice(&((HEADER + key.len()) as u16).to_le_bytes());
        entry[2..4].copy_from_slice(&(data.len() as u16).to_le_bytes());
    }
    entry
}

fn new(key: &[u8], data: &[u8]) -> Vec<u8> {
    let len = (HEADER + key.len() + data.len()).next_multiple_of(ALIGN);
    let header = EntryHeader {
        data_offset: 0.into(),
        data_len: 0.into(),
        reserved: [0; 4],
        len: (len as u16).into(),
        key_len: (key.len() as u16).into(),
        flags: 0.into(),
        padding: 0.into(),
    };
    let mut entry = [header.as_bytes(), key, data].concat();
    entry.resize(len, 0);
    entry
}
