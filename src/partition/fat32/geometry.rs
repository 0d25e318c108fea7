//! How a volume is divided.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::leaves::Rule;
use crate::{GIB, KIB, MIB};

/// "If it is less than 65525, then the volume is FAT16": with fewer clusters it would not be read as a FAT32 (section "FAT Type Determination").
const MIN_CLUSTERS: u64 = 65525;
/// Numbers from 0FFFFFF7 on are no clusters; the first is 2.
const MAX_CLUSTERS: u64 = 0x0fff_fff5;
/// Sectors before the first table at least: what formatting in Windows and elsewhere leaves.
const RESERVED: u64 = 32;
/// Tables.
pub(super) const TABLES: u64 = 2;

#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    /// Bytes of a sector.
    pub(super) sector: u64,
    /// Sectors of the disk before the volume.
    pub(super) hidden: u64,
    /// Sectors of the volume.
    pub(super) sectors: u32,
    /// Sectors of a cluster.
    pub(super) per_cluster: u8,
    /// Sectors before the first table.
    pub(super) reserved: u16,
    /// Sectors of a table.
    pub(super) table: u32,
    /// Clusters of the data.
    pub(super) clusters: u64,
}

impl Geometry {
    /// The division of a partition, with clusters as large as Windows makes them, or smaller where they would be too few.
    pub(super) fn of(partition: &Range<u64>, sector_size: u32) -> Result<Self> {
        let sector = u64::from(sector_size);
        let size = partition.end.saturating_sub(partition.start);
        let mut cluster = usual_cluster(size).max(sector);
        while cluster >= sector {
            match Self::with_cluster(partition.start, size, sector, cluster) {
                Some(geometry) if geometry.clusters >= MIN_CLUSTERS => return Ok(geometry),
                _ => cluster /= 2,
            }
        }
        Err(no_room(format!(
            "a partition of {size} bytes with sectors of {sector} bytes cannot hold a FAT32: it has {MIN_CLUSTERS} clusters at least, and \
             2^32 sectors at most"
        )))
    }

    fn with_cluster(start: u64, size: u64, sector: u64, cluster: u64) -> Option<Self> {
        let (sectors, per_cluster) = (size / sector, cluster / sector);
        let at_most = sectors.checked_sub(RESERVED)? / per_cluster;
        let table = ((at_most + 2) * 4).div_ceil(sector);
        // The data begin at a whole cluster.
        let front = (RESERVED + TABLES * table).next_multiple_of(per_cluster);
        let clusters = sectors.checked_sub(front)? / per_cluster;
        Some(Self {
            sector,
            hidden: start / sector,
            sectors: u32::try_from(sectors).ok()?,
            per_cluster: u8::try_from(per_cluster).ok()?,
            reserved: u16::try_from(front - TABLES * table).ok()?,
            table: u32::try_from(table).ok()?,
            clusters: Some(clusters).filter(|&clusters| clusters <= MAX_CLUSTERS)?,
        })
    }

    /// Bytes of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        u64::from(self.per_cluster) * self.sector
    }
}

/// The cluster that Windows gives a FAT32 of so many bytes (Microsoft's article 140365).
fn usual_cluster(size: u64) -> u64 {
    let limits = [(64 * MIB, 512), (128 * MIB, KIB), (256 * MIB, 2 * KIB), (8 * GIB, 4 * KIB)];
    let larger = [(16 * GIB, 8 * KIB), (32 * GIB, 16 * KIB)];
    let mut known = limits.into_iter().chain(larger);
    known.find(|(limit, _)| size <= *limit).map_or(32 * KIB, |(_, cluster)| cluster)
}

/// The error for a partition that cannot hold the volume.
pub(super) fn no_room(reason: String) -> Error {
    Error::NotConvertible { rule: Rule::SystemPartitionRoom, reason }
}
