//! What can be done about an error.

use std::io::{self, ErrorKind};

use super::{Error, Problem};
use crate::leaves::{Hint, ReferenceKind};

impl Error {
    /// What can be done about it; `None` when there is nothing sensible to say.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Error::Defect(defect) => Some(defect.hint.unwrap_or_else(|| of_problem(defect.problem))),
            Error::Io { error, .. } => Some(of_io(error)),
            Error::NotRecognised { .. } => Some(Hint::NameFormat),
            Error::AmbiguousFormat { .. } => Some(Hint::ChooseFormat),
            Error::ForeignFormat { hint, .. } => Some(*hint),
            Error::NotAllowed { kind: ReferenceKind::Parent, .. } => Some(Hint::AllowParent),
            Error::NotAllowed { kind: ReferenceKind::Extent, .. } => Some(Hint::AllowExtent),
            Error::ExtentMissing { .. } | Error::AmbiguousName { kind: ReferenceKind::Extent, .. } => {
                Some(Hint::GatherExtents)
            }
            Error::NoSuchExtent { .. } => Some(Hint::NameExtent),
            Error::AmbiguousName { kind: ReferenceKind::Parent, .. } => Some(Hint::NameParent),
            Error::ParentUnreachable { .. } => Some(Hint::ReachableParent),
            Error::ParentMissing { .. } => Some(Hint::FindParent),
            Error::ParentMismatch { .. } => Some(Hint::FindRecordedParent),
            Error::Incomplete(cause) => cause.hint(),
            Error::Within { error, .. } => error.hint(),
            Error::OutputTooSmall { .. } => Some(Hint::LargerOutput),
            Error::OutputExists { .. } => Some(Hint::OtherNameOrReplace),
            Error::OutputIsSource { .. } | Error::NotRecordable { .. } => Some(Hint::OtherName),
            Error::OutputNotPlain { .. } => Some(Hint::OutputIntoPipe),
            Error::StaleCheckpoint { .. } => Some(Hint::RemoveCheckpoint),
            Error::StalePlan { .. } => Some(Hint::NewPlan),
            Error::ShardsMissing { .. } => Some(Hint::RunShards),
            Error::ShardDamaged { .. } => Some(Hint::RunShardAgain),
            Error::VerifyFailed { .. } | Error::DigestDiffers { .. } => Some(Hint::CheckTarget),
            Error::SourceChanged { .. } => Some(Hint::CopyAgain),
            Error::Locked { holder, .. } if holder.is_beside() => Some(Hint::RemoveLock),
            Error::Locked { .. } => Some(Hint::WaitForOther),
            Error::Busy { .. } => Some(Hint::Unmount),
            Error::NotWritable { .. } => Some(Hint::ConvertOrChild),
            Error::HasChildren { .. } => Some(Hint::ChildOrMerge),
            Error::Poisoned { .. } | Error::Closed { .. } => Some(Hint::OpenAgain),
            Error::ShrinkLosesData { .. } | Error::ShrinkCuts { .. } => Some(Hint::ShrinkContent),
            Error::TargetLimit { .. } => Some(Hint::OtherTarget),
            Error::NotInChain { .. } => Some(Hint::SeeChain),
            Error::NotConvertible { rule, .. } => rule.hint(),
            Error::Damaged { .. } => Some(Hint::RepairContent),
            Error::VolumeFull { .. } => Some(Hint::RoomOnVolume),
            Error::Text { .. } => Some(Hint::CorrectText),
            Error::NoParent { .. } => Some(Hint::SeeParents),
            Error::UnfitParent { .. } => Some(Hint::OtherParent),
            Error::SizeLimit { .. } => Some(Hint::OtherSize),
            Error::Cycle { .. } => Some(Hint::RestoreParent),
            Error::ChainTooDeep { .. } => Some(Hint::MergeLayers),
            Error::OutOfRange { .. } => Some(Hint::SeeSize),
            Error::FileMissing { .. } => Some(Hint::SeeName),
            Error::Layout { .. } => Some(Hint::OtherKind),
            Error::Unsupported { .. } => Some(Hint::SeeWhatIsSupported),
            Error::Cancelled => None,
        }
    }
}

