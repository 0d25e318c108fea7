//! An attribute of a file as a whole, wherever its parts stood, and the bytes that records hold of it.

use std::cmp::Ordering;

use super::super::flaw::{Flaw, flaw};
use super::super::record::{self, flag};
use super::super::runs::{self, Run};
use super::super::upcase::Upcase;

/// Bytes of the header of a value in the record.
const RESIDENT: usize = 0x18;
/// Bytes of the header of a value in clusters, and where it says how many of them are really there, too.
const IN_CLUSTERS: usize = 0x40;
const WITH_COMPRESSED: usize = 0x48;

/// An attribute without what depends on the record that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::windows::ntfs) struct Attribute {
    pub kind: u32,
    pub name: Vec<u16>,
    pub flags: u16,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::windows::ntfs) enum Value {
    Resident {
        bytes: Vec<u8>,
        /// Whether it is a key of an index: of `$FILE_NAME` alone.
        indexed: u8,
    },
    Clusters(Clusters),
}

/// A value in clusters, with the sizes as the header has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::windows::ntfs) struct Clusters {
    pub runs: Vec<Run>,
    pub unit: u8,
    pub allocated: u64,
    pub size: u64,
    pub initialized: u64,
    /// Bytes of the clusters that are really there, where the header has it.
    pub compressed: Option<u64>,
}

impl Clusters {
    pub fn count(&self) -> u64 {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(run.len))
    }
}

impl Attribute {
    /// An attribute whose value stands in the record.
    pub fn resident(kind: u32, name: &str, bytes: Vec<u8>) -> Self {
        let indexed = u8::from(kind == record::kind::FILE_NAME);
        let value = Value::Resident { bytes, indexed };
        Self { kind, name: name.encode_utf16().collect(), flags: 0, value }
    }

    pub fn in_clusters(kind: u32, name: &str, clusters: Clusters) -> Self {
        let value = Value::Clusters(clusters);
        Self { kind, name: name.encode_utf16().collect(), flags: 0, value }
    }

    /// One part of an attribute, as a record has it, and the cluster with which it begins.
    pub fn parse(part: &record::Attribute, clusters: u64) -> Result<(Self, u64), Flaw> {
        let (value, lowest) = match part.value {
            record::Value::Resident(bytes) => {
                (Value::Resident { bytes: bytes.to_vec(), indexed: part.indexed }, 0)
            }
            record::Value::NonResident(header, pairs) => {
                let runs = runs::decode(pairs, clusters)?;
                let lowest = header.lowest_vcn.get();
                let value = Clusters {
                    unit: header.compression_unit,
                    allocated: header.allocated.get(),
                    size: header.size.get(),
                    initialized: header.initialized.get(),
                    compressed: part.compressed,
                    runs,
                };
                let highest = lowest.saturating_add(value.count()).wrapping_sub(1);
                if header.highest_vcn.get() != highest {
                    let found = header.highest_vcn.get().to_string();
                    return Err(flaw(format!("runs up to cluster {highest}"), found));
                }
                (Value::Clusters(value), lowest)
            }
        };
        let name = part.name.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        Ok((Self { kind: part.kind, name: name.collect(), flags: part.flags, value }, lowest))
    }

    pub fn is(&self, kind: u32, name: &str) -> bool {
        self.kind == kind && name.encode_utf16().eq(self.name.iter().copied())
    }

