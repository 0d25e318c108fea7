//! `.reg` files: changes of the registry as text, as `regedit` imports and exports them.
//!
//! Version 5 is UTF-16 with a byte order mark, or UTF-8; `REGEDIT4` is in the code page of Western Windows, also where it
//! has the bytes of strings. What the grammar does not know is refused with its line, where regedit passes over it.

mod export;
mod parse;

pub use export::export;
pub use parse::parse;

use super::edit::Editor;
use super::path::{HiveKind, KeyPath};
use crate::error::Result;

/// The first line of a file of version 5.
const VERSION_5: &str = "Windows Registry Editor Version 5.00";
/// The first line of a file of old.
const VERSION_4: &str = "REGEDIT4";

/// A change that a `.reg` file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The line in which it begins, counted from 1.
    pub line: usize,
    /// The path of the key, as it is written there.
    pub key: String,
    /// What is done.
    pub action: Action,
}

/// What is done with a key, or a value of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// `[KEY]`: the key is made when it is missing.
    Create,
    /// `[-KEY]`: the key is removed, with all below it.
    Remove,
    /// `"NAME"=…`; the default value has an empty name.
    Set {
        /// The value's name.
        name: String,
        /// Its type: one of [`kind`](super::kind), or another.
        kind: u32,
        /// Its data.
        data: Vec<u8>,
    },
    /// `"NAME"=-`: the value is removed.
    Unset {
        /// The value's name.
        name: String,
    },
}

impl Change {
    /// The key.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) when it lies in no hive that is known.
    pub fn path(&self) -> Result<KeyPath> {
        self.key.parse()
    }
}

/// Makes those of the changes that are for this hive, in their order; how many they were. What is said of
/// `CurrentControlSet` is done to all control sets that count.
///
/// ```
/// use diskport::storage::MemoryStorage;
/// use diskport::windows::registry::{Hive, HiveKind, Tree, reg};
///
/// let changes = reg::parse(b"REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Example]\r\n\"Answer\"=dword:2a\r\n")?;
/// let mut hive = Hive::open(MemoryStorage::new(Tree::new("ROOT").to_hive("SOFTWARE")?))?;
/// let mut editor = hive.edit()?;
/// assert_eq!(reg::apply(&mut editor, HiveKind::Software, &changes)?, 2);
/// editor.commit()?;
/// assert_eq!(hive.key("Example")?.unwrap().value("Answer")?.unwrap().integer()?, Some(42));
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// As for [`Change::path`] and the methods of [`Editor`].
pub fn apply(editor: &mut Editor<'_>, hive: HiveKind, changes: &[Change]) -> Result<usize> {
    let mut count = 0;
    for change in changes {
        let key = change.path()?;
        if key.hive != hive {
            continue;
        }
        count += 1;
        for path in key.in_hive(editor.hive())? {
            match &change.action {
                Action::Create => drop(editor.create_key(&path)?),
                Action::Remove => drop(editor.remove_key(&path)?),
                Action::Set { name, kind, data } => editor.set_value(&path, name, *kind, data)?,
                Action::Unset { name } => drop(editor.remove_value(&path, name)?),
            }
        }
    }
    Ok(count)
}
