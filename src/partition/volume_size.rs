//! How many bytes a file system says that it takes of its volume.

use super::FileSystem;
use super::file_system::MD;
use crate::disk::Disk;
use crate::error::Result;

/// The first bytes of a volume, up to all the superblocks that are looked at.
struct Front(Vec<u8>);

/// Bytes that hold them: Btrfs' is the last, from 64 KiB on.
const FRONT: u64 = 68 << 10;

impl Front {
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn u16(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(u16::from_le_bytes).map(u64::from)
    }

    fn u32(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(u32::from_le_bytes).map(u64::from)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(u64::from_le_bytes)
    }

    fn be_u32(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(u32::from_be_bytes).map(u64::from)
    }

    fn be_u64(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(u64::from_be_bytes)
    }
}

impl FileSystem {
    /// How many bytes from the beginning of `volume` this file system takes, which was [found](Self::of) there. `None` where it
    /// does not say, or what makes no sense: then it may take all of them.
    ///
    /// # Errors
    ///
    /// What reading the volume gives rise to.
    pub fn size(self, volume: &Disk) -> Result<Option<u64>> {
        let mut front = vec![0; volume.size().min(FRONT) as usize];
        volume.read_at(&mut front, 0)?;
        Ok(self.size_in(&Front(front)).filter(|&size| size > 0))
    }

    fn size_in(self, front: &Front) -> Option<u64> {
        let (count, unit) = match self {
            // The sector behind those that are counted holds the copy of the boot sector.
            FileSystem::Ntfs => (front.u64(40)?.checked_add(1)?, front.u16(11)?),
            FileSystem::Fat12 | FileSystem::Fat16 | FileSystem::Fat32 => {
                let short = front.u16(19)?;
                (if short == 0 { front.u32(32)? } else { short }, front.u16(11)?)
            }
            // "exFAT file system specification", 3.1: VolumeLength, BytesPerSectorShift.
            FileSystem::ExFat => (front.u64(72)?, power(front.bytes::<1>(108)?[0].into())?),
            FileSystem::ReFs => (front.u64(24)?, front.u32(32)?),
            // ext4's documentation, "Super Block": the upper half counts with the feature 64BIT.
            FileSystem::Ext => {
                let wide = front.u32(1024 + 0x60)? & 0x80 != 0;
                let upper = if wide { front.u32(1024 + 0x150)? } else { 0 };
                (upper << 32 | front.u32(1024 + 4)?, power(front.u32(1024 + 24)?.checked_add(10)?)?)
            }
            // "XFS Algorithms & Data Structures", "Superblocks": sb_dblocks, sb_blocksize.
            FileSystem::Xfs => (front.be_u64(8)?, front.be_u32(4)?),
            // The device's own item in the superblock: total_bytes.
            FileSystem::Btrfs => (front.u64(0x1_0000 + 0xc9 + 8)?, 1),
            // The signature stands at the end of the first page; the header gives the last one.
            FileSystem::Swap => (front.u32(1024 + 4)?.checked_add(1)?, 4096),
            // The label says where the physical volume's header is, which has the device's size behind its identity.
            FileSystem::Lvm => {
                let header = usize::try_from(front.u32(512 + 20)?).ok()?;
                (front.u64(header.checked_add(512 + 32)?)?, 1)
            }
            // Linux' md_p.h, mdp_superblock_1: data_offset, data_size.
            FileSystem::Md => {
                let at =
                    MD.into_iter().find(|&at| front.u32(at).is_some_and(|magic| magic == 0xa92b_4efc))?;
                (front.u64(at + 128)?.checked_add(front.u64(at + 136)?)?, 512)
            }
            // log_blocksize and block_count of F2FS' superblock.
            FileSystem::F2fs => (front.u64(1024 + 36)?, power(front.u32(1024 + 16)?)?),
            // Apple's Technical Note 1150, "Volume Header": totalBlocks, blockSize.
            FileSystem::HfsPlus => (front.be_u32(1024 + 44)?, front.be_u32(1024 + 40)?),
            // "Apple File System Reference", nx_superblock_t: nx_block_count, nx_block_size.
            FileSystem::Apfs => (front.u64(40)?, front.u32(36)?),
            FileSystem::Squash => (front.u64(40)?, 1),
            // ECMA-119, 8.4: Volume Space Size, Logical Block Size.
            FileSystem::Iso9660 => (front.u32(0x8000 + 80)?, front.u16(0x8000 + 128)?),
            FileSystem::BitLocker | FileSystem::Ldm | FileSystem::Luks => return None,
        };
        count.checked_mul(unit)
    }
}

fn power(shift: u64) -> Option<u64> {
    1_u64.checked_shl(u32::try_from(shift).ok()?)
}
