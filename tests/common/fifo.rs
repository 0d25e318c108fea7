//! A pipe with a name.

use std::path::Path;

/// Makes one at `path`.
pub fn fifo(path: &Path) {
    // Apple's systems have the program, and no such call for others.
    #[cfg(target_vendor = "apple")]
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, Mode, mkfifoat};
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).expect("a pipe");
    }
}
