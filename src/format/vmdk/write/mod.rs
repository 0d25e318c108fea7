//! Writing in place.
//!
//! What is flushed stays: grains get their data, then the redundant grain table names them, then the grain table, with
//! a flush between each; the content id changes before the first of it.

mod beneath;
mod descriptor;
mod directories;
mod disk;
mod open;
mod pack;
mod parent;
mod publish;
mod resize;
mod sparse;

pub(super) use descriptor::{DescriptorText, HOME};
pub(super) use disk::mark;
pub(super) use open::{open, open_files};
pub(super) use parent::identify;
