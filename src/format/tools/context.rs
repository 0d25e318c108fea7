//! What a format is told beside the image's own file: whom to ask for other files, and what the caller chose.

use crate::storage::resolver::Placed;

/// What a format needs to open an image beside the image's own file.
pub(crate) struct OpenContext<'a> {
    /// Opens the extents that the image names.
    pub(crate) resolver: Placed<'a>,
    /// The choices that the caller made.
    pub(crate) choices: Choices,
}

/// How to read what an image leaves open.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Choices {
    /// Whether files are written to that another program says beside them to use.
    pub(crate) ignore_locks: bool,
    pub(crate) vhd_size: SizeField,
    pub(crate) grain_tables: GrainTables,
    /// Whether a damaged image is opened as far as it can be read.
    pub(crate) salvage: bool,
}

/// Which field gives the size of a VHD whose footer disagrees with itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeField {
    /// The current size: it never loses sectors.
    #[default]
    Current,
    /// The product of cylinders, heads and sectors, as Virtual PC took it.
    Chs,
}

/// Which grain table is read where the two copies differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrainTables {
    /// Neither: reading such a grain is refused.
    #[default]
    MustAgree,
    /// The primary table, as qemu and 7-Zip do.
    Primary,
    /// The redundant table.
    Redundant,
}

/// What can be chosen of a differencing child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildOptions {
    /// Virtual size in bytes: the parent's, or more where the format allows it.
    pub(crate) size: u64,
    /// Bytes of a block; `None`: the parent's where it has one of the kind, else the format's default.
    pub(crate) block_size: Option<u64>,
}

/// What can be chosen of an output beside its format.
#[derive(Debug, Clone)]
pub(crate) struct OutputOptions {
    /// Level of deflate, 0 to 9, that was asked for.
    pub(crate) level: Option<u32>,
    /// Bytes of a block.
    pub(crate) block_size: Option<u64>,
    /// What identifiers and times follow from, so that the output is the same each time.
    pub(crate) seed: Option<u64>,
    /// Threads that compress, where the sink does that itself.
    pub(crate) threads: usize,
}
