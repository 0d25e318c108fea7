//! Services, drivers and filters of an installed Windows, changed in its hive `SYSTEM`.
//!
//! All of them lie in control sets. A change is made in each that counts: the one that was in use last, and the one of the
//! next start. A driver that is not wanted stays a key, disabled: a filter that is named and has none keeps Windows from
//! starting (stop code 7Bh).
//!
//! ```
//! use diskport::storage::MemoryStorage;
//! use diskport::windows::registry::{Hive, Tree, kind};
//! use diskport::windows::services::{Service, ServiceKind, Services, ServiceStart};
//!
//! let mut root = Tree::new("ROOT");
//! root.entry("Select").set("Current", kind::DWORD, 1u32.to_le_bytes());
//! let mut hive = Hive::open(MemoryStorage::new(root.to_hive("SYSTEM")?))?;
//! let mut editor = hive.edit()?;
//! let mut services = Services::new(&mut editor)?;
//! services.define(&Service::driver("vioscsi", ServiceStart::Boot, r"system32\drivers\vioscsi.sys"))?;
//! services.remove_start_override("storahci")?;
//! editor.commit()?;
//! assert!(hive.key(r"ControlSet001\Services\vioscsi")?.is_some());
//! # Ok::<(), diskport::Error>(())
//! ```

mod device;
mod filters;
mod first_boot;
mod service;

pub use device::BootDriver;
pub use filters::FilterSide;
pub use service::{Service, ServiceKind, ServiceStart};

use crate::error::Result;
use crate::windows::registry::{Editor, control_sets, kind};

/// The services of a Windows, over an [`Editor`] of its `SYSTEM`.
#[derive(Debug)]
pub struct Services<'e, 'h> {
    editor: &'e mut Editor<'h>,
    /// The keys of the control sets that count.
    sets: Vec<String>,
}

/// Bytes of a `SYSTEM` that the loader of Windows takes: 400 MB on x86, 1.5 GB elsewhere ("Windows Internals", 6th
/// edition, part 1, chapter 4). This one holds for all.
const LOADER_LIMIT: u32 = 400 << 20;

impl<'e, 'h> Services<'e, 'h> {
    /// Those in `editor`'s hive, which then is not made larger than what every loader takes.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged) when the hive does not say which control set is in use.
    pub fn new(editor: &'e mut Editor<'h>) -> Result<Self> {
        let sets = control_sets(editor.hive())?;
        editor.limit(LOADER_LIMIT);
        Ok(Self { editor, sets })
    }

    /// The keys of the control sets that are changed, as in `ControlSet001`.
    pub fn control_sets(&self) -> &[String] {
        &self.sets
    }

    /// What is done in each of the control sets; how often it changed something.
    fn in_each(&mut self, mut change: impl FnMut(&mut Editor<'h>, &str) -> Result<bool>) -> Result<usize> {
        let mut count = 0;
        for set in &self.sets {
            count += usize::from(change(self.editor, set)?);
        }
        Ok(count)
    }
}

/// The value of a string: UTF-16 with a NUL at its end.
fn text(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// The value of a list of strings, each with a NUL at its end, and one more.
fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Vec<u8> {
    let mut bytes: Vec<u8> = texts.into_iter().flat_map(text).collect();
    bytes.extend([0; 2]);
    bytes
}

/// Sets strings and numbers of a key.
fn set_text(editor: &mut Editor<'_>, key: &str, name: &str, value: &str) -> Result<()> {
    editor.set_value(key, name, kind::SZ, &text(value))
}

fn set_number(editor: &mut Editor<'_>, key: &str, name: &str, value: u32) -> Result<()> {
    editor.set_value(key, name, kind::DWORD, &value.to_le_bytes())
}
