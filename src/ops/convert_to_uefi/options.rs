//! What the caller chooses of a conversion.

use std::path::PathBuf;

use super::place::EspChoice;
use crate::partition::TypeMap;
use crate::windows::boot_files::SigningAuthority;

/// What the caller chooses of a conversion.
#[derive(Debug, Clone, Default)]
pub struct UefiOptions {
    /// Where the EFI system partition is to go.
    pub esp: EspChoice,
    /// A folder of the host's with the boot files: a copy of `\Windows\Boot`. By default those of the Windows are taken.
    pub boot_files: Option<PathBuf>,
    /// Whose signature the boot manager is to bear.
    pub authority: SigningAuthority,
    /// Whether the output is to be a copy. A child of any format but VHDX is as large as its parent, so that its disk cannot
    /// [grow](super::EspPlace::Grow).
    pub copy: bool,
    /// What partitions of MBR types that Windows does not know are in the GPT.
    pub types: TypeMap,
    /// Whether volumes whose log is marked clean are taken for clean whatever its version, see
    /// [`Volume::trust_log`](crate::windows::ntfs::Volume::trust_log).
    pub log_trusted: bool,
}
