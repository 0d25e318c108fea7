//! Registry hives, the files in which Windows keeps its registry.
//!
//! A [`Hive`] reads keys and values on demand, so that a large one costs little memory. An [`Editor`] changes them; what
//! it has to hold is the sectors that change, and the places of all cells. A small hive can be read as a whole, as a
//! [`Tree`], changed, and written anew.
//!
//! The structures are those of the "Windows registry file format specification" (Maxim Suhanov), whose terms are
//! used here.
//!
//! ```
//! use diskport::storage::MemoryStorage;
//! use diskport::windows::registry::{Hive, Tree, kind};
//!
//! let mut root = Tree::new("ROOT");
//! root.entry("Select").set("Current", kind::DWORD, 1u32.to_le_bytes());
//! let hive = Hive::open(MemoryStorage::new(root.to_hive("SYSTEM")?))?;
//! let current = hive.key("Select")?.unwrap().value("current")?.unwrap();
//! assert_eq!(current.integer()?, Some(1));
//! # Ok::<(), diskport::Error>(())
//! ```

mod bins;
mod cells;
pub mod check;
mod data;
mod descriptor;
mod difference;
mod edit;
mod free;
mod hive;
mod index;
mod key;
mod layout;
mod list;
mod log;
mod marvin;
mod name;
mod path;
pub mod reg;
mod sectors;
mod security;
mod tree;
mod value;
mod write;

pub use difference::{ValueDifference, differences};
pub use edit::Editor;
pub use hive::{Hive, HiveState};
pub use key::Key;
pub(crate) use name::decode_utf16;
pub use path::{HiveKind, KeyPath, control_sets};
pub use sectors::ChangedSectors;
pub use tree::{Tree, TreeValue};
pub use value::Value;

/// The types of values.
pub mod kind {
    /// A string.
    pub const SZ: u32 = 1;
    /// A string with names of environment variables.
    pub const EXPAND_SZ: u32 = 2;
    /// Bytes.
    pub const BINARY: u32 = 3;
    /// A 32-bit number.
    pub const DWORD: u32 = 4;
    /// A list of strings.
    pub const MULTI_SZ: u32 = 7;
    /// A 64-bit number.
    pub const QWORD: u32 = 11;
}
