//! Microsoft Virtual Hard Disk, version 2.
//!
//! Read as [MS-VHDX] says: headers and regions, the metadata, the BAT with its sector bitmaps, the parent locator,
//! and the log, which is replayed in memory: no file is ever changed by reading it. Written, the metadata are changed
//! through the log alone.

mod allocation;
mod bat;
mod bat_check;
mod check;
mod child;
mod contents;
pub(crate) mod create;
mod header;
mod layout;
mod locator;
mod log;
mod map;
mod metadata;
mod open;
mod overlay;
mod region;
mod repair;
mod replay;
mod skeleton;
mod write;

pub(crate) use check::check;
pub(crate) use child::create_child;
pub(crate) use locator::recorded_names;
pub(crate) use open::{open, probe};
pub(crate) use repair::repair;
pub(crate) use write::open as open_writable;
