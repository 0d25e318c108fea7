//! FILE records: the entries of the master file table, each a list of attributes.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::fixup;
use super::flaw::{Flaw, flaw};
use super::runs::{self, Run};

pub(super) const SIGNATURE: &[u8; 4] = b"FILE";
pub(super) const IN_USE: u16 = 1;
pub(super) const DIRECTORY: u16 = 2;
/// What follows the last attribute.
const END: u32 = u32::MAX;
/// A reference is a record's number in 48 bits, and the sequence number that it had in 16.
const NUMBER: u64 = (1 << 48) - 1;

/// Attribute types.
pub(super) mod kind {
    pub const STANDARD_INFORMATION: u32 = 0x10;
    pub const ATTRIBUTE_LIST: u32 = 0x20;
    pub const FILE_NAME: u32 = 0x30;
    pub const OBJECT_ID: u32 = 0x40;
    pub const SECURITY_DESCRIPTOR: u32 = 0x50;
    pub const VOLUME_NAME: u32 = 0x60;
    pub const VOLUME_INFORMATION: u32 = 0x70;
    pub const DATA: u32 = 0x80;
    pub const INDEX_ROOT: u32 = 0x90;
    pub const INDEX_ALLOCATION: u32 = 0xa0;
    pub const BITMAP: u32 = 0xb0;
    pub const REPARSE_POINT: u32 = 0xc0;
    pub const EA_INFORMATION: u32 = 0xd0;
    pub const EA: u32 = 0xe0;
    pub const LOGGED_UTILITY_STREAM: u32 = 0x100;
}

/// Attribute flags.
pub(super) mod flag {
    /// The method of compression; 1 is LZNT1.
    pub const COMPRESSION: u16 = 0x00ff;
    pub const ENCRYPTED: u16 = 0x4000;
    pub const SPARSE: u16 = 0x8000;
}

/// The fields at the beginning of a record.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub signature: [u8; 4],
    pub update_sequence: [u8; 4],
    pub lsn: U64,
    pub sequence: U16,
    pub links: U16,
    pub first_attribute: U16,
    pub flags: U16,
    pub used: U32,
    pub allocated: U32,
    pub base: U64,
    /// Greater than that of any attribute.
    pub next_instance: U16,
    pub reserved: U16,
    /// Since NTFS 3.1; the update sequence array stands here before.
    pub number: U32,
}
const _: () = assert!(size_of::<Header>() == 0x30);

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
    /// Whether the value is a key of an index.
    indexed: u8,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Reference(pub u64);

impl Reference {
    pub fn new(number: u64, sequence: u16) -> Self {
        Self(number & NUMBER | u64::from(sequence) << 48)
    }

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
    /// Its bytes, the header's included.
    pub len: usize,
    pub kind: u32,
    pub flags: u16,
    /// What tells it from the other attributes of the record.
    pub instance: u16,
    /// Whether it is a key of an index; of a value in the record.
    pub indexed: u8,
    /// Bytes of the clusters that are really there, where the header has it: of a value that is compressed or sparse.
    pub compressed: Option<u64>,
    /// In UTF-16.
    pub name: &'a [u8],
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

