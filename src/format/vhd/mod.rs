//! Microsoft Virtual Hard Disk, version 1.
//!
//! The chapters named in this folder are those of Microsoft's "Virtual Hard Disk Image Format Specification" 1.0.

mod bat;
mod check;
pub(crate) mod create;
mod displaced;
mod dynamic;
mod fixed;
mod footer;
mod footer_pair;
mod header;
mod layout;
mod link;
mod locator;
mod open;
mod pending;
mod relocate;
mod repair;
mod resize;
mod rules;
mod skeleton;
mod write;

pub(crate) use check::check;
pub(crate) use displaced::near_end;
pub(crate) use footer::probe;
pub(crate) use link::{create_child, recorded_names};
pub(crate) use open::{open, open_writable};
pub(crate) use repair::repair;
pub(crate) use skeleton::DEFAULT_BLOCK_SIZE;

pub use super::tools::context::SizeField;
