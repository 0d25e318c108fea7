//! Chains of differencing images: making children, merging their layers, giving a child another parent, finding what belongs together.
//!
//! A child is bound to its parent by an identity. Of a VHDX and most VMDKs that is an identity of the *content*, so that a parent
//! which was written to is noticed; a VHD has one of the *file* alone, and nothing tells that its content changed. Therefore no
//! image may be written to that others name as their parent; [`children_of`] finds them.

mod child;
mod family;
mod in_place;
mod layers;
mod link;
mod merge;
mod merge_into;
mod rebase;
mod removal;

pub use child::{Child, NewChild};
pub use family::{check_no_children, children_of, find_parents};
pub use in_place::{change_in_place, end_change};
pub use merge::{Merge, Merged};
pub use merge_into::{merge_into, record_parent};
pub use rebase::Rebase;