/// What can be done about an image that is refused.
fn of_problem(problem: Problem) -> Hint {
    match problem {
        Problem::Unsupported => Hint::ConvertElsewhere,
        Problem::Truncated | Problem::OutOfFile => Hint::CopyWhole,
        _ => Hint::CheckOrFetch,
    }
}

/// What can be done when the storage fails.
fn of_io(error: &io::Error) -> Hint {
    if is_out_of_handles(error) {
        return Hint::RaiseOpenFiles;
    }
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Hint::MakeRoom,
        ErrorKind::FileTooLarge => Hint::LargerFiles,
        ErrorKind::PermissionDenied => Hint::SeePermissions,
        ErrorKind::ReadOnlyFilesystem => Hint::WritablePlace,
        ErrorKind::NotFound | ErrorKind::NotADirectory => Hint::SeeName,
        ErrorKind::InvalidFilename => Hint::OtherName,
        ErrorKind::IsADirectory => Hint::NameFile,
        ErrorKind::BrokenPipe => Hint::SeeReader,
        ErrorKind::UnexpectedEof => Hint::SeeInput,
        ErrorKind::TimedOut
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::StaleNetworkFileHandle => Hint::SeeServer,
        ErrorKind::OutOfMemory => Hint::MoreMemory,
        ErrorKind::InvalidInput => Hint::InputFromPipe,
        ErrorKind::InvalidData => Hint::Fetch,
        ErrorKind::Unsupported => Hint::OtherPlace,
        _ => Hint::SeeSystemLog,
    }
}

/// Whether the error says that the process, or the system, has as many open files as it may have.
pub(crate) fn is_out_of_handles(error: &io::Error) -> bool {
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

    fn refused(problem: Problem, hint: Option<Hint>) -> Error {
        let (file, expected, found) = (String::new(), String::new(), String::new());
        let format = Format::Vhd;
        let defect = Defect { problem, format, file, structure: "footer", offset: 0, expected, found, hint };
        Error::Defect(Box::new(defect))
    }

    /// All but the user's own wish to stop.
    #[test]
    fn what_a_user_meets_comes_with_a_hint() {
        let text = String::new;
        let errors = [
            refused(Problem::Checksum, None),
            refused(Problem::Unsupported, None),
            refused(Problem::Truncated, None),
            Error::Damaged { structure: "boot sector", offset: 0, expected: text(), found: text() },
            Error::Text { what: "registry file", line: 1, expected: text(), found: text() },
            Error::NoParent { file: text() },
            Error::UnfitParent { child: text(), parent: text(), reason: text() },
            Error::SizeLimit { format: Format::Vhd, size: 0, limit: text() },
            Error::Cycle { file: text() },
            Error::ChainTooDeep { file: text(), limit: 64 },
            Error::OutOfRange { offset: 0, len: 1, size: 0 },
            Error::VolumeFull { needed: 4096, free: 0 },
            Error::Layout { reason: text() },
            Error::Unsupported { what: text() },
        ];
        for error in errors {
            assert!(error.hint().is_some(), "{error:?}");
        }
        assert_eq!(refused(Problem::Log, Some(Hint::Fetch)).hint(), Some(Hint::Fetch));
        assert_eq!(Error::Cancelled.hint(), None);
    }

    #[cfg(unix)]
    #[test]
    fn too_many_open_files_come_with_a_hint_of_their_own() {
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            let error = Error::io("open", "disk-s001.vmdk", errno.into());
            assert!(error.hint().is_some_and(|hint| hint.to_string().contains("ulimit -n")), "{error:?}");
        }
    }

    #[test]
    fn a_storage_that_fails_comes_with_a_hint_of_its_kind() {
        let kinds = [
            (ErrorKind::StorageFull, "room"),
            (ErrorKind::FileTooLarge, "ulimit"),
            (ErrorKind::PermissionDenied, "who may"),
            (ErrorKind::NotFound, "name"),
            (ErrorKind::InvalidFilename, "another name"),
            (ErrorKind::BrokenPipe, "program"),
            (ErrorKind::UnexpectedEof, "whole"),
            (ErrorKind::Other, "log"),
        ];
        for (kind, word) in kinds {
            let error = Error::io("write", "out.vhd", io::Error::from(kind));
            assert!(error.hint().is_some_and(|hint| hint.to_string().contains(word)), "{error:?}");
        }
    }
}
