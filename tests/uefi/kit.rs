//! The kit that makes disks as Windows leaves them, checks what became of them, and boots them.
//!
//! It lies beside the repository, or where `DISKPORT_UEFI_KIT` says. Its disks hold no file of Microsoft's: the boot
//! manager and the loader are small EFI programs that follow the boot store as the real ones do, and say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::common::digest;
use crate::common::tools::{Missing, Trouble, run, tool};

/// Programs that the kit calls.
const NEEDS: [&str; 13] = [
    "python3",
    "mkntfs",
    "ntfs-3g",
    "ntfsresize",
    "ntfsfix",
    "fsck.vfat",
    "mcopy",
    "sgdisk",
    "fdisk",
    "hivexml",
    "clang",
    "lld-link",
    "qemu-system-x86_64",
];
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

pub struct Kit {
    folder: PathBuf,
    /// Where the disks lie that it has made.
    cache: PathBuf,
}

impl Kit {
    /// The kit, or why it cannot be used.
    pub fn get() -> Result<&'static Kit, Missing> {
        static KIT: LazyLock<Result<Kit, String>> = LazyLock::new(Kit::find);
        KIT.as_ref().map_err(|reason| Missing(reason.clone()))
    }

    fn find() -> Result<Self, String> {
        let folder = match std::env::var_os("DISKPORT_UEFI_KIT") {
            Some(path) => path.into(),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/uefi"),
        };
        let names = ["mkfixture.py", "bcd.py", "regf.py", "efi/fakeboot.c", "efi/build.sh"];
        let mut key = Sha256::new();
        for name in names {
            let path = folder.join(name);
            key.update(fs::read(&path).map_err(|e| format!("no UEFI kit: {}: {e}", path.display()))?);
        }
        for need in NEEDS {
            tool(need).map_err(|Missing(reason)| reason)?;
        }
        if !Path::new(FIRMWARE).exists() {
            return Err(format!("{FIRMWARE} is missing"));
        }
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("uefi-fixtures");
        let cache = cache.join(&digest::hex(key)[..16]);
        fs::create_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
        Ok(Self { folder, cache })
    }

    /// A raw disk of so many MiB; the same bytes each time where `faketime` is installed.
    pub fn disk(&self, variant: &str, mib: u32) -> Result<PathBuf, Trouble> {
        let programs = self.made("efi", |folder| {
            run(Command::new("sh").arg(self.folder.join("efi/build.sh")).arg(folder))
        })?;
        self.made(&format!("{variant}-{mib}.raw"), |path| {
            let mut command = match tool("faketime") {
                Ok(mut command) => {
                    command.args(["-f", "2024-01-01 00:00:00", "python3"]);
                    command
                }
                Err(_) => self.python(),
            };
            command.arg(self.folder.join("mkfixture.py")).arg(variant).arg(path).arg("--efi").arg(&programs);
            run(in_sbin(command.args(["--size-mib", &mib.to_string()])))
        })
    }

    /// Made beside its place and renamed, so that tests that do so at once do not meet.
    fn made(&self, name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, Trouble> {
        let path = self.cache.join(name);
        if !path.exists() {
            let own = tempfile::tempdir_in(&self.cache)?;
            make(&own.path().join(name))?;
            if let Err(e) = fs::rename(own.path().join(name), &path)
                && !path.exists()
            {
                return Err(e.into());
            }
        }
        Ok(path)
    }

    /// Checks of partition tables, file systems, files and hives, by programs that are not ours.
    pub fn verify(&self, source: &Path, converted: &Path, sector: u32) -> Result<(), Trouble> {
        let mut verify = self.python();
        verify.arg(self.folder.join("verify.py")).args([source, converted]);
        said(verify.args(["--sector", &sector.to_string()])).map(drop)
    }

    /// Boots a raw disk under OVMF, which finds the loader itself or by an entry for Windows' boot manager.
    pub fn boot(&self, disk: &Path, sector: u32, entry: bool) -> Result<(), Trouble> {
        let mut boot = self.python();
        boot.arg(self.folder.join("boot_test.py")).arg(disk).args(["--sector", &sector.to_string()]);
        said(boot.args(entry.then_some("--entry"))).map(drop)
    }

    /// A script of `tests/uefi`, which finds the kit's modules.
    pub fn script(&self, name: &str) -> Command {
        let mut command = self.python();
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/uefi").join(name));
        command.env("PYTHONPATH", &self.folder);
        command
    }

    fn python(&self) -> Command {
        let mut command = Command::new("python3");
        // The kit may lie where nothing can be written.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// The standard output; all that it said when it fails.
pub fn said(command: &mut Command) -> Result<String, Trouble> {
    let output = in_sbin(command).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{command:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// Debian's tools for file systems lie where only root's path leads.
fn in_sbin(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"))
}
