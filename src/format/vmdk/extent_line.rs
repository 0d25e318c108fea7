//! A line of the descriptor that names an extent: `ACCESS SECTORS TYPE "file" [OFFSET]`.

use super::descriptor::{Text, shown};
use crate::error::{Problem, Result};
use crate::strict;

/// What may be done with an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// RW.
    ReadWrite,
    /// RDONLY.
    ReadOnly,
    /// NOACCESS.
    None,
}

impl Access {
    /// The access that a word means, if it is one.
    pub(super) fn of(word: &str) -> Option<Self> {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        if is("RW") {
            Some(Access::ReadWrite)
        } else if is("RDONLY") {
            Some(Access::ReadOnly)
        } else if is("NOACCESS") {
            Some(Access::None)
        } else {
            None
        }
    }
}

/// What an extent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ExtentKind {
    /// FLAT and VMFS: the bytes as they are.
    Flat,
    /// SPARSE and VMFSSPARSE; the file's signature says whether it is a hosted or a COWD extent.
    Sparse,
    SeSparse,
    Zero,
}

const KINDS: [(&str, ExtentKind); 6] = [
    ("FLAT", ExtentKind::Flat),
    ("VMFS", ExtentKind::Flat),
    ("SPARSE", ExtentKind::Sparse),
    ("VMFSSPARSE", ExtentKind::Sparse),
    ("SESPARSE", ExtentKind::SeSparse),
    ("ZERO", ExtentKind::Zero),
];

/// One extent of a disk.
#[derive(Debug)]
pub(super) struct ExtentLine {
    /// Where the line lies in the descriptor.
    pub(super) at: usize,
    pub(super) access: Access,
    pub(super) sectors: u64,
    pub(super) kind: ExtentKind,
    /// Empty for [`ExtentKind::Zero`].
    pub(super) name: String,
    /// First sector of the file, for [`ExtentKind::Flat`].
    pub(super) offset: u64,
}

impl ExtentLine {
    /// Parses what follows the word for the access. Nothing is skipped: a line that is not understood is an extent
    /// that would be missing.
    pub(super) fn parse(text: &Text<'_>, access: Access, rest: &str, at: usize) -> Result<Self> {
        let bad = |expected: &str, found: &str| text.defect(Problem::Descriptor, at, expected, shown(found));
        let (sectors, rest) = word(rest);
        let count = match strict::decimal(sectors) {
            Some(count) if count > 0 => count,
            _ => return Err(bad("an extent's size in sectors", sectors)),
        };
        let (name, rest) = word(rest);
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            let expected = "an extent of type FLAT, VMFS, SPARSE, VMFSSPARSE, SESPARSE or ZERO";
            return Err(text.defect(Problem::Unsupported, at, expected, shown(name)));
        };
        if access == Access::None {
            let expected = "an extent that may be read (RW or RDONLY)";
            return Err(text.defect(Problem::Unsupported, at, expected, "NOACCESS"));
        }
        let mut line = Self { at, access, sectors: count, kind: *kind, name: String::new(), offset: 0 };
        if *kind == ExtentKind::Zero {
            return if rest.is_empty() { Ok(line) } else { Err(bad("nothing behind ZERO", rest)) };
        }
        // The name may hold quotes itself: it ends with the last one.
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.rsplit_once('"'));
        let Some((file, rest)) = quoted.filter(|(file, _)| !file.is_empty()) else {
            return Err(bad("the extent's file name in double quotes", rest));
        };
        line.name = file.to_owned();
        let (offset, rest) = word(rest.trim_start());
        if !rest.is_empty() {
            let expected = "an extent in a file, not on a device or partition";
            return Err(text.defect(Problem::Unsupported, at, expected, shown(rest)));
        }
        if !offset.is_empty() {
            line.offset =
                strict::decimal(offset).ok_or_else(|| bad("the extent's offset in sectors", offset))?;
        }
        if line.offset != 0 && *kind != ExtentKind::Flat {
            return Err(bad("no offset but for FLAT and VMFS", offset));
        }
        Ok(line)
    }
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}
