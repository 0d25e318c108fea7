//! What one file is to another.

use std::fmt;

/// What a named file is to the image that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReferenceKind {
    /// The parent of a differencing image; it must bear the identity that the child recorded.
    Parent,
    /// A part of the image's own bytes; it has no identity.
    Extent,
}

impl fmt::Display for ReferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReferenceKind::Parent => "parent",
            ReferenceKind::Extent => "extent",
        })
    }
}
