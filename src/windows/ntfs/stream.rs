//! The value of an attribute, wherever it lies: in its record, or in clusters that one record or many tell of.

use std::collections::BTreeSet;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::boot::Boot;
use super::flaw::{Flaw, flaw};
use super::record::{Attribute, Record, Reference, Value, kind, same_name};
use super::runs::{self, Run};
use super::volume::Volume;
use crate::error::{Error, Result};

/// Windows allows no longer attribute list.
pub(super) const MAX_LIST: u64 = 256 << 10;
/// Runs of a file that are kept in memory: 6 MiB.
const MAX_RUNS: usize = 1 << 18;

#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub flags: u16,
    /// The binary logarithm of the clusters that are compressed together; 0 without compression.
    pub compression_unit: u8,
    pub size: u64,
    /// What lies beyond reads as zeros.
    pub initialized: u64,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    Resident(Vec<u8>),
    Runs(Vec<Run>),
}

/// An entry of an attribute list: in which record the attribute is.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ListEntry {
    pub kind: U32,
    pub len: U16,
    pub name_len: u8,
    pub name_offset: u8,
    pub lowest_vcn: U64,
    pub record: U64,
    pub instance: U16,
}

impl Stream {
    /// A stream that is neither compressed nor encrypted, with `size` bytes at `place`.
    pub fn plain(place: Place, size: u64) -> Self {
        Self { flags: 0, compression_unit: 0, size, initialized: size, place }
    }

    /// A stream that holds nothing.
    pub fn empty() -> Self {
        Self::plain(Place::Resident(Vec::new()), 0)
    }

    /// What one attribute tells: all of the value, or its first part.
    pub fn of(attribute: &Attribute, boot: &Boot) -> Result<Self, Flaw> {
        let plain = match attribute.value {
            Value::Resident(bytes) => Self::plain(Place::Resident(bytes.to_vec()), bytes.len() as u64),
            Value::NonResident(header, pairs) => Self {
                compression_unit: header.compression_unit,
                initialized: header.initialized.get(),
                ..Self::plain(Place::Runs(runs::decode(pairs, boot.clusters)?), header.size.get())
            },
        };
        Ok(Self { flags: attribute.flags, ..plain })
    }

    /// The attribute of a kind and name of the file whose first record is `base`.
    pub fn find(volume: &Volume, base: &Record, kind: u32, name: &str) -> Result<Option<Self>> {
        let Some(list) = Self::in_record(volume, base, kind::ATTRIBUTE_LIST, "")? else {
            return Self::in_record(volume, base, kind, name);
        };
        let list = list.read(volume, MAX_LIST)?;
        let mut stream: Option<Self> = None;
        let mut vcn = 0;
        for part in references(&list, kind, name) {
            let record = record_of(volume, base, part)?;
            let next = volume.in_record(&record, |record| {
                let found = record.attribute(kind, name, vcn)?;
                let found =
                    found.ok_or_else(|| flaw(format!("the clusters from {vcn} on"), "no such attribute"))?;
                Self::of(&found, &volume.boot)
            })?;
            vcn = next.clusters().saturating_add(vcn);
            match (&mut stream, next.place) {
                (None, place) => stream = Some(Self { place, ..next }),
                (Some(Self { place: Place::Runs(runs), .. }), Place::Runs(more)) => runs.extend(more),
                _ => {
                    let flaw = flaw("one value, in the record or in clusters", "both");
                    return volume.in_record(base, |_| Err(flaw));
                }
            }
            stream.iter().try_for_each(Self::check_runs)?;
        }
        Ok(stream)
    }

    /// The attribute of a kind and name that begins in this very record.
    pub fn in_record(volume: &Volume, record: &Record, kind: u32, name: &str) -> Result<Option<Self>> {
        volume.in_record(record, |record| {
            let found = record.attribute(kind, name, 0)?;
            found.map(|attribute| Self::of(&attribute, &volume.boot)).transpose()
        })
    }

    fn check_runs(&self) -> Result<()> {
        match &self.place {
            Place::Runs(runs) if runs.len() > MAX_RUNS => Err(Error::Unsupported {
                what: format!(
                    "a file in more than {MAX_RUNS} fragments cannot be read: defragment the volume"
                ),
            }),
            _ => Ok(()),
        }
    }

    /// The runs; none when the value lies in the record.
    pub fn runs(&self) -> &[Run] {
        match &self.place {
            Place::Runs(runs) => runs,
            Place::Resident(_) => &[],
        }
    }

    /// Clusters, with those of holes.
    pub fn clusters(&self) -> u64 {
        self.runs().iter().fold(0, |sum, run| sum.saturating_add(run.len))
    }