    /// The order in which a record has its attributes.
    pub fn order<'a>(&'a self, other: &'a Self, upcase: &Upcase) -> Ordering {
        // Several names of a file are in the order of their values.
        let value = |attribute: &'a Self| match &attribute.value {
            Value::Resident { bytes, indexed: 1 } => bytes.as_slice(),
            _ => &[],
        };
        let name = |attribute: &'a Self| attribute.name.iter().copied();
        let by_name = || upcase.compare(name(self), name(other)).then_with(|| self.name.cmp(&other.name));
        self.kind.cmp(&other.kind).then_with(by_name).then_with(|| value(self).cmp(value(other)))
    }

    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.value {
            Value::Resident { bytes, .. } => Some(bytes),
            Value::Clusters(_) => None,
        }
    }

    pub fn clusters(&self) -> Option<&Clusters> {
        match &self.value {
            Value::Resident { .. } => None,
            Value::Clusters(clusters) => Some(clusters),
        }
    }

    pub fn size(&self) -> u64 {
        match &self.value {
            Value::Resident { bytes, .. } => bytes.len() as u64,
            Value::Clusters(clusters) => clusters.size,
        }
    }

    /// Whether its bytes are stored as they are.
    pub fn is_plain(&self) -> bool {
        self.flags & (flag::COMPRESSION | flag::ENCRYPTED | flag::SPARSE) == 0
    }

    /// Bytes that all of it takes in one record.
    pub fn len(&self) -> usize {
        match &self.value {
            Value::Resident { bytes, .. } => self.behind_name(RESIDENT) + bytes.len().next_multiple_of(8),
            Value::Clusters(clusters) => self.len_with(runs::encode(&clusters.runs).len()),
        }
    }

    /// Bytes that a part in clusters takes, with `pairs` bytes of mapping pairs.
    pub fn len_with(&self, pairs: usize) -> usize {
        (self.behind_name(self.header()) + pairs).next_multiple_of(8)
    }

    fn header(&self) -> usize {
        match &self.value {
            Value::Resident { .. } => RESIDENT,
            Value::Clusters(Clusters { compressed: Some(_), .. }) => WITH_COMPRESSED,
            Value::Clusters(_) => IN_CLUSTERS,
        }
    }

    fn behind_name(&self, header: usize) -> usize {
        (header + 2 * self.name.len()).next_multiple_of(8)
    }

    /// The bytes of a part: of all of it, or of `runs` that begin with cluster `lowest`.
    pub fn to_bytes(&self, part: Option<(u64, &[Run])>, instance: u16) -> Vec<u8> {
        let header = self.header();
        let value_at = self.behind_name(header);
        let mut bytes = vec![0; value_at];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &self.kind.to_le_bytes());
        // A name has at most 255 units.
        put(9, &[self.name.len() as u8]);
        put(0x0a, &(header as u16).to_le_bytes());
        put(0x0c, &self.flags.to_le_bytes());
        put(0x0e, &instance.to_le_bytes());
        for (unit, at) in self.name.iter().zip((header..).step_by(2)) {
            put(at, &unit.to_le_bytes());
        }
        match &self.value {
            Value::Resident { bytes: value, indexed } => {
                put(0x10, &(value.len() as u32).to_le_bytes());
                put(0x14, &(value_at as u16).to_le_bytes());
                put(0x16, &[*indexed]);
                bytes.extend_from_slice(value);
            }
            Value::Clusters(clusters) => {
                let (lowest, runs) = part.unwrap_or((0, &clusters.runs));
                let highest = runs.iter().fold(lowest, |sum, run| sum + run.len).wrapping_sub(1);
                put(8, &[1]);
                put(0x10, &lowest.to_le_bytes());
                put(0x18, &highest.to_le_bytes());
                put(0x20, &(value_at as u16).to_le_bytes());
                put(0x22, &[clusters.unit]);
                // The sizes are those of the whole, and stand in its first part alone.
                if lowest == 0 {
                    put(0x28, &clusters.allocated.to_le_bytes());
                    put(0x30, &clusters.size.to_le_bytes());
                    put(0x38, &clusters.initialized.to_le_bytes());
                    if let Some(compressed) = clusters.compressed {
                        put(0x40, &compressed.to_le_bytes());
                    }
                }
                bytes.extend_from_slice(&runs::encode(runs));
            }
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let len = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&len.to_le_bytes());
        bytes
    }
}
