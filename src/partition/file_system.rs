//! Which file system a volume holds, as its first bytes tell.

use std::fmt;

use crate::disk::Disk;
use crate::error::Result;
use crate::leaves::KIB;

/// What a volume holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileSystem {
    /// NTFS.
    Ntfs,
    /// FAT with entries of 12 bits.
    Fat12,
    /// FAT with entries of 16 bits.
    Fat16,
    /// FAT with entries of 32 bits.
    Fat32,
    /// exFAT.
    ExFat,
    /// ReFS.
    ReFs,
    /// A volume that BitLocker encrypts, or did.
    BitLocker,
    /// A part of a dynamic disk: what it holds, the logical disk manager knows.
    Ldm,
    /// ext2, ext3 or ext4.
    Ext,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// Linux swap space.
    Swap,
    /// A physical volume of Linux's LVM.
    Lvm,
    /// A part of an array of Linux's md.
    Md,
    /// A volume that LUKS encrypts.
    Luks,
    /// F2FS.
    F2fs,
    /// HFS+ or HFSX.
    HfsPlus,
    /// APFS.
    Apfs,
    /// SquashFS.
    Squash,
    /// ISO 9660.
    Iso9660,
}

/// Bytes that are looked at: up to Btrfs' superblock.
const LOOK: u64 = 68 * KIB;

/// Signatures that stand alone, and their places.
const SIGNATURES: &[(usize, &[u8], FileSystem)] = &[
    (0x1_0040, b"_BHRfS_M", FileSystem::Btrfs),
    (0, b"XFSB", FileSystem::Xfs),
    (0, b"LUKS\xba\xbe", FileSystem::Luks),
    (512, b"LABELONE", FileSystem::Lvm),
    (MD[0], MD_MAGIC, FileSystem::Md),
    (MD[1], MD_MAGIC, FileSystem::Md),
    (1024 + 56, &[0x53, 0xef], FileSystem::Ext),
    (4096 - 10, b"SWAPSPACE2", FileSystem::Swap),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], FileSystem::F2fs),
    (1024, b"H+\0\x04", FileSystem::HfsPlus),
    (1024, b"HX\0\x05", FileSystem::HfsPlus),
    (32, b"NXSB", FileSystem::Apfs),
    (0, b"hsqs", FileSystem::Squash),
    (0x8001, b"CD001", FileSystem::Iso9660),
];

/// Where md's superblock is, of versions 1.2 and 1.1; of the others it stands at the end, and what is in front is what the
/// array holds.
pub(super) const MD: [usize; 2] = [4096, 0];
const MD_MAGIC: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];

/// BitLocker's GUIDs {4967d63b-2e29-4ad8-8399-f6a339e3d001} of a volume that looks like FAT32 to others.
const BITLOCKER_TO_GO: &[u8] =
    &[0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01];

/// The header of a dynamic disk's database; in a GPT's metadata partition it is at these sectors of 512 bytes.
const PRIVATE_HEADER: &[u8] = b"PRIVHEAD";
const PRIVATE_HEADERS: [u64; 2] = [1856, 2047];

impl FileSystem {
    /// What `volume` holds: a whole disk, or a [slice](Disk::slice) of one. `None` when nothing is recognised.
    ///
    /// # Errors
    ///
    /// What reading the volume gives rise to.
    pub fn of(volume: &Disk) -> Result<Option<Self>> {
        let mut bytes = vec![0; volume.size().min(LOOK) as usize];
        volume.read_at(&mut bytes, 0)?;
        if let Some(found) = Self::of_boot_sector(&bytes, volume.size()) {
            return Ok(Some(found));
        }
        if let Some(&(.., found)) = SIGNATURES.iter().find(|(at, magic, _)| has(&bytes, *at, magic)) {
            return Ok(Some(found));
        }
        for sector in
            PRIVATE_HEADERS.map(|sector| sector * 512).into_iter().filter(|at| at + 8 <= volume.size())
        {
            let mut magic = [0; 8];
            volume.read_at(&mut magic, sector)?;
            if magic == PRIVATE_HEADER {
                return Ok(Some(FileSystem::Ldm));
            }
        }
        Ok(None)
    }

    /// What the boot sector of a volume of `size` bytes says, for those that have one.
    pub(super) fn of_boot_sector(sector: &[u8], size: u64) -> Option<Self> {
        match sector.get(3..11)? {
            b"NTFS    " => Some(FileSystem::Ntfs),
            b"EXFAT   " => Some(FileSystem::ExFat),
            b"ReFS\0\0\0\0" => Some(FileSystem::ReFs),
            b"-FVE-FS-" => Some(FileSystem::BitLocker),
            _ if has(sector, 0x1a8, BITLOCKER_TO_GO) => Some(FileSystem::BitLocker),
            _ => fat(sector, size),
        }
    }

    /// The name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ntfs => "ntfs",
            FileSystem::Fat12 => "fat12",
            FileSystem::Fat16 => "fat16",
            FileSystem::Fat32 => "fat32",
            FileSystem::ExFat => "exfat",
            FileSystem::ReFs => "refs",
            FileSystem::BitLocker => "bitlocker",
            FileSystem::Ldm => "ldm",
            FileSystem::Ext => "ext",
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
            FileSystem::Swap => "swap",
            FileSystem::Lvm => "lvm",
            FileSystem::Md => "mdraid",
            FileSystem::Luks => "luks",
            FileSystem::F2fs => "f2fs",
            FileSystem::HfsPlus => "hfsplus",
            FileSystem::Apfs => "apfs",
            FileSystem::Squash => "squashfs",
            FileSystem::Iso9660 => "iso9660",
        }
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..at + magic.len()) == Some(magic)
}

/// A FAT's width, by its number of clusters (Microsoft FAT specification, section 3.5). FAT has no signature: every field of the BIOS
/// parameter block must make sense.
fn fat(sector: &[u8], size: u64) -> Option<FileSystem> {
    let u16_at = |at: usize| Some(u64::from(u16::from_le_bytes(*sector.get(at..)?.first_chunk()?)));
    let u32_at = |at: usize| Some(u64::from(u32::from_le_bytes(*sector.get(at..)?.first_chunk()?)));
    let &[jump, .., nop] = sector.first_chunk::<3>()?;
    let bytes_per_sector = u16_at(11)?;
    let per_cluster = u64::from(*sector.get(13)?);
    let (reserved, fats, root_entries) = (u16_at(14)?, u64::from(*sector.get(16)?), u16_at(17)?);
    let media = *sector.get(21)?;
    let either = |short: u64, long: u64| if short == 0 { long } else { short };
    let total = either(u16_at(19)?, u32_at(32)?);
    let fat_sectors = either(u16_at(22)?, u32_at(36)?);
    let plausible = (jump == 0xe9 || (jump == 0xeb && nop == 0x90))
        && matches!(bytes_per_sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved != 0
        && (1..=2).contains(&fats)
        && (media == 0xf0 || media >= 0xf8)
        && fat_sectors != 0
        && total * bytes_per_sector <= size.next_multiple_of(bytes_per_sector);
    if !plausible {
        return None;
    }
    let root_sectors = (root_entries * 32).div_ceil(bytes_per_sector);
    let clusters = total.checked_sub(reserved + fats * fat_sectors + root_sectors)? / per_cluster;
    Some(match clusters {
        0 => return None,
        1..4085 => FileSystem::Fat12,
        4085..65525 => FileSystem::Fat16,
        _ => FileSystem::Fat32,
    })
}
