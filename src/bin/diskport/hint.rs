//! What the user can do about an error, in the words of the command line: hints that one of its options follows.

use std::borrow::Cow;

use diskport::Hint;

/// The hint, with the options that follow it.
pub fn words(hint: Hint) -> Cow<'static, str> {
    let words = match hint {
        Hint::NameFormat => {
            "name the format with --format, or --source-format where an output has its own; a raw disk has no signature"
        }
        Hint::ChooseFormat => {
            "say which of them it is with --format, --source-format where an output has its own, or --parent-format of a parent"
        }
        Hint::AllowParent => "name the parent with --parent PATH, or allow other folders with --resolve any",
        Hint::AllowExtent => {
            "name the extent with --extent NAME=PATH, or, if the image can be trusted, allow other folders with --resolve any"
        }
        Hint::GatherExtents => {
            "put all files of the image into one folder, or name the extent with --extent NAME=PATH"
        }
        Hint::NameParent => "name the parent with --parent PATH, or record it with diskport rebase --parent",
        Hint::FindParent => {
            "put the parent beside the child, name it with --parent PATH, allow other folders with --resolve any, or record where it lies with diskport rebase --parent"
        }
        Hint::FindRecordedParent => {
            "find the parent that the child was made on; --ignore-parent-mismatch reads all the same, and the content is wrong where the two parents differ"
        }
        Hint::MergeLayers => "merge some of its layers, or allow more with --max-depth",
        Hint::SeeChain => "see with info which images the chain has",
        Hint::SeeParents => "see with info which images have parents, and name one of those",
        Hint::OtherNameOrReplace => "choose another name, or replace it with --overwrite",
        Hint::OutputIntoPipe => "name a file; into a pipe, write to standard output, which is -",
        Hint::InputFromPipe => {
            "name a file or a block device; what comes out of a pipe is read from standard input, which is -"
        }
        Hint::RemoveLock => {
            "stop what uses it; if nothing does any more, remove that lock, or change the image in place with --ignore-locks"
        }
        Hint::ShrinkContent => "shrink the partitions and file systems first; --allow-loss cuts all the same",
        Hint::OtherTarget => {
            "choose another target; --format makes the disk without asking what a platform takes"
        }
        Hint::SeeSize => "see with info how large the disk is",
        Hint::SeeWhatIsSupported => "see diskport --help for what can be asked for",
        Hint::MapType => {
            "say what the partition is in a GPT, with --map and the type as it stands here: --map 0x83=GUID"
        }
        Hint::SystemPartitionRoom => {
            "free space on the last NTFS volume, or let a copy, or a VHDX child, grow with --esp grow"
        }
        Hint::BringBootFiles => "name a folder with the boot files with --boot-files",
        Hint::ShutDownOrTrustLog => {
            "start Windows and shut it down with shutdown /s /t 0; where Windows is set to keep such logs, --trust-clean-log goes on"
        }
        Hint::CheckOrFetch => "see with check what is wrong with it, or get it again from where it came",
        Hint::EndWithFooter => {
            "check --format vhd --repair ends the file with it; a raw disk that only looks so is read with --format raw"
        }
        Hint::CutBehindFooter => {
            "check --format vhd --repair --allow-loss ends the file with it, and cuts off what is behind; a raw disk that only looks so is read with --format raw"
        }
        Hint::ChooseGrainTable => {
            "repair the image with vmware-vdiskmanager -R, or say with --grain-table primary or --grain-table redundant which copy counts"
        }
        Hint::MoreMemory => "give it more memory, or fewer --threads",
        other => return other.to_string().into(),
    };
    words.into()
}
