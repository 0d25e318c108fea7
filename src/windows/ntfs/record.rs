//! FILE records: the entries of the master file table, each a list of attributes.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::fixup;
use super::flaw::{Flaw, flaw};
use super::runs::{self, Run};

pub(super) const SIGNATURE: &[u8; 4] = b"FILE";
const IN_USE: u16 = 1;
const DIRECTORY: u16 = 2;
/// What follows the last attribute.
const END: u32 = u32::MAX;
/// A reference is a record's number in 48 bits, and the sequence number that it had in 16.
const NUMBER: u64 = (1 << 48) - 1;

/// Attribute types.
pub(super) mod kind {
    pub const ATTRIBUTE_LIST: u32 = 0x20;
    pub const FILE_NAME: u32 = 0x30;
    pub const SECURITY_DESCRIPTOR: u32 = 0x50;
    pub const VOLUME_INFORMATION: u32 = 0x70;
    pub const DATA: u32 = 0x80;
    pub const INDEX_ROOT: u32 = 0x90;
    pub const INDEX_ALLOCATION: u32 = 0xa0;
    pub const BITMAP: u32 = 0xb0;
    pub const REPARSE_POINT: u32 = 0xc0;
}

/// Attribute flags.
pub(super) mod flag {
    /// The method of compression; 1 is LZNT1.
    pub const COMPRESSION: u16 = 0x00ff;
    pub const ENCRYPTED: u16 = 0x4000;
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    signature: [u8; 4],
    update_sequence: [u8; 4],
    lsn: U64,
    sequence: U16,
    links: U16,
    first_attribute: U16,
    flags: U16,
    used: U32,
    allocated: U32,
    base: U64,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct AttributeHeader {
    kind: U32,
    len: U32,
    non_resident: u8,
    name_len: u8,
    name_offset: U16,
    flags: U16,
    instance: U16,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Resident {
    header: AttributeHeader,
    len: U32,
    offset: U16,
}

/// The header of an attribute whose value lies in clusters.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct NonResident {
    header: [u8; 16],
    pub lowest_vcn: U64,
    pub highest_vcn: U64,
    pairs_offset: U16,
    /// The binary logarithm of the clusters that are compressed together; 0 without compression.
    pub compression_unit: u8,
    reserved: [u8; 5],
    pub allocated: U64,
    pub size: U64,
    pub initialized: U64,
}

/// A reference to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference(pub u64);

impl Reference {
    pub fn number(self) -> u64 {
        self.0 & NUMBER
    }

    pub fn sequence(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// One record, without its fixups.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub number: u64,
    bytes: Vec<u8>,
}

/// One attribute of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    /// Where it begins in the record.
    pub at: usize,
    pub kind: u32,
    pub flags: u16,
    name: &'a [u8],
    pub value: Value<'a>,
}

/// An attribute's value, or where it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Resident(&'a [u8]),
    /// The header, and the mapping pairs.
    NonResident(NonResident, &'a [u8]),
}

impl Attribute<'_> {
    pub fn is(&self, kind: u32, name: &str) -> bool {
        self.kind == kind && self.is_named(name)
    }

    pub fn is_named(&self, name: &str) -> bool {
        same_name(self.name, name)
    }
}

/// Whether these bytes are `name` in UTF-16.
pub(super) fn same_name(bytes: &[u8], name: &str) -> bool {
    let units = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    name.encode_utf16().eq(units)
}

impl Record {
    /// The record `number`, as the master file table has it.
    pub fn parse(number: u64, mut bytes: Vec<u8>) -> Result<Self, Flaw> {
        fixup::remove(&mut bytes, SIGNATURE)?;
        let record = Self { number, bytes };
        record.header()?;
        Ok(record)
    }

