//! The few cases that most callers tell apart.

use super::Error;
use crate::leaves::ReferenceKind;

/// The cases that most callers tell apart; the command line's exit codes follow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The image is refused: damaged, hostile or unsupported.
    Refused,
    /// Input or output failed.
    Io,
    /// Something that must hold beforehand does not: room, a parent, a free name.
    Precondition,
    /// The call itself is wrong.
    Usage,
    /// The caller cancelled.
    Cancelled,
}

impl Error {
    /// Whether it says that an extent was not found, or may not be opened.
    pub(crate) fn is_about_extents(&self) -> bool {
        matches!(
            self,
            Error::ExtentMissing { .. }
                | Error::AmbiguousName { kind: ReferenceKind::Extent, .. }
                | Error::NotAllowed { kind: ReferenceKind::Extent, .. }
        )
    }

    /// The class of the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            Error::Defect(_)
            | Error::Damaged { .. }
            | Error::Text { .. }
            | Error::NotRecognised { .. }
            | Error::AmbiguousFormat { .. }
            | Error::ForeignFormat { .. }
            | Error::ExtentMissing { .. }
            | Error::Cycle { .. }
            | Error::ChainTooDeep { .. }
            | Error::AmbiguousName { kind: ReferenceKind::Extent, .. }
            | Error::NotAllowed { kind: ReferenceKind::Extent, .. } => ErrorClass::Refused,
            Error::Io { .. }
            | Error::VerifyFailed { .. }
            | Error::DigestDiffers { .. }
            | Error::SourceChanged { .. }
            | Error::ShardDamaged { .. }
            | Error::Poisoned { .. }
            | Error::Closed { .. } => ErrorClass::Io,
            Error::NotAllowed { kind: ReferenceKind::Parent, .. }
            | Error::AmbiguousName { kind: ReferenceKind::Parent, .. }
            | Error::ParentMissing { .. }
            | Error::ParentUnreachable { .. }
            | Error::ParentMismatch { .. }
            | Error::OutputTooSmall { .. }
            | Error::OutputExists { .. }
            | Error::OutputIsSource { .. }
            | Error::StaleCheckpoint { .. }
            | Error::StalePlan { .. }
            | Error::ShardsMissing { .. }
            | Error::OutputNotPlain { .. }
            | Error::NotRecordable { .. }
            | Error::Locked { .. }
            | Error::Busy { .. }
            | Error::NotWritable { .. }
            | Error::NoParent { .. }
            | Error::NotInChain { .. }
            | Error::UnfitParent { .. }
            | Error::HasChildren { .. }
            | Error::SizeLimit { .. }
            | Error::TargetLimit { .. }
            | Error::ShrinkLosesData { .. }
            | Error::ShrinkCuts { .. }
            | Error::NotConvertible { .. }
            | Error::VolumeFull { .. }
            | Error::FileMissing { .. }
            | Error::Layout { .. } => ErrorClass::Precondition,
            Error::OutOfRange { .. } | Error::Unsupported { .. } | Error::NoSuchExtent { .. } => {
                ErrorClass::Usage
            }
            Error::Incomplete(cause) => cause.class(),
            Error::Within { error, .. } => error.class(),
            Error::Cancelled => ErrorClass::Cancelled,
        }
    }
}
