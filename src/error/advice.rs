//! What the user can do about an error.

use std::io::{self, ErrorKind};

use super::{Error, Problem};
use crate::leaves::ReferenceKind;

impl Error {
    /// What the user can do about it, in one sentence; `None` when there is nothing sensible to say.
    pub fn advice(&self) -> Option<&str> {
        match self {
            Error::Defect(defect) => Some(defect.advice.unwrap_or_else(|| of_problem(defect.problem))),
            Error::Io { source, .. } => Some(of_io(source)),
            Error::NotRecognised { .. } => Some(
                "name the format with --format, or --source-format where an output has its own; a raw disk has no \
                     signature",
            ),
            Error::AmbiguousFormat { .. } => Some(
                "say which of them it is with --format, --source-format where an output has its own, or \
                 --parent-format of a parent",
            ),
            Error::ForeignFormat { advice, .. } => Some(advice),
            Error::NotAllowed { kind: ReferenceKind::Parent, .. } => {
                Some("name the parent with --parent PATH, or allow other folders with --resolve any")
            }
            Error::NotAllowed { kind: ReferenceKind::Extent, .. } => {
                Some("if the image can be trusted, allow other folders with --resolve any")
            }
            Error::ExtentMissing { .. } => Some("put all files of the image into one folder"),
            Error::ParentMissing { .. } => {
                Some("put the parent beside the child, or name it with --parent PATH")
            }
            Error::ParentMismatch { .. } => Some(
                "find the parent that the child was made on; --ignore-parent-mismatch reads all the same, \
                 and the content is wrong where the two parents differ",
            ),
            Error::Incomplete(cause) => cause.advice(),
            Error::Within { error, .. } => error.advice(),
            Error::OutputTooSmall { .. } => Some("give at least the source's virtual size"),
            Error::OutputExists { .. } => Some("choose another name, or replace it with --overwrite"),
            Error::OutputIsSource { .. } | Error::OutputNotPlain { .. } => Some("choose another name"),
            Error::StaleCheckpoint { .. } => Some("remove the checkpoint to begin again"),
            Error::StalePlan { .. } => Some("make a new plan, and all its shards"),
            Error::ShardsMissing { .. } => Some("run them, then finish"),
            Error::ShardDamaged { .. } => Some("run this shard again, then finish"),
            Error::VerifyFailed { .. } | Error::DigestDiffers { .. } => {
                Some("the output was not published; check the target's storage")
            }
            Error::SourceChanged { .. } => {
                Some("the output was given up; copy again when nobody writes to the source")
            }
            Error::Locked { .. } => Some("wait for the other program, or stop it"),
            Error::NotWritable { .. } => Some("convert it into another kind of disk, or make a child of it"),
            Error::HasChildren { .. } => {
                Some("make a child of it and write to that, or merge the children first")
            }
            Error::Poisoned { .. } => Some("open it again: what was flushed before is there"),
            Error::ShrinkLosesData { .. } => {
                Some("shrink the partitions and file systems first; --allow-loss cuts all the same")
            }
            Error::TargetLimit { .. } => {
                Some("choose another target; --format makes the disk without asking what a platform takes")
            }
            Error::NotInChain { .. } => Some("see with info which images the chain has"),
            Error::NotConvertible { rule, .. } => rule.advice(),
            Error::Damaged { .. } => {
                Some("repair what lies on the disk by the system that wrote it, then try again")
            }
            Error::NoParent { .. } => Some("see with info which images have parents, and name one of those"),
            Error::UnfitParent { .. } => {
                Some("choose another parent, or convert the child: an image of its own has none")
            }
            Error::SizeLimit { .. } => Some("choose another size, or a format that can hold it"),
            Error::Cycle { .. } => Some("put back the parent whose place one of its own children has taken"),
            Error::ChainTooDeep { .. } => Some("merge some of its layers, or allow more with --max-depth"),
            Error::OutOfRange { .. } => Some("see with info how large the disk is"),
            Error::Layout { .. } => {
                Some("choose another image, size, format or kind, where this does not hold")
            }
            Error::Unsupported { .. } => Some("see diskport --help for what can be asked for"),
            Error::Cancelled => None,
        }
    }
}

