//! The rules that a disk must keep to be converted to GPT and UEFI.

use super::Hint;

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
    /// The log of volumes that are changed is of the version that an unmounted one has.
    LogInUse,
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
            Rule::Hibernated | Rule::LogInUse | Rule::DirtyVolume | Rule::DirtyHive => None,
        }
    }

    /// What can be done about a disk that breaks it.
    pub(crate) fn hint(self) -> Option<Hint> {
        match self {
            Rule::PartitionType => Some(Hint::MapType),
            Rule::DynamicDisk => Some(Hint::BasicDisk),
            Rule::LogicalPartitions => Some(Hint::PrimaryPartitions),
            Rule::RoomBehind => Some(Hint::RoomBehind),
            Rule::Encrypted => Some(Hint::Decrypt),
            Rule::SystemPartitionRoom => Some(Hint::SystemPartitionRoom),
            Rule::BootFiles => Some(Hint::BringBootFiles),
            Rule::Hibernated => Some(Hint::ShutDownWindows),
            Rule::LogInUse => Some(Hint::ShutDownOrTrustLog),
            Rule::DirtyVolume => Some(Hint::RunChkdsk),
            Rule::DirtyHive => Some(Hint::RestartWindows),
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
