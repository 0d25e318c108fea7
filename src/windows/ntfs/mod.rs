//! NTFS volumes: files read and written, volumes checked and made smaller.
//!
//! Making a volume smaller needs FILE records and mapping pairs that can be rewritten, which is half of a reader; the
//! other half is here too, since what readers at hand do with compressed files (WOF's read as zeros) would not do.

mod bitmap;
mod boot;
pub mod check;
mod compression;
mod data;
mod directory;
mod edit;
mod file;
mod file_name;
mod fixup;
mod flaw;
mod index;
mod inherit;
mod lznt1;
mod metadata;
mod names;
mod overlay;
mod reader;
mod record;
mod relocate;
mod reparse;
mod runs;
mod secure;
mod shrink;
mod state;
mod stream;
mod upcase;
mod volume;
mod wof;
mod write;
mod xpress;

pub use check::{Check, check};
pub use data::FileData;
pub use directory::Entry;
pub use file::File;
pub use metadata::{Metadata, attribute};
pub use reparse::ReparsePoint;
pub use shrink::Tail;
pub use state::State;
pub use volume::Volume;
pub use write::{Edit, Times};