/// What the user can do about an image that is refused.
fn of_problem(problem: Problem) -> &'static str {
    match problem {
        Problem::Unsupported => "convert it by the software that made it into a kind that is supported",
        Problem::Truncated | Problem::OutOfFile => "copy or download it again: it may not have come whole",
        _ => "see with check what is wrong with it, or get it again from where it came",
    }
}

/// What the user can do when the storage fails.
fn of_io(error: &io::Error) -> &'static str {
    if is_out_of_handles(error) {
        return "allow more open files (ulimit -n), or choose a kind of disk that is one file";
    }
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room there, or choose another place",
        ErrorKind::FileTooLarge => {
            "choose a file system, a limit (ulimit -f) or a format in parts (twoGbMaxExtentSparse) that allows it"
        }
        ErrorKind::PermissionDenied => "see who may read and write the file and its folder",
        ErrorKind::ReadOnlyFilesystem => "choose a place that can be written to",
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            "see whether the name is right, and its folder there"
        }
        ErrorKind::IsADirectory => "name a file, not a folder",
        ErrorKind::BrokenPipe => "see why the program that takes the output has ended",
        ErrorKind::UnexpectedEof => "see whether what was read came whole, and send or copy it again",
        ErrorKind::TimedOut
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::StaleNetworkFileHandle => {
            "see whether the server and the network are there, then try again"
        }
        ErrorKind::OutOfMemory => "give it more memory, or fewer --threads",
        ErrorKind::InvalidData => "get it again from where it came",
        ErrorKind::Unsupported => "choose another place: this one cannot do it",
        _ => "see what the system's log says of the storage, then try again",
    }
}

/// Whether the error says that the process, or the system, has as many open files as it may have.
fn is_out_of_handles(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).map(Some).contains(&error.raw_os_error())
    }
    #[cfg(not(unix))]
    {
        const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
        error.raw_os_error() == Some(ERROR_TOO_MANY_OPEN_FILES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Defect;
    use crate::leaves::Format;

    fn refused(problem: Problem, advice: Option<&'static str>) -> Error {
        let (file, expected, found) = (String::new(), String::new(), String::new());
        let format = Format::Vhd;
        let defect =
            Defect { problem, format, file, structure: "footer", offset: 0, expected, found, advice };
        Error::Defect(Box::new(defect))
    }

    /// All but the user's own wish to stop.
    #[test]
    fn what_a_user_meets_comes_with_advice() {
        let text = String::new;
        let errors = [
            refused(Problem::Checksum, None),
            refused(Problem::Unsupported, None),
            refused(Problem::Truncated, None),
            Error::Damaged { structure: "boot sector", offset: 0, expected: text(), found: text() },
            Error::NoParent { file: text() },
            Error::UnfitParent { child: text(), parent: text(), reason: text() },
            Error::SizeLimit { format: Format::Vhd, size: 0, limit: text() },
            Error::Cycle { file: text() },
            Error::ChainTooDeep { file: text(), limit: 64 },
            Error::OutOfRange { offset: 0, len: 1, size: 0 },
            Error::Layout { reason: text() },
            Error::Unsupported { what: text() },
        ];
        for error in errors {
            assert!(error.advice().is_some_and(|advice| !advice.is_empty()), "{error:?}");
        }
        assert_eq!(refused(Problem::Log, Some("its own")).advice(), Some("its own"));
        assert_eq!(Error::Cancelled.advice(), None);
    }

    #[cfg(unix)]
    #[test]
    fn too_many_open_files_come_with_advice_of_their_own() {
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            let error = Error::io("open", "disk-s001.vmdk", errno.into());
            assert!(error.advice().is_some_and(|advice| advice.contains("ulimit -n")), "{error:?}");
        }
    }

    #[test]
    fn a_storage_that_fails_comes_with_advice_of_its_kind() {
        let kinds = [
            (ErrorKind::StorageFull, "room"),
            (ErrorKind::FileTooLarge, "ulimit"),
            (ErrorKind::PermissionDenied, "who may"),
            (ErrorKind::NotFound, "name"),
            (ErrorKind::BrokenPipe, "program"),
            (ErrorKind::UnexpectedEof, "whole"),
            (ErrorKind::Other, "log"),
        ];
        for (kind, word) in kinds {
            let error = Error::io("write", "out.vhd", io::Error::from(kind));
            assert!(error.advice().is_some_and(|advice| advice.contains(word)), "{error:?}");
        }
    }
}
