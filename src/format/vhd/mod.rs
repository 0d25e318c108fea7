//! Microsoft Virtual Hard Disk, version 1.
//!
//! The chapters named in this folder are those of Microsoft's "Virtual Hard Disk Image Format Specification" 1.0.

mod bat;
pub(crate) mod create;
mod dynamic;
mod fixed;
mod footer;
mod header;
mod layout;
mod locator;
mod open;

pub(crate) use footer::probe;
pub(crate) use open::open;

/// Which field gives the size of a VHD whose footer disagrees with itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SizeField {
    /// The current size: it never loses sectors.
    #[default]
    Current,
    /// The product of cylinders, heads and sectors, as Virtual PC took it.
    Chs,
}
