//! The control set that counts: of the hive `SYSTEM`, the one that `Select\Current` names. `CurrentControlSet` is made of it when
//! Windows runs, and lies in no file.

use crate::error::Result;
use crate::windows::registry::{Hive, Key};

/// The key of the control set; `None` when the hive selects none.
///
/// # Errors
///
/// [`crate::Error::Damaged`] for a hive that cannot be read there.
pub fn current(system: &Hive) -> Result<Option<Key<'_>>> {
    let Some(select) = system.key("Select")? else { return Ok(None) };
    match select.integer("Current")? {
        Some(number) => system.key(&format!("ControlSet{number:03}")),
        None => Ok(None),
    }
}
