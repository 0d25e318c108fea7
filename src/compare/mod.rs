//! Comparing the contents of two disks: where they differ first, all that differs, both side by side.

mod differences;
mod first;
mod in_step;
pub(crate) mod pairs;

pub use differences::Differences;
pub(crate) use first::compare_as;
pub use first::{Difference, compare};
