//! Indexes: the names of a directory, the security descriptors by id and by hash, and what else a volume keeps in order.
//!
//! An index is a B-tree. Its root lies in the attribute `$INDEX_ROOT`, its other nodes are blocks of `$INDEX_ALLOCATION`, of which
//! `$BITMAP` tells the ones in use. What holds of one that Windows takes, and after every change here:
//! * Keys are strictly in order, by the collation that the root names: [`collation`].
//! * All leaves lie at one depth. Of a node's entries all have a child, the end entry too, or none has: [`node`].
//! * A block that is in use is the child of one entry; a block that is not is the child of none.
//! * The root's bytes allocated are those used: it takes what it needs of its record, and no more.
//!
//! chkdsk takes keys out and leaves the rest, so that a leaf without entries is met in volumes that are in order. We leave none, but in
//! blocks of 1 KiB or less, where one name can fill a node.

mod collation;
mod entry;
mod insert;
mod node;
mod remove;
mod search;
#[cfg(test)]
mod tests;
mod tree;

pub(in crate::windows::ntfs) use collation::Collation;
pub(in crate::windows::ntfs) use entry::{Entry, file_entry, view_entry};
pub(in crate::windows::ntfs) use node::Geometry;
pub(in crate::windows::ntfs) use tree::{Blocks, Index, MAX_BITMAP, new_root};
