//! What can be done about an error, as far as there is something sensible to say.
//!
//! A hint speaks of what is to be done, not of how a program is told to do it: that is the program's to say, which matches
//! the hint and names its own options.

use std::fmt;

/// Makes the hints, each with its sentence.
macro_rules! hints {
    ($($name:ident => $text:literal,)*) => {
        /// What can be done about an [`Error`](crate::Error); [`Error::hint`](crate::Error::hint) gives it. Displayed, it is a
        /// sentence without a full stop.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Hint {
            /// What another program does first, in words for a person.
            Elsewhere(&'static str),
            $(#[doc = concat!($text, ".")] $name,)*
        }

        /// All but those of other programs.
        #[cfg(test)]
        const ALL: &[Hint] = &[$(Hint::$name,)*];

        impl fmt::Display for Hint {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    Hint::Elsewhere(words) => words,
                    $(Hint::$name => $text,)*
                })
            }
        }
    };
}

hints! {
    NameFormat => "name the format: a raw disk has no signature",
    ChooseFormat => "say which of the formats it is",
    AllowParent => "name the parent, or allow other folders",
    AllowExtent => "name the extent, or, if the image can be trusted, allow other folders",
    GatherExtents => "put all files of the image into one folder, or name the extent",
    NameExtent => "give the name as the descriptor has it, or the last part of it",
    FindParent => "put the parent beside the child, name it, allow other folders, or record where it lies",
    NameParent => "name the parent, or record where it lies",
    ReachableParent => "put the parent beside the child, under a name in UTF-8 that Windows can read, too",
    FindRecordedParent => "find the parent that the child was made on; over another one, the content is wrong where the two parents differ",
    RestoreParent => "put back the parent whose place one of its own children has taken",
    MergeLayers => "merge some of its layers, or allow more",
    SeeChain => "see which images the chain has",
    SeeParents => "see which images have parents, and name one of those",
    OtherParent => "choose another parent, or convert the child: an image of its own has none",
    ChildOrMerge => "make a child of it and write to that, or merge the children first",
    LargerOutput => "give at least the source's virtual size",
    OtherNameOrReplace => "choose another name, or replace it",
    OtherName => "choose another name",
    OutputIntoPipe => "name a file; what goes into a pipe is written as a stream",
    InputFromPipe => "name a file or a block device; what comes out of a pipe is read as a stream",
    RemoveCheckpoint => "remove the checkpoint to begin again",
    NewPlan => "make a new plan, and all its shards",
    RunShards => "run them, then finish",
    RunShardAgain => "run this shard again, then finish",
    CheckTarget => "the output was not published; check the target's storage",
    CopyAgain => "nothing was made of it; try again when nobody writes to it",
    Unmount => "see with lsblk what uses it, and unmount it first",
    WaitForOther => "wait for the other program, or stop it",
    RemoveLock => "stop what uses it; if nothing does any more, remove that lock",
    ConvertOrChild => "convert it into another kind of disk, or make a child of it",
    OpenAgain => "open it again: what was flushed before is there",
    ShrinkContent => "shrink the partitions and file systems first",
    OtherTarget => "choose another target, or a format alone, of which no platform is asked",
    OtherSize => "choose another size, or a format that can hold it",
    SeeSize => "see how large the disk is",
    OtherKind => "choose another image, size, format or kind, where this does not hold",
    SeeWhatIsSupported => "see in the documentation what can be asked for",
    CorrectText => "correct that line; nothing was changed",
    RepairContent => "repair what lies on the disk by the system that wrote it, then try again",
    MapType => "say what the partition is in a GPT",
    BasicDisk => "convert it to a basic disk first",
    PrimaryPartitions => "move its content into primary partitions first",
    RoomBehind => "shrink the last partition, or grow the disk",
    Decrypt => "decrypt the volume first",
    SystemPartitionRoom => "free space on the last NTFS volume, or let a copy, or a VHDX child, grow",
    BringBootFiles => "name a folder with the boot files",
    ShutDownWindows => "start Windows and shut it down with shutdown /s /t 0",
    ShutDownOrTrustLog => "start Windows and shut it down with shutdown /s /t 0, or trust the mark of the log where Windows is set to keep such logs",
    RunChkdsk => "start Windows and run chkdsk",
    RestartWindows => "start Windows once and shut it down",
    ConvertElsewhere => "convert it by the software that made it into a kind that is supported",
    CopyWhole => "copy or download it again: it may not have come whole",
    CheckOrFetch => "check what is wrong with it, or get it again from where it came",
    MakeAnew => "make the image anew: it was left in the middle of being created or converted",
    AttachOnce => "the image was not closed cleanly and its log is damaged: attach it once where it was last written, or go back to a backup; its content cannot be trusted",
    JoinPieces => "the file was cut, or is one piece of a split disk (.vhd, .v01, .v02, …): join the pieces in this order into one file",
    FinishWithVhdUtil => "let vhd-util finish or revert the change with its journal",
    FinishChange => "a change of the disk was cut off, or the file was tampered with: finish the change with the tool that made it",
    EndWithFooter => "repairing it as a VHD ends the file with the footer; a raw disk that only looks so is read as raw",
    CutBehindFooter => "repairing it as a VHD, with losses, ends the file with the footer and cuts off what is behind; a raw disk that only looks so is read as raw",
    OpenDescriptor => "this is one extent of a disk: open the descriptor that names it",
    OpenDescriptorOfChild => "open the descriptor that names this extent: it says which parent the disk has",
    WholeFile => "the file was cut, or its writer did not finish: obtain the whole file",
    ChooseGrainTable => "repair the image with vmware-vdiskmanager -R, or say which of the two grain tables counts",
    TransferBinary => "the file was transferred in text mode, which damages it: transfer it again in binary mode",
    ReplayWithEsxi => "open the disk once with ESXi, which replays the journal",
    WholeStream => "obtain the whole stream; if it is whole, its tables lie in front and it has no end marker: open it as a file",
    RaiseOpenFiles => "allow more open files (ulimit -n), or choose a kind of disk that is one file",
    RoomOnVolume => "free space on the volume, or make it larger",
    MakeRoom => "make room there, or choose another place",
    LargerFiles => "choose a file system, a limit (ulimit -f) or a format in parts (twoGbMaxExtentSparse) that allows it",
    SeePermissions => "see who may read and write the file and its folder",
    WritablePlace => "choose a place that can be written to",
    SeeName => "see whether the name is right, and its folder there",
    NameFile => "name a file, not a folder",
    SeeReader => "see why the program that takes the output has ended",
    SeeInput => "see whether what was read came whole, and send or copy it again",
    SeeServer => "see whether the server and the network are there, then try again",
    MoreMemory => "give it more memory, or fewer threads",
    Fetch => "get it again from where it came",
    OtherPlace => "choose another place: this one cannot do it",
    SeeSystemLog => "see what the system's log says of the storage, then try again",
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn no_hint_names_an_option() {
        for hint in ALL {
            let words = hint.to_string();
            assert!(
                !words.is_empty() && !words.contains("--") && !words.contains("diskport"),
                "{hint:?}: {words}"
            );
        }
    }
}
