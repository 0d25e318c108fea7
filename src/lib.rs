//! Reads, writes, converts and transforms virtual disks: VHD, VHDX, VMDK and raw.
//!
//! The crate is built around one idea: **an image format is a map**. A format answers one question: for this
//! virtual range, where are the bytes? Everything else is written once, over the answer.
//!
//! What the crate consists of, the lowest layer first; arrows go down only:
//!
//! * [`storage`]: positioned input and output, [where an image is](Place), and the policy under which its other files are opened;
//!   [`job`]: how far something has come, and a way to stop it.
//! * [`disk`]: one image or a chain of them, as a [`Disk`]: [`read_at`](Disk::read_at),
//!   [`extents`](Disk::extents), [`blocks`](Disk::blocks).
//! * [`format`](mod@format): one folder a format.
//! * [`Open`], and [`check`]: what a check of an image finds, and its repairs; [`compare`](mod@compare): what two disks
//!   hold; digests of a disk's content.
//! * [`copy`]: copying a disk into another format, and bringing a copy up to date.
//! * [`chain`]: children, merging the layers of a chain, and giving a child another parent.
//! * [`partition`]: partition tables, and turning an MBR into a GPT.
//! * [`windows`]: NTFS volumes, registry hives and boot stores.
//! * [`free`]: what file systems hold free, which need not be copied.
//! * `inspect` (feature of that name): what is inside of a disk: its Windows, their software and drivers.
//! * [`ops`]: the operations on whole images, with the platforms that they are for.
//!
//! The life of a disk: it is [made](Disk::empty) or [opened](Open::open), read, [converted](Convert) into an image; a
//! [child](Child) is laid over that and [written to](WritableDisk), [flushed](WritableDisk::flush) and
//! [closed](WritableDisk::close), and [merged](chain::Merge) into its parent when the parent may change.
//!
//! From an asynchronous program, see the guide [from tokio](guide::tokio). Identities are those of the crate [`uuid`], which is
//! given on.
//!
//! Start with [`open()`](fn@open), or with [`Open`] where the defaults do not fit.
#![cfg_attr(not(feature = "mmap"), forbid(unsafe_code))]
#![deny(unsafe_code)]
#![deny(missing_docs)]

pub mod chain;
pub mod check;
pub mod compare;
pub mod copy;
pub mod deflate;
#[cfg(feature = "digest")]
pub mod digest;
pub mod disk;
#[cfg(feature = "digest")]
pub mod ebs;
mod error;
mod findings;
pub mod format;
pub mod free;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(feature = "inspect")]
pub mod inspect;
pub mod job;
mod leaves;
mod open;
pub mod ops;
pub mod partition;
mod sink;
pub mod storage;
mod strict;
pub mod windows;

pub use chain::{Child, NewChild};
pub use copy::{Convert, OutputFormat};
pub use disk::{Block, BlockStream, Blocks, Data, Disk, Extent, WritableDisk};
pub use error::{Defect, Error, ErrorClass, Problem, Result};
pub use leaves::{Format, GIB, Hint, Ids, KIB, MIB, ReferenceKind, Rule, UnknownFormat};
pub use open::{Open, open};
pub use storage::Place;
/// The crate of identities, which are part of this one's interface.
pub use uuid;

/// The README's example is run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
