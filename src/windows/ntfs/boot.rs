//! The boot sector: where everything begins.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::flaw::{Flaw, flaw};

const OEM_ID: [u8; 8] = *b"NTFS    ";
/// Windows formats clusters of up to 2 MiB.
const MAX_CLUSTER: u64 = 2 << 20;
/// Bytes of a FILE record or an index block: 1 KiB and 4 KiB as Windows formats them.
const RECORD_SIZES: std::ops::RangeInclusive<u64> = 512..=64 << 10;

/// The fields of the boot sector that are read or written.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BootSector {
    jump: [u8; 3],
    oem_id: [u8; 8],
    bytes_per_sector: U16,
    sectors_per_cluster: u8,
    unused: [u8; 26],
    total_sectors: U64,
    mft_lcn: U64,
    mft_mirror_lcn: U64,
    clusters_per_record: i8,
    reserved: [u8; 3],
    clusters_per_index_block: i8,
}
const _: () = assert!(size_of::<BootSector>() == 0x45);

/// What the boot sector says, checked.
#[derive(Debug, Clone)]
pub(super) struct Boot {
    /// The whole sector.
    sector: Vec<u8>,
    pub sector_size: u64,
    pub cluster_size: u64,
    /// Sectors of the volume, without the one of the boot sector's copy.
    pub sectors: u64,
    /// Whole clusters.
    pub clusters: u64,
    pub mft: u64,
    pub record_size: u64,
    /// Bytes of a block of a directory's index; of no meaning where that is no size of one.
    pub index_block: u64,
}

impl Boot {
    /// Bytes of the largest boot sector.
    pub const LEN: usize = 4096;

    /// Whether a volume that begins with these bytes says that it is NTFS.
    pub fn recognises(prefix: &[u8]) -> bool {
        prefix.get(3..11) == Some(&OEM_ID)
    }

    /// `prefix` is what the volume begins with, `volume` the room that it has in bytes.
    pub fn parse(prefix: &[u8], volume: u64) -> Result<Self, Flaw> {
        let (fields, _) =
            BootSector::read_from_prefix(prefix).map_err(|_| flaw("a boot sector", "no room for one"))?;
        if fields.oem_id != OEM_ID {
            return Err(flaw("the OEM id \"NTFS    \"", format!("\"{}\"", fields.oem_id.escape_ascii())));
        }
        let sector_size = u64::from(fields.bytes_per_sector.get());
        if !sector_size.is_power_of_two() || !(512..=4096).contains(&sector_size) {
            return Err(flaw("sectors of 512 to 4096 bytes", sector_size.to_string()));
        }
        // Above 128 sectors the field is the negative binary logarithm.
        let sectors_per_cluster = match fields.sectors_per_cluster {
            n @ 0..=0x80 => u64::from(n),
            n => 1u64.checked_shl(n.wrapping_neg().into()).unwrap_or(0),
        };
        let cluster_size = sectors_per_cluster.saturating_mul(sector_size);
        if !cluster_size.is_power_of_two() || cluster_size > MAX_CLUSTER {
            return Err(flaw(
                "clusters of a power of two, to 2 MiB",
                format!("{sectors_per_cluster} sectors"),
            ));
        }
        // As a number of clusters, or the negative binary logarithm of its bytes.
        let size = |field: i8| match field {
            n @ 1.. => cluster_size.saturating_mul(n.unsigned_abs().into()),
            n => 1u64.checked_shl(n.unsigned_abs().into()).unwrap_or(0),
        };
        let record_size = size(fields.clusters_per_record);
        let index_block = size(fields.clusters_per_index_block);
        if !record_size.is_power_of_two() || !RECORD_SIZES.contains(&record_size) {
            return Err(flaw("FILE records of 512 bytes to 64 KiB", format!("{record_size} bytes")));
        }
        let (sectors, room) = (fields.total_sectors.get(), volume / sector_size);
        if sectors > room {
            return Err(flaw(format!("at most the partition's {room} sectors"), sectors.to_string()));
        }
        let (clusters, mft) = (sectors / sectors_per_cluster, fields.mft_lcn.get());
        if mft > clusters || record_size.div_ceil(cluster_size) > clusters - mft {
            return Err(flaw(format!("the MFT within {clusters} clusters"), format!("at {mft}")));
        }
        let sector = prefix
            .get(..sector_size as usize)
            .ok_or_else(|| flaw("a boot sector", "a part of one"))?
            .to_vec();
        Ok(Self { sector, sector_size, cluster_size, sectors, clusters, mft, record_size, index_block })
    }

    /// The whole sector.
    pub fn sector(&self) -> &[u8] {
        &self.sector
    }

    /// The first cluster of the mirror of the first FILE records.
    pub fn mirror(&self) -> u64 {
        BootSector::ref_from_prefix(&self.sector).map_or(0, |(fields, _)| fields.mft_mirror_lcn.get())
    }

    /// The sector with other numbers.
    pub fn changed(&self, sectors: u64, mft: u64, mirror: u64) -> Vec<u8> {
        let mut sector = self.sector.clone();
        if let Ok((fields, _)) = BootSector::mut_from_prefix(&mut sector) {
            fields.total_sectors = sectors.into();
            fields.mft_lcn = mft.into();
            fields.mft_mirror_lcn = mirror.into();
        }
        sector
    }
}
