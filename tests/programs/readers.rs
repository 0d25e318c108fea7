//! Other readers of chains.

use std::path::Path;

use crate::common::digest;
use crate::common::tools::{Finish, Missing, Trouble, python};

/// libvhdi's script, where there is libvhdi.
pub fn needs_libvhdi() -> Result<std::process::Command, Missing> {
    python("interop/read_vhd.py", "pyvhdi")
}

/// The digest of the disk that the first image, over the others, has for libvhdi.
pub fn libvhdi(chain: &[&Path]) -> Result<String, Trouble> {
    needs_libvhdi()?.args(chain).first_line()
}

/// That libvhdi reads these bytes.
pub fn libvhdi_reads(chain: &[&Path], model: &[u8]) {
    match libvhdi(chain) {
        Ok(found) => assert_eq!(found, digest::of_bytes(model), "{}", chain[0].display()),
        Err(trouble) => panic!("{}: {}", chain[0].display(), trouble.reason()),
    }
}
