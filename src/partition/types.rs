//! What partitions are for: the types of both tables, and their names.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::error::Error;
use crate::strict;

/// What a table says that a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PartitionType {
    /// The byte of an MBR.
    Mbr(u8),
    /// The GUID of a GPT.
    Gpt(Uuid),
}

/// Types of a GPT's partitions.
pub mod gpt_type {
    use uuid::{Uuid, uuid};

    /// EFI system partition.
    pub const EFI_SYSTEM: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    /// Windows' volumes.
    pub const BASIC_DATA: Uuid = uuid!("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7");
    /// Microsoft's reserved partition.
    pub const MICROSOFT_RESERVED: Uuid = uuid!("e3c9e316-0b5c-4db8-817d-f92df00215ae");
    /// Windows' recovery environment.
    pub const WINDOWS_RECOVERY: Uuid = uuid!("de94bba4-06d1-4d40-a16a-bfd50179d6ac");
    /// Where a BIOS finds the rest of a boot loader.
    pub const BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
    /// The database of a dynamic disk.
    pub const LDM_METADATA: Uuid = uuid!("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3");
    /// The volumes of a dynamic disk.
    pub const LDM_DATA: Uuid = uuid!("af9b60a0-1431-4f62-bc68-3311714a69ad");

    /// The name of a partition that is made, as Windows gives it.
    pub(crate) fn new_name(kind: Uuid) -> &'static str {
        match kind {
            EFI_SYSTEM => "EFI system partition",
            MICROSOFT_RESERVED => "Microsoft reserved partition",
            BASIC_DATA | WINDOWS_RECOVERY => "Basic data partition",
            _ => "",
        }
    }

    pub(super) const NAMES: &[(Uuid, &str)] = &[
        (EFI_SYSTEM, "EFI system"),
        (BASIC_DATA, "Basic data"),
        (MICROSOFT_RESERVED, "Microsoft reserved"),
        (WINDOWS_RECOVERY, "Windows recovery"),
        (LDM_METADATA, "LDM metadata"),
        (LDM_DATA, "LDM data"),
        (uuid!("e75caf8f-f680-4cee-afa3-b001e56efc2d"), "Storage Spaces"),
        (uuid!("558d43c5-a1ac-43c0-aac8-d1472b2923d1"), "Storage Replica"),
        (BIOS_BOOT, "BIOS boot"),
        (uuid!("024dee41-33e7-11d3-9d69-0008c781f39f"), "MBR partition scheme"),
        (uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4"), "Linux data"),
        (uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"), "Linux swap"),
        (uuid!("e6d6d379-f507-44c2-a23c-238f2a3df928"), "Linux LVM"),
        (uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e"), "Linux RAID"),
        (uuid!("ca7d7ccb-63ed-4c53-861c-1742536059cc"), "Linux LUKS"),
        (uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"), "Linux root (x86-64)"),
        (uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915"), "Linux home"),
        (uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172"), "Linux extended boot"),
        (uuid!("aa31e02a-400f-11db-9590-000c2911d1b8"), "VMware VMFS"),
        (uuid!("9d275380-40ad-11db-bf97-000c2911d1b8"), "VMware core dump"),
        (uuid!("9198effc-31c0-11db-8f78-000c2911d1b8"), "VMware reserved"),
        (uuid!("48465300-0000-11aa-aa11-00306543ecac"), "Apple HFS+"),
        (uuid!("7c3457ef-0000-11aa-aa11-00306543ecac"), "Apple APFS"),
        (uuid!("516e7cb6-6ecf-11d6-8ff8-00022d09712b"), "FreeBSD UFS"),
        (uuid!("516e7cba-6ecf-11d6-8ff8-00022d09712b"), "FreeBSD ZFS"),
        (uuid!("516e7cb5-6ecf-11d6-8ff8-00022d09712b"), "FreeBSD swap"),
    ];
}

const MBR_NAMES: &[(u8, &str)] = &[
    (0x01, "FAT12"),
    (0x04, "FAT16 below 32 MiB"),
    (0x05, "Extended"),
    (0x06, "FAT16"),
    (0x07, "NTFS or exFAT"),
    (0x0b, "FAT32"),
    (0x0c, "FAT32 (LBA)"),
    (0x0e, "FAT16 (LBA)"),
    (0x0f, "Extended (LBA)"),
    (0x11, "Hidden FAT12"),
    (0x12, "OEM service"),
    (0x14, "Hidden FAT16 below 32 MiB"),
    (0x16, "Hidden FAT16"),
    (0x17, "Hidden NTFS or exFAT"),
    (0x1b, "Hidden FAT32"),
    (0x1c, "Hidden FAT32 (LBA)"),
    (0x1e, "Hidden FAT16 (LBA)"),
    (0x27, "Windows recovery"),
    (0x42, "LDM (dynamic disk)"),
    (0x82, "Linux swap"),
    (0x83, "Linux"),
    (0x84, "Hibernation"),
    (0x85, "Linux extended"),
    (0x8e, "Linux LVM"),
    (0xa5, "FreeBSD"),
    (0xa6, "OpenBSD"),
    (0xa8, "Apple UFS"),
    (0xaf, "Apple HFS+"),
    (0xda, "No file system"),
    (0xde, "Dell utility"),
    (0xee, "GPT protective"),
    (0xef, "EFI system"),
    (0xfb, "VMware VMFS"),
    (0xfc, "VMware core dump"),
    (0xfd, "Linux RAID"),
];

impl PartitionType {
    /// The type in words; `None` when it is not known.
    pub fn name(self) -> Option<&'static str> {
        match self {
            PartitionType::Mbr(byte) => {
                MBR_NAMES.iter().find(|(known, _)| *known == byte).map(|&(_, name)| name)
            }
            PartitionType::Gpt(guid) => {
                gpt_type::NAMES.iter().find(|(known, _)| *known == guid).map(|&(_, name)| name)
            }
        }
    }

    /// Whether it belongs to a dynamic disk.
    pub(crate) fn is_dynamic(self) -> bool {
        match self {
            PartitionType::Mbr(byte) => byte == 0x42,
            PartitionType::Gpt(guid) => [gpt_type::LDM_METADATA, gpt_type::LDM_DATA].contains(&guid),
        }
    }

    /// Whether it holds logical partitions.
    pub(super) fn is_extended(self) -> bool {
        matches!(self, PartitionType::Mbr(0x05 | 0x0f | 0x85))
    }
}

/// The type as it stands in the table: `0x07`, or the GUID.
impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionType::Mbr(byte) => write!(f, "{byte:#04x}"),
            PartitionType::Gpt(guid) => guid.fmt(f),
        }
    }
}

/// As it is displayed; the byte of an MBR in decimal, too, as MBR2GPT takes it.
impl FromStr for PartitionType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let byte = match text.strip_prefix("0x") {
            Some(digits) => strict::hexadecimal(digits).and_then(|number| u8::try_from(number).ok()),
            None => strict::decimal(text),
        };
        let kind = byte.map(PartitionType::Mbr).or_else(|| strict::guid(text).map(PartitionType::Gpt));
        kind.ok_or_else(|| Error::Unsupported {
            what: format!("{text:?} is no partition type: expected one as 0x07, or a GUID"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_shown() {
        for kind in
            [PartitionType::Mbr(0), PartitionType::Mbr(0x83), PartitionType::Gpt(gpt_type::BASIC_DATA)]
        {
            assert_eq!(kind.to_string().parse::<PartitionType>().ok(), Some(kind));
        }
        assert_eq!("131".parse::<PartitionType>().ok(), Some(PartitionType::Mbr(0x83)));
        for wrong in ["", "0x", "0x+7", "+7", "-7", "256", "0x100", "83h", "EBD0A0A2B9E5443387C068B6B72699C7"]
        {
            assert!(wrong.parse::<PartitionType>().is_err(), "{wrong:?}");
        }
    }
}
