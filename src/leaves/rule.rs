//! The rules that a disk must keep to be converted to GPT and UEFI.

/// A rule of the conversion that a disk breaks; [`Error::NotConvertible`](crate::Error::NotConvertible) says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The disk has a partition table.
    PartitionTable,
    /// It is no GPT yet.
    AlreadyGpt,
    /// It is no dynamic disk (LDM).
    DynamicDisk,
    /// It has no extended and logical partitions.
    LogicalPartitions,
    /// Each partition's type is known, or mapped by the caller.
    PartitionType,
    /// Partitions do not overlap.
    Overlap,
    /// Partitions end with the disk, or before.
    BeyondDisk,
    /// A GPT has room before the first partition.
    RoomInFront,
    /// A GPT has room behind the last partition.
    RoomBehind,
    /// One partition is active: the system partition.
    ActivePartition,
    /// The boot store can be read.
    BootStore,
    /// The boot store's default entry starts a Windows of this disk.
    DefaultEntry,
    /// No volume is encrypted.
    Encrypted,
    /// There is room for an EFI system partition.
    SystemPartitionRoom,
    /// Windows brings its UEFI boot files, or the caller does.
    BootFiles,
    /// Windows is a 64-bit one, with a loader for UEFI.
    Architecture,
    /// Windows is shut down, not hibernated.
    Hibernated,
    /// Volumes that are changed were unmounted cleanly.
    DirtyVolume,
    /// Registry hives that are changed have no pending log.
    DirtyHive,
}

impl Rule {
    /// The code with which MBR2GPT ends when the rule is broken; `None` where it has no such rule.
    pub fn mbr2gpt(self) -> Option<u8> {
        match self {
            Rule::PartitionTable => Some(5),
            Rule::Encrypted => Some(6),
            Rule::AlreadyGpt
            | Rule::DynamicDisk
            | Rule::LogicalPartitions
            | Rule::PartitionType
            | Rule::Overlap
            | Rule::BeyondDisk
            | Rule::RoomInFront
            | Rule::RoomBehind
            | Rule::ActivePartition
            | Rule::BootStore
            | Rule::DefaultEntry => Some(7),
            Rule::SystemPartitionRoom => Some(8),
            Rule::BootFiles | Rule::Architecture => Some(9),
            Rule::Hibernated | Rule::DirtyVolume | Rule::DirtyHive => None,
        }
    }

    /// What the user can do, in one sentence.
    pub(crate) fn advice(self) -> Option<&'static str> {
        match self {
            Rule::PartitionType => Some(
                "say what the partition is in a GPT, with --map and the type as it stands here: --map 0x83=GUID",
            ),
            Rule::DynamicDisk => Some("convert it to a basic disk first"),
            Rule::LogicalPartitions => Some("move its content into primary partitions first"),
            Rule::RoomBehind => Some("shrink the last partition, or grow the disk"),
            Rule::Encrypted => Some("decrypt the volume first"),
            Rule::SystemPartitionRoom => Some(
                "free space on the last NTFS volume, or let a copy, or a VHDX child, grow with --esp grow",
            ),
            Rule::BootFiles => Some("name a folder with the boot files with --boot-files"),
            Rule::Hibernated => Some("start Windows and shut it down with shutdown /s /t 0"),
            Rule::DirtyVolume => Some("start Windows and run chkdsk"),
            Rule::DirtyHive => Some("start Windows once and shut it down"),
            Rule::PartitionTable
            | Rule::AlreadyGpt
            | Rule::Overlap
            | Rule::BeyondDisk
            | Rule::RoomInFront
            | Rule::ActivePartition
            | Rule::BootStore
            | Rule::DefaultEntry
            | Rule::Architecture => None,
        }
    }
}
