//! Why an image is refused.

use std::fmt;

use crate::leaves::{Format, Hint};

/// Why an image is refused: the format, the structure, the offset, what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Defect {
    /// The kind of problem, to match on.
    pub problem: Problem,
    /// The format whose rule is broken.
    pub format: Format,
    /// The file, as the user would name it.
    pub file: String,
    /// The structure, in the specification's words: "footer", "BAT", "region table".
    pub structure: &'static str,
    /// Where the offending field or structure lies in the file, in bytes.
    pub offset: u64,
    /// What the specification, or this crate's limit, allows.
    pub expected: String,
    /// What the file says.
    pub found: String,
    /// What can be done, where there is something of its own.
    pub hint: Option<Hint>,
}

impl Defect {
    /// A defect of `file`, without a hint of its own.
    pub(crate) fn new(
        format: Format,
        problem: Problem,
        file: &str,
        structure: &'static str,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Box<Self> {
        let (expected, found) = (expected.into(), found.into());
        Box::new(Self {
            problem,
            format,
            file: file.to_owned(),
            structure,
            offset,
            expected,
            found,
            hint: None,
        })
    }

    /// Adds what can be done.
    pub(crate) fn advise(mut self: Box<Self>, hint: Hint) -> Box<Self> {
        self.hint = Some(hint);
        self
    }
}

impl std::error::Error for Defect {}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Defect { problem, format, file, structure, offset, expected, found, .. } = self;
        write!(
            f,
            "{file}: {format} {structure} at offset {offset}: {problem}: expected {expected}, found {found}"
        )
    }
}

/// The kinds of [`Defect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// A signature or cookie is not the one that must stand here.
    Signature,
    /// The virtual size is zero, not a whole number of sectors, or above the format's limit.
    Size,
    /// A block or grain size that the format does not allow.
    BlockSize,
    /// A table is larger than the disk needs or the file holds, or too small for the disk.
    Table,
    /// Something lies beyond the end of the file.
    OutOfFile,
    /// Two structures claim the same bytes.
    Overlap,
    /// An offset is not aligned as the format demands.
    Misaligned,
    /// A checksum is wrong, and no good copy is left.
    Checksum,
    /// Two copies of a structure contradict each other, and the format does not say which one counts.
    Ambiguous,
    /// Something that a reader must understand is unknown to this one, or is refused by decision.
    Unsupported,
    /// The file is cut, or its writer did not finish it.
    Truncated,
    /// The log is dirty and cannot be replayed.
    Log,
    /// A compressed grain does not inflate to what its place demands.
    Compression,
    /// The text descriptor breaks its grammar or its limits.
    Descriptor,
    /// A parent locator cannot be read.
    Locator,
    /// A field holds a value that the format does not allow.
    Value,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::Signature => "wrong signature",
            Problem::Size => "size not allowed",
            Problem::BlockSize => "block size not allowed",
            Problem::Table => "wrong table size",
            Problem::OutOfFile => "lies beyond the end of the file",
            Problem::Overlap => "overlaps another structure",
            Problem::Misaligned => "misaligned",
            Problem::Checksum => "wrong checksum",
            Problem::Ambiguous => "copies contradict each other",
            Problem::Unsupported => "not supported",
            Problem::Truncated => "truncated or unfinished",
            Problem::Log => "log cannot be replayed",
            Problem::Compression => "bad compressed grain",
            Problem::Descriptor => "bad descriptor",
            Problem::Locator => "bad parent locator",
            Problem::Value => "value not allowed",
        })
    }
}
