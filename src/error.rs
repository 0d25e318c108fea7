//! What can go wrong, typed so that a caller can match the cause and a person can act on the text.

mod class;
mod defect;
mod from;
mod hint;
mod place;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use class::ErrorClass;
pub use defect::{Defect, Problem};
pub(crate) use hint::is_out_of_handles;

use crate::leaves::{Format, Hint, LockHolder, ReferenceKind, Rule};

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
///
/// [`Error::class`] folds the variants into the few cases that most callers tell apart, and
/// [`Error::hint`] says what can be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image is damaged, hostile or not supported; the defect says where and why.
    #[error(transparent)]
    Defect(Box<Defect>),

    /// The storage below failed.
    #[error("cannot {operation} {file}: {error}")]
    Io {
        /// What was attempted: "open", "read", "write", "sync", …
        operation: &'static str,
        /// The file, as the user would name it.
        file: String,
        /// The operating system's or the storage's own error. It is part of this one's text, and so no source of it.
        error: io::Error,
    },

    /// No signature of a known format was found.
    #[error("{file}: no known disk format recognised")]
    NotRecognised {
        /// The file.
        file: String,
    },

    /// More than one format matches: by their signatures, or a signature in what may be a raw disk, whose content is the guest's.
    #[error("{file}: matches more than one format: {}", list(.formats))]
    AmbiguousFormat {
        /// The file.
        file: String,
        /// All the formats that match.
        formats: Vec<Format>,
    },

    /// The file is in a format of others, and no disk as it stands: a container that is not read, an archive, a compressed file.
    #[error("{file}: is in a format that is not read, and no raw disk: {format}")]
    ForeignFormat {
        /// The file.
        file: String,
        /// What a file of that format is called.
        format: &'static str,
        /// What makes a disk of it.
        hint: Hint,
    },

    /// A name that an image gives for another file may not be opened under the caller's policy.
    #[error("{referrer}: the {kind} {name:?} may not be opened: {reason}")]
    NotAllowed {
        /// The file that names the other.
        referrer: String,
        /// Parent or extent.
        kind: ReferenceKind,
        /// The name as the image gives it.
        name: String,
        /// Which rule forbids it.
        reason: String,
    },

    /// An extent that the image names does not exist.
    #[error("{referrer}: the extent {name:?} is missing")]
    ExtentMissing {
        /// The file that names the extent.
        referrer: String,
        /// The name as the image gives it.
        name: String,
    },

    /// The caller says where an extent lies that no descriptor names.
    #[error("no extent is called {name:?}: {}", extents(.named))]
    NoSuchExtent {
        /// The name that the caller gave.
        name: String,
        /// The names in the descriptors that were read.
        named: Vec<String>,
    },

    /// A name leads to no file, and several differ from it in letter case or in Unicode form alone.
    #[error("{referrer}: the {kind} {name:?} is missing, and more than one is like it: {}", list(.candidates))]
    AmbiguousName {
        /// The file that names the other.
        referrer: String,
        /// Parent or extent.
        kind: ReferenceKind,
        /// The name as the image gives it.
        name: String,
        /// The names that are like it.
        candidates: Vec<String>,
    },

    /// None of the names that a child can record of its parent leads to it.
    #[error("{child}: no name that it can record leads to its parent {parent}")]
    ParentUnreachable {
        /// The differencing image.
        child: String,
        /// The image that was to be its parent.
        parent: String,
    },

    /// None of the names recorded for the parent leads to a file.
    #[error("{child}: its parent was not found; tried {}", list(.tried))]
    ParentMissing {
        /// The differencing image.
        child: String,
        /// Each name that was tried, with the reason why it did not serve.
        tried: Vec<String>,
    },

    /// A parent was found, but it is not the one that the child was made on.
    #[error("{child}: {parent} is not the parent recorded: expected {expected}, found {found}")]
    ParentMismatch {
        /// The differencing image.
        child: String,
        /// The file found under the parent's name.
        parent: String,
        /// The identity that the child recorded.
        expected: String,
        /// The identity of the file found.
        found: String,
    },

    /// The chain of parents comes back to a file that is already part of it.
    #[error("{file}: the chain of parents is a cycle")]
    Cycle {
        /// The file met for the second time.
        file: String,
    },

    /// The chain of parents has more layers than allowed.
    #[error("{file}: the chain of parents has more than {limit} layers")]
    ChainTooDeep {
        /// The file at which the limit was passed.
        file: String,
        /// The limit in force.
        limit: usize,
    },

    /// The disk was opened without a part that reading its content needs.
    #[error(transparent)]
    Incomplete(Arc<Error>),

    /// A read or write goes beyond the end of the virtual disk.
    #[error("{len} bytes at offset {offset} lie beyond the end of the disk ({size} bytes)")]
    OutOfRange {
        /// First byte of the access.
        offset: u64,
        /// Bytes of the access.
        len: u64,
        /// Virtual size of the disk in bytes.
        size: u64,
    },

    /// The output would be smaller than the source's virtual size.
    #[error("the output of {given} bytes is smaller than the source's virtual size of {needed} bytes")]
    OutputTooSmall {
        /// Virtual size of the source in bytes.
        needed: u64,
        /// Size asked for in bytes.
        given: u64,
    },

    /// The output exists already.
    #[error("{path}: exists already")]
    OutputExists {
        /// The output.
        path: String,
    },

    /// The output is a file of the source.
    #[error("{path}: is a file of the source")]
    OutputIsSource {
        /// The output.
        path: String,
    },

    /// The output, or a parent, is called as no descriptor can record it: not in UTF-8, or with a quotation mark in it.
    #[error("{path}: a descriptor cannot record such a name")]
    NotRecordable {
        /// The output, or the parent.
        path: String,
    },

    /// What lies in the output's place is no plain file.
    #[error("{path}: exists, and is no plain file")]
    OutputNotPlain {
        /// The output.
        path: String,
    },

    /// Another program, or another part of this one, uses the image.
    #[error("{file}: {holder}")]
    Locked {
        /// The file.
        file: String,
        /// Who uses it, and how that is known.
        holder: LockHolder,
    },

    /// The system uses the block device: it is mounted, swapped to, or a part of something else.
    #[error("{device}: is mounted, or in use by the system in another way")]
    Busy {
        /// The device.
        device: String,
    },

    /// The image can be read, but not written in place.
    #[error("{file}: cannot be written to: {reason}")]
    NotWritable {
        /// The image.
        file: String,
        /// What stands in the way: compression, a kind that nobody writes, a damage.
        reason: String,
    },

    /// The image is no differencing image: it has no parent to merge into or to change.
    #[error("{file}: has no parent")]
    NoParent {
        /// The image.
        file: String,
    },

    /// The image named as a parent, near or far, is none.
    #[error("{file}: is no parent of {top}")]
    NotInChain {
        /// The image named.
        file: String,
        /// The top of the chain.
        top: String,
    },

    /// The image cannot be the parent of that child, whatever it holds.
    #[error("{parent}: cannot be the parent of {child}: {reason}")]
    UnfitParent {
        /// The differencing image.
        child: String,
        /// The image that was to be its parent.
        parent: String,
        /// What stands in the way: the format, the size, the sectors.
        reason: String,
    },

    /// Other images name this one as their parent: to change it would change them all.
    #[error("{file}: is the parent of {}", list(.children))]
    HasChildren {
        /// The image.
        file: String,
        /// The images that name it.
        children: Vec<String>,
    },

    /// A flush failed before, or a change broke off: what is durable is not known.
    #[error("{file}: is not written to any more, since a write or a flush failed")]
    Poisoned {
        /// The image.
        file: String,
    },

    /// The image was closed, and with it all its views.
    #[error("{file}: was closed")]
    Closed {
        /// The image.
        file: String,
    },

    /// The size is beyond what the format, or this kind of it, can hold.
    #[error("{format} cannot hold {size} bytes: {limit}")]
    SizeLimit {
        /// The format.
        format: Format,
        /// The size asked for in bytes.
        size: u64,
        /// What is allowed.
        limit: String,
    },

    /// The platform that the disk is made for cannot take it.
    #[error("{target} cannot take {what}: {limit}")]
    TargetLimit {
        /// The platform.
        target: &'static str,
        /// What stands in the way: the size, the sectors, an encrypted volume.
        what: String,
        /// What the platform allows.
        limit: String,
    },

    /// What a smaller disk would cut off is not all zeros.
    #[error("{file}: at {size} bytes it would lose data: the byte at offset {offset} is not zero")]
    ShrinkLosesData {
        /// The image.
        file: String,
        /// The size asked for in bytes.
        size: u64,
        /// The first byte of the virtual disk that would be lost and is not zero.
        offset: u64,
    },

    /// A smaller disk would cut a partition or a file system, whatever the bytes there are.
    #[error("{file}: at {size} bytes it would be cut through {}", list(.what))]
    ShrinkCuts {
        /// The image.
        file: String,
        /// The size asked for in bytes.
        size: u64,
        /// What ends behind the new end.
        what: Vec<String>,
    },

    /// A volume has no room for what is to be put into it.
    #[error("the volume has {free} bytes free, and {needed} more are needed")]
    VolumeFull {
        /// Bytes that are needed, in whole clusters.
        needed: u64,
        /// Bytes that are free, in whole clusters.
        free: u64,
    },

    /// A volume has no such file, directory or stream; or a registry no such key or value.
    #[error("{path}: is not there")]
    FileMissing {
        /// What was asked for.
        path: String,
    },

    /// The kind of the image, or its content, does not allow what was asked for.
    #[error("{reason}")]
    Layout {
        /// What stands in the way.
        reason: String,
    },

    /// The disk cannot be converted as it is; nothing was written.
    #[error("{reason}")]
    NotConvertible {
        /// The rule that it breaks.
        rule: Rule,
        /// What was found.
        reason: String,
    },

    /// What lies on the disk breaks its own rules: a partition table, a file system, a file.
    #[error("{structure} at offset {offset}: expected {expected}, found {found}")]
    Damaged {
        /// The structure, in the specification's words.
        structure: &'static str,
        /// Where it lies on the disk, in the volume or in the file that it is part of, in bytes.
        offset: u64,
        /// What the specification, or this crate's limit, allows.
        expected: String,
        /// What was found.
        found: String,
    },

    /// A text that was given breaks its grammar.
    #[error("{what}, line {line}: expected {expected}, found {found:?}")]
    Text {
        /// What the text is: "registry file".
        what: &'static str,
        /// The line, counted from 1.
        line: usize,
        /// What the grammar has there.
        expected: String,
        /// What stands there, or the beginning of it.
        found: String,
    },

    /// What lies within a part of the disk is damaged: a volume, a file of one.
    #[error("{part}: {error}")]
    Within {
        /// The part, as the user would name it.
        part: String,
        /// What is wrong there.
        error: Box<Error>,
    },

    /// What was asked for cannot be done by this format or by this version.
    #[error("{what}")]
    Unsupported {
        /// What was asked for, by name.
        what: String,
    },

    /// What was written reads back differently.
    #[error("verification failed: source and output differ at offset {offset}")]
    VerifyFailed {
        /// First differing byte of the virtual disk.
        offset: u64,
    },

    /// What was written has another digest than what came out of the source, which can be read once.
    #[error("verification failed: the output's BLAKE3 digest is {found}, and the source's {expected}")]
    DigestDiffers {
        /// That of the source, in hexadecimal.
        expected: String,
        /// That of the output.
        found: String,
    },

    /// A file of the source was written to since it was opened.
    #[error("{path}: changed since it was opened")]
    SourceChanged {
        /// The file.
        path: String,
    },

    /// A copy cannot be gone on with: its source is not what it was.
    #[error("{checkpoint}: the source has changed since this checkpoint was made")]
    StaleCheckpoint {
        /// The checkpoint.
        checkpoint: String,
    },

    /// A plan does not fit: it was made for another source, or the source is not what it was.
    #[error("{path}: not what the plan was made for: {reason}")]
    StalePlan {
        /// The source.
        path: String,
        /// What differs.
        reason: String,
    },

    /// An output cannot be finished: parts of it were not written yet.
    #[error("shards are missing: {}", list(.missing))]
    ShardsMissing {
        /// The parts.
        missing: Vec<String>,
    },

    /// A part of an output does not hold what was written.
    #[error("shard {shard} is damaged: the output does not hold what was written")]
    ShardDamaged {
        /// The part.
        shard: String,
    },

    /// The caller cancelled the operation.
    #[error("cancelled")]
    Cancelled,
}

/// The items, separated by commas.
fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// The names of extents, of which there may be thousands.
fn extents(named: &[String]) -> String {
    const SHOWN: usize = 8;
    let quoted: Vec<_> = named.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    match named.len().checked_sub(SHOWN) {
        _ if named.is_empty() => "no descriptor was read that names any".to_owned(),
        None | Some(0) => format!("there are {}", quoted.join(", ")),
        Some(more) => format!("there are {}, and {more} more", quoted.join(", ")),
    }
}
