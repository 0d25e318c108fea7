//! What is odd about an image and does not hinder reading it.

use std::fmt;

use crate::leaves::LockState;
use crate::storage::ImageFile;

/// Something odd that does not hinder reading.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The kind of oddity, to match on.
    pub kind: WarningKind,
    /// The file, as the user would name it; `None` for what lies on the virtual disk.
    pub file: Option<String>,
    /// The structure, in the specification's words.
    pub structure: &'static str,
    /// What is odd about it, and what was done.
    pub message: String,
}

/// The kinds of oddities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarningKind {
    /// A field is not as the specification has it.
    Irregular,
    /// The software that made the image is not known.
    UnknownCreator,
    /// The image may mean another size than the one that it is read with.
    SizeInDoubt,
    /// One of two copies of a structure is damaged or differs; the other one is used.
    DamagedCopy,
    /// The image was not closed after it was last written to.
    Unclean,
    /// The image belongs to a virtual machine that was suspended.
    Suspended,
    /// Something that the file holds is not used.
    Unused,
    /// Something that reading is safe with only when it is there is not: a descriptor, an identity.
    Incomplete,
    /// Another program writes to the file, or says beside it that it uses it.
    InUse,
    /// The file system of the file has no locks, or not all of them: others may not know that it is used.
    NoLocks,
    /// A parent was named, and the image has none.
    NoParent,
    /// One of the names recorded leads to a file that cannot be the parent.
    UnfitCandidate,
    /// Child and parent have different sizes.
    ParentSize,
    /// The parent was modified after the child was made.
    ParentModified,
    /// A merge into the parent has not ended.
    UnfinishedMerge,
    /// The partition table, on the virtual disk.
    PartitionTable,
}

impl WarningKind {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Irregular => "irregular",
            Self::UnknownCreator => "unknown-creator",
            Self::SizeInDoubt => "size-in-doubt",
            Self::DamagedCopy => "damaged-copy",
            Self::Unclean => "unclean",
            Self::Suspended => "suspended",
            Self::Unused => "unused",
            Self::Incomplete => "incomplete",
            Self::InUse => "in-use",
            Self::NoLocks => "no-locks",
            Self::NoParent => "no-parent",
            Self::UnfitCandidate => "unfit-candidate",
            Self::ParentSize => "parent-size",
            Self::ParentModified => "parent-modified",
            Self::UnfinishedMerge => "unfinished-merge",
            Self::PartitionTable => "partition-table",
        }
    }
}

impl Warning {
    pub(crate) fn of(
        file: &ImageFile,
        kind: WarningKind,
        structure: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, file: Some(file.name().to_owned()), structure, message: message.into() }
    }
}

impl Warning {
    /// What there is to say of others that use `file`, of which its locks say `state`.
    pub(crate) fn of_use(file: &ImageFile, state: LockState) -> Option<Self> {
        let (kind, message) = match (state, file.holder_beside()) {
            (LockState::InUse(holder), _) | (_, Some(holder)) => {
                (WarningKind::InUse, format!("the file {holder}: what is read may be of different moments"))
            }
            (LockState::Unsupported, None) => {
                let what = "the file system has none, or not all: whether another program uses the file is not known";
                (WarningKind::NoLocks, what.to_owned())
            }
            (LockState::Free, None) => return None,
        };
        Some(Self::of(file, kind, "lock", message))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        write!(f, "{}: {}", self.structure, self.message)
    }
}
