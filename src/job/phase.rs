//! What an operation is doing.

use std::fmt;

/// What an operation is doing at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// It looks through the source for what an output's layout depends on.
    Survey,
    /// It reads back what an interrupted run has written.
    Resume,
    /// It copies.
    Copy,
    /// It reads the output back.
    Verify,
    /// It makes the output durable.
    Sync,
    /// It compares two disks.
    Compare,
    /// It computes a digest.
    Hash,
    /// It changes a disk where that differs from another.
    Update,
    /// It writes what layers hold into what lies below them.
    Merge,
    /// It copies into a child what its parents, old and new, have different.
    Rebase,
    /// It looks for what is wrong with an image.
    Check,
    /// It puts right what is wrong with an image.
    Repair,
    /// It changes the size of an image.
    Resize,
    /// It moves an image's blocks together.
    Compact,
}

impl Phase {
    /// Its name: "copy", "verify", …
    pub fn name(self) -> &'static str {
        match self {
            Phase::Survey => "survey",
            Phase::Resume => "resume",
            Phase::Copy => "copy",
            Phase::Verify => "verify",
            Phase::Sync => "sync",
            Phase::Compare => "compare",
            Phase::Hash => "hash",
            Phase::Update => "update",
            Phase::Merge => "merge",
            Phase::Rebase => "rebase",
            Phase::Check => "check",
            Phase::Repair => "repair",
            Phase::Resize => "resize",
            Phase::Compact => "compact",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