    /// Fills `buf` from byte `offset` on: the bytes as they are stored, zeros in holes and beyond what is initialised.
    pub fn read_at(&self, volume: &Volume, buf: &mut [u8], offset: u64) -> Result<()> {
        let runs = match &self.place {
            Place::Runs(runs) => runs,
            Place::Resident(bytes) => {
                let bytes = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)?.get(..buf.len()));
                buf.copy_from_slice(bytes.ok_or_else(|| beyond(offset, self.size))?);
                return Ok(());
            }
        };
        let (buf, rest) =
            buf.split_at_mut(self.initialized.saturating_sub(offset).min(buf.len() as u64) as usize);
        rest.fill(0);
        self.read_clusters(volume, runs, buf, offset)
    }

    /// Fills `buf` from the clusters, whatever the sizes say.
    fn read_clusters(&self, volume: &Volume, runs: &[Run], mut buf: &mut [u8], offset: u64) -> Result<()> {
        for (place, len) in runs::pieces(runs, volume.boot.cluster_size, offset, buf.len() as u64) {
            let (piece, rest) = std::mem::take(&mut buf).split_at_mut(len as usize);
            match place {
                Some(place) => volume.read_at(piece, place)?,
                None => piece.fill(0),
            }
            buf = rest;
        }
        match buf.is_empty() {
            true => Ok(()),
            false => Err(beyond(offset, self.clusters().saturating_mul(volume.boot.cluster_size))),
        }
    }

    /// All of it as it is stored, when that is at most `limit` bytes.
    pub fn read(&self, volume: &Volume, limit: u64) -> Result<Vec<u8>> {
        self.check_size(limit)?;
        let mut bytes = vec![0; self.size as usize];
        self.read_at(volume, &mut bytes, 0)?;
        Ok(bytes)
    }

    pub fn check_size(&self, limit: u64) -> Result<()> {
        match self.size > limit {
            true => {
                let found = format!("{} bytes", self.size);
                Err(flaw(format!("at most {limit} bytes"), found).at("NTFS attribute", 0))
            }
            false => Ok(()),
        }
    }
}

/// The record of a file, which begins with `base`, to which an attribute list refers.
fn record_of(volume: &Volume, base: &Record, part: Reference) -> Result<Record> {
    let record = match part.number() == base.number {
        true => base.clone(),
        false => volume.record(part.number())?,
    };
    volume.in_record(&record, |record| {
        let owner = record.base()?.map_or(record.number, Reference::number);
        match owner != base.number || record.sequence()? != part.sequence() || !record.in_use()? {
            true => Err(flaw(format!("a part of the file {}", base.number), "another file's record")),
            false => Ok(()),
        }
    })?;
    Ok(record)
}

/// Calls `visit` with each attribute of a kind, or part of one, that the file whose first record is `base` has.
pub(super) fn each(
    volume: &Volume,
    base: &Record,
    kind: u32,
    mut visit: impl FnMut(&Attribute),
) -> Result<()> {
    let mut visit_those_of = |record: &Record| {
        let attributes = volume.in_record(record, Record::attributes)?;
        attributes.iter().filter(|attribute| attribute.kind == kind).for_each(&mut visit);
        Ok(())
    };
    let list = volume.in_record(base, |base| base.attribute(kind::ATTRIBUTE_LIST, "", 0))?;
    let Some(list) = list else { return visit_those_of(base) };
    let list = volume.in_record(base, |_| Stream::of(&list, &volume.boot))?.read(volume, MAX_LIST)?;
    let records: BTreeSet<u64> =
        entries(&list).filter(|(entry, _)| entry.kind == kind).map(|(entry, _)| entry.record.get()).collect();
    records.into_iter().try_for_each(|part| visit_those_of(&record_of(volume, base, Reference(part))?))
}

fn beyond(offset: u64, size: u64) -> Error {
    flaw(format!("bytes at offset {offset}"), format!("an end at {size}")).at("NTFS attribute", offset)
}

/// The records that an attribute list gives for an attribute, in order.
pub(super) fn references(list: &[u8], kind: u32, name: &str) -> Vec<Reference> {
    let its = entries(list).filter(|(entry, bytes)| entry.kind == kind && same_name(bytes, name));
    its.map(|(entry, _)| Reference(entry.record.get())).collect()
}

/// The entries of an attribute list with the names of the attributes, as far as the list makes sense.
fn entries(list: &[u8]) -> impl Iterator<Item = (&ListEntry, &[u8])> {
    let mut rest = list;
    let all = std::iter::from_fn(move || {
        let (entry, _) = ListEntry::ref_from_prefix(rest).ok()?;
        let (bytes, next) = rest.split_at_checked(entry.len.get().into())?;
        rest = next;
        (bytes.len() >= size_of::<ListEntry>()).then_some((entry, bytes))
    });
    all.filter_map(|(entry, bytes)| {
        let at = usize::from(entry.name_offset);
        let name = match entry.name_len {
            0 => &[],
            len => bytes.get(at..at + 2 * usize::from(len))?,
        };
        Some((entry, name))
    })
}