    /// The record as it is written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Flaw> {
        let mut bytes = self.bytes.clone();
        fixup::apply(&mut bytes)?;
        Ok(bytes)
    }

    fn header(&self) -> Result<&Header, Flaw> {
        let (header, _) =
            Header::ref_from_prefix(&self.bytes).map_err(|_| flaw("a FILE record", "a part of one"))?;
        match header.used.get() as usize <= self.bytes.len() {
            true => Ok(header),
            false => Err(flaw(
                format!("at most {} bytes used", self.bytes.len()),
                format!("{} bytes", header.used.get()),
            )),
        }
    }

    /// Whether it is one of a file that exists.
    pub fn in_use(&self) -> Result<bool, Flaw> {
        Ok(self.header()?.flags.get() & IN_USE != 0)
    }

    pub fn is_directory(&self) -> Result<bool, Flaw> {
        Ok(self.header()?.flags.get() & DIRECTORY != 0)
    }

    pub fn sequence(&self) -> Result<u16, Flaw> {
        Ok(self.header()?.sequence.get())
    }

    /// The record that this one continues, if it continues one.
    pub fn base(&self) -> Result<Option<Reference>, Flaw> {
        let base = self.header()?.base.get();
        Ok((base != 0).then_some(Reference(base)))
    }

    pub fn attributes(&self) -> Result<Vec<Attribute<'_>>, Flaw> {
        let header = self.header()?;
        let used = self.bytes.get(..header.used.get() as usize).unwrap_or_default();
        let mut at = usize::from(header.first_attribute.get());
        let mut found = Vec::new();
        loop {
            let rest = used.get(at..).unwrap_or_default();
            let cut = || flaw("attributes that end with FFFFFFFF", format!("an end at byte {at}"));
            let (kind, _) = U32::read_from_prefix(rest).map_err(|_| cut())?;
            if kind == END {
                return Ok(found);
            }
            let (header, _) = AttributeHeader::ref_from_prefix(rest).map_err(|_| cut())?;
            let len = header.len.get() as usize;
            let bytes = rest.get(..len).filter(|bytes| !bytes.is_empty()).ok_or_else(cut)?;
            found.push(parse_attribute(at, header, bytes).ok_or_else(|| {
                flaw("an attribute's parts within its length", format!("other offsets at byte {at}"))
            })?);
            at += len;
        }
    }

    /// The attribute of a kind and name that begins with cluster `lowest_vcn`, if it is here.
    pub fn attribute(&self, kind: u32, name: &str, lowest_vcn: u64) -> Result<Option<Attribute<'_>>, Flaw> {
        let begins = |attribute: &Attribute| match attribute.value {
            Value::Resident(_) => lowest_vcn == 0,
            Value::NonResident(header, _) => header.lowest_vcn.get() == lowest_vcn,
        };
        Ok(self.attributes()?.into_iter().find(|attribute| attribute.is(kind, name) && begins(attribute)))
    }

    /// Gives the attribute that begins at byte `at` other clusters, and the header that goes with them. `false` when the
    /// record has no room for their mapping pairs; then nothing has changed.
    pub fn map(
        &mut self,
        at: usize,
        runs: &[Run],
        change: impl FnOnce(&mut NonResident),
    ) -> Result<bool, Flaw> {
        let gone = || flaw("an attribute in clusters", format!("none at byte {at}"));
        let attribute = self.attributes()?.into_iter().find(|attribute| attribute.at == at);
        let Some(Attribute { value: Value::NonResident(mut header, _), .. }) = attribute else {
            return Err(gone());
        };
        let pairs = runs::encode(runs);
        let (used, size) = (self.header()?.used.get() as usize, self.bytes.len());
        let old_len = u32_at(&self.bytes, at + 4).ok_or_else(gone)? as usize;
        let pairs_at = usize::from(header.pairs_offset.get());
        // An attribute is not made shorter: what follows it can stay where it is.
        let len = old_len.max((pairs_at + pairs.len()).next_multiple_of(8));
        let grown = len - old_len;
        if used + grown > size {
            return Ok(false);
        }
        self.bytes.copy_within(at + old_len..used, at + len);
        let attribute = &mut self.bytes[at..at + len];
        change(&mut header);
        attribute[..size_of::<NonResident>()].copy_from_slice(header.as_bytes());
        attribute[4..8].copy_from_slice(&(len as u32).to_le_bytes());
        attribute[pairs_at..].fill(0);
        attribute[pairs_at..pairs_at + pairs.len()].copy_from_slice(&pairs);
        if let Ok((header, _)) = Header::mut_from_prefix(&mut self.bytes) {
            header.used = ((used + grown) as u32).into();
        }
        Ok(true)
    }
}

fn parse_attribute<'a>(at: usize, header: &AttributeHeader, bytes: &'a [u8]) -> Option<Attribute<'a>> {
    let name = usize::from(header.name_offset.get());
    let name = bytes.get(name..name + 2 * usize::from(header.name_len));
    let name = if header.name_len == 0 { &[] } else { name? };
    let value = if header.non_resident == 0 {
        let (resident, _) = Resident::ref_from_prefix(bytes).ok()?;
        Value::Resident(bytes.get(resident.offset.get().into()..)?.get(..resident.len.get() as usize)?)
    } else {
        let (header, _) = NonResident::read_from_prefix(bytes).ok()?;
        let pairs = usize::from(header.pairs_offset.get());
        // The pairs may not lie over the header, which is written with them.
        Value::NonResident(header, bytes.get(pairs..).filter(|_| pairs >= size_of::<NonResident>())?)
    };
    let (kind, flags) = (header.kind.get(), header.flags.get());
    Some(Attribute { at, kind, flags, name, value })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(U32::read_from_prefix(bytes.get(at..)?).ok()?.0.get())
}
