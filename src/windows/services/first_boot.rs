//! What Windows runs once, at its next start and before anybody can log on: `CmdLine` of the key `Setup`, as its own set-up
//! does (Microsoft KB 939857).

use super::{Services, set_number, set_text};
use crate::error::{Error, Result};

const SETUP: &str = "Setup";
/// The command is run, and Windows goes on to the logon. Windows takes it back then.
const RUN_AND_GO_ON: u32 = 2;

impl Services<'_, '_> {
    /// Has Windows run a command as LocalSystem at its next start. Not all services run by then.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`] when a set-up, or another such command, is pending; as for
    /// [`Editor::set_value`](crate::windows::registry::Editor::set_value).
    pub fn run_at_next_start(&mut self, command: &str) -> Result<()> {
        if let Some(setup) = self.editor.hive().key(SETUP)? {
            let number = setup.value("SetupType")?.map(|value| value.integer()).transpose()?.flatten();
            let pending = setup.value("CmdLine")?.map(|value| value.text()).transpose()?.flatten();
            let pending = pending.unwrap_or_default();
            if number.is_some_and(|number| number != 0) && pending != command {
                let reason =
                    format!("Windows is to run {pending:?} at its next start, which is not taken away");
                return Err(Error::Layout { reason });
            }
        }
        set_text(self.editor, SETUP, "CmdLine", command)?;
        set_number(self.editor, SETUP, "SetupType", RUN_AND_GO_ON)
    }
}
