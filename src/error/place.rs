//! Where what went wrong lies.

use super::Error;

impl Error {
    /// The file that it is about, as the user would name it; `None` when it is about no file, or about several.
    pub fn file(&self) -> Option<&str> {
        match self {
            Error::Defect(defect) => Some(&defect.file),
            Error::Incomplete(cause) => cause.file(),
            Error::Within { error, .. } => error.file(),
            Error::Io { file, .. }
            | Error::NotRecognised { file }
            | Error::AmbiguousFormat { file, .. }
            | Error::ForeignFormat { file, .. }
            | Error::Cycle { file }
            | Error::ChainTooDeep { file, .. }
            | Error::Locked { file, .. }
            | Error::NotWritable { file, .. }
            | Error::NoParent { file }
            | Error::NotInChain { file, .. }
            | Error::HasChildren { file, .. }
            | Error::Poisoned { file }
            | Error::Closed { file }
            | Error::ShrinkLosesData { file, .. }
            | Error::ShrinkCuts { file, .. } => Some(file),
            Error::NotAllowed { referrer, .. }
            | Error::ExtentMissing { referrer, .. }
            | Error::AmbiguousName { referrer, .. } => Some(referrer),
            Error::ParentUnreachable { child, .. }
            | Error::ParentMissing { child, .. }
            | Error::ParentMismatch { child, .. }
            | Error::UnfitParent { child, .. } => Some(child),
            Error::OutputExists { path }
            | Error::OutputIsSource { path }
            | Error::OutputNotPlain { path }
            | Error::NotRecordable { path }
            | Error::SourceChanged { path }
            | Error::StalePlan { path, .. } => Some(path),
            Error::Busy { device } => Some(device),
            Error::StaleCheckpoint { checkpoint } => Some(checkpoint),
            Error::OutOfRange { .. }
            | Error::OutputTooSmall { .. }
            | Error::SizeLimit { .. }
            | Error::TargetLimit { .. }
            | Error::FileMissing { .. }
            | Error::Layout { .. }
            | Error::NotConvertible { .. }
            | Error::VolumeFull { .. }
            | Error::Damaged { .. }
            | Error::Text { .. }
            | Error::Unsupported { .. }
            | Error::VerifyFailed { .. }
            | Error::DigestDiffers { .. }
            | Error::ShardsMissing { .. }
            | Error::ShardDamaged { .. }
            | Error::NoSuchExtent { .. }
            | Error::Cancelled => None,
        }
    }

    /// Where in the file, or where it is about no file on the virtual disk, in bytes; `None` when it is about no place.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Error::Defect(defect) => Some(defect.offset),
            Error::Incomplete(cause) => cause.offset(),
            Error::Within { error, .. } => error.offset(),
            Error::OutOfRange { offset, .. }
            | Error::ShrinkLosesData { offset, .. }
            | Error::Damaged { offset, .. }
            | Error::VerifyFailed { offset } => Some(*offset),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Defect, Problem};
    use crate::leaves::Format;

    #[test]
    fn a_cause_tells_its_place() {
        let defect = Defect::new(Format::Vhd, Problem::Checksum, "a.vhd", "footer", 512, "1", "2");
        let error = Error::Incomplete(std::sync::Arc::new(defect.into()));
        assert_eq!((error.file(), error.offset()), (Some("a.vhd"), Some(512)));
        let damaged = Error::Damaged {
            structure: "boot sector",
            offset: 7,
            expected: String::new(),
            found: String::new(),
        };
        assert_eq!((damaged.file(), damaged.offset()), (None, Some(7)));
        assert_eq!((Error::Cancelled.file(), Error::Cancelled.offset()), (None, None));
    }
}