    /// Its name.
    pub fn name(&self) -> String {
        let units: Vec<u16> =
            self.name.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        String::from_utf16_lossy(&units)
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

    /// Its bytes, as they are without fixups.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn header(&self) -> Result<&Header, Flaw> {
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

    /// A free record that was never used, as version 3.1 of NTFS has it.
    pub fn format(number: u64, size: usize) -> Self {
        let entries = fixup::entries(size);
        let first_attribute = (size_of::<Header>() + 2 * entries).next_multiple_of(8);
        let mut record = Self { number, bytes: vec![0; size] };
        if let Ok((header, _)) = Header::mut_from_prefix(&mut record.bytes) {
            header.signature = *SIGNATURE;
            header.update_sequence = [size_of::<Header>() as u8, 0, entries as u8, 0];
            header.sequence = 1.into();
            header.first_attribute = (first_attribute as u16).into();
            header.allocated = (size as u32).into();
            // In 32 bits, whatever the number of a record takes.
            header.number = (number as u32).into();
        }
        // An end mark is all there is.
        let _ = record.set_attributes(&[]);
        record
    }

    /// The free record as one in use, without attributes. What tells its old content from its new stays: the sequence
    /// number, and the update sequence number.
    pub fn begin_anew(&self) -> Result<Self, Flaw> {
        let mut record = Self::format(self.number, self.bytes.len());
        let (sequence, update) = (self.sequence()?.max(1), fixup::number(&self.bytes)?);
        record.change(|header| {
            header.sequence = sequence.into();
            header.flags = IN_USE.into();
        })?;
        let at = size_of::<Header>();
        record.bytes[at..at + 2].copy_from_slice(&update.to_le_bytes());
        Ok(record)
    }

    /// The same record as one that continues `base`.
    pub fn continuing(mut self, base: Reference) -> Result<Self, Flaw> {
        self.change(|header| header.base = base.0.into())?;
        Ok(self)
    }

    /// Makes it free: references to it are stale from now on.
    pub fn end(&mut self) -> Result<(), Flaw> {
        self.change(|header| {
            header.flags = (header.flags.get() & !IN_USE).into();
            // 0 is that of no file.
            header.sequence = header.sequence.get().wrapping_add(1).max(1).into();
        })
    }

    pub fn change(&mut self, change: impl FnOnce(&mut Header)) -> Result<(), Flaw> {
        let (header, _) =
            Header::mut_from_prefix(&mut self.bytes).map_err(|_| flaw("a FILE record", "a part of one"))?;
        change(header);
        Ok(())
    }

    /// Where the first attribute begins.
    pub fn first_attribute(&self) -> Result<usize, Flaw> {
        Ok(self.header()?.first_attribute.get().into())
    }

    /// Replaces all attributes, of which each has the number of its place for its instance. `false` when they do not fit;
    /// then nothing has changed.
    pub fn set_attributes(&mut self, attributes: &[Vec<u8>]) -> Result<bool, Flaw> {
        let first = self.first_attribute()?;
        let end = first + attributes.iter().map(Vec::len).sum::<usize>();
        if end + 8 > self.bytes.len() {
            return Ok(false);
        }
        let size = self.bytes.len();
        self.bytes.truncate(first);
        self.bytes.extend(attributes.iter().flatten());
        self.bytes.extend(END.to_le_bytes());
        self.bytes.resize(size, 0);
        self.change(|header| {
            header.used = ((end + 8) as u32).into();
            header.next_instance = (attributes.len() as u16).into();
        })?;
        Ok(true)
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

    pub fn reference(&self) -> Result<Reference, Flaw> {
        Ok(Reference::new(self.number, self.sequence()?))
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
    let (kind, flags, instance) = (header.kind.get(), header.flags.get(), header.instance.get());
    let name = usize::from(header.name_offset.get());
    let name = bytes.get(name..name + 2 * usize::from(header.name_len));
    let name = if header.name_len == 0 { &[] } else { name? };
    let (mut indexed, mut compressed) = (0, None);
    let value = if header.non_resident == 0 {
        let (resident, _) = Resident::ref_from_prefix(bytes).ok()?;
        indexed = resident.indexed;
        Value::Resident(bytes.get(resident.offset.get().into()..)?.get(..resident.len.get() as usize)?)
    } else {
        let (header, _) = NonResident::read_from_prefix(bytes).ok()?;
        let pairs = usize::from(header.pairs_offset.get());
        if flags & (flag::COMPRESSION | flag::SPARSE) != 0 && pairs >= size_of::<NonResident>() + 8 {
            let behind = bytes.get(size_of::<NonResident>()..)?;
            compressed = Some(U64::read_from_prefix(behind).ok()?.0.get());
        }
        // The pairs may not lie over the header, which is written with them.
        Value::NonResident(header, bytes.get(pairs..).filter(|_| pairs >= size_of::<NonResident>())?)
    };
    Some(Attribute { at, len: bytes.len(), kind, flags, instance, indexed, compressed, name, value })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(U32::read_from_prefix(bytes.get(at..)?).ok()?.0.get())
}
