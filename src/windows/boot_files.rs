//! What UEFI firmware and the Windows boot manager start from: the files of `\Windows\Boot`, as bcdboot puts them on an
//! EFI system partition.
//!
//! Windows brings its boot manager twice since 2023: signed by the "Microsoft Windows Production PCA 2011", in
//! `\Windows\Boot\EFI`, and by the "Windows UEFI CA 2023", in `EFI_EX` with names such as `bootmgfw_EX.efi`. Firmware that
//! has revoked the one starts only the other; firmware that was never updated starts only the first.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::leaves::Rule;
use crate::leaves::Shown;
use crate::windows::ntfs::Volume;
use crate::windows::program::{Program, machine};

/// Where the boot manager and all that it reads go.
const BOOT: &str = "EFI/Microsoft/Boot";
const BOOT_MANAGER: &str = "EFI/Microsoft/Boot/bootmgfw.efi";
/// What firmware starts that has no boot entry for the disk (UEFI Specification 2.10, section 3.5.1.1).
const FALLBACK: &str = "EFI/Boot/bootx64.efi";
/// Bytes of all boot files; Windows' own are about 30 MB.
const MAX_BYTES: u64 = 512 << 20;
/// Folders within each other in a folder of the host's.
const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 10_000;

/// Who signed the boot manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SigningAuthority {
    /// Microsoft Windows Production PCA 2011.
    #[default]
    Pca2011,
    /// Windows UEFI CA 2023.
    Ca2023,
}

impl fmt::Display for SigningAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SigningAuthority::Pca2011 => "Microsoft Windows Production PCA 2011",
            SigningAuthority::Ca2023 => "Windows UEFI CA 2023",
        })
    }
}

/// The boot files of a Windows, for its EFI system partition.
#[derive(Debug, Clone)]
pub struct BootFiles {
    /// Where they are from.
    pub origin: String,
    /// Whose signature was asked for.
    pub authority: SigningAuthority,
    /// Whether they were there with the other signature, too.
    pub has_other: bool,
    /// The files: their paths on the EFI system partition, parted by `/`, and their bytes.
    pub files: Vec<(String, Vec<u8>)>,
}

impl BootFiles {
    /// Those of the Windows in the folder `root` of `volume`: `\Windows`.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`] with [`Rule::BootFiles`] when they are not there, are for another machine or cannot be
    /// read, and what reading the volume gives rise to.
    pub fn of_windows(volume: &Volume, root: &str, authority: SigningAuthority) -> Result<Self> {
        let folder = format!("{root}\\Boot");
        Self::gather(&InVolume { volume, folder: folder.clone() }, folder, authority)
    }

    /// Those in a folder of the host's: a copy of `\Windows\Boot`, or of the `EFI` in it.
    ///
    /// # Errors
    ///
    /// As for [`of_windows`](Self::of_windows), and [`Error::Io`].
    pub fn in_folder(folder: &Path, authority: SigningAuthority) -> Result<Self> {
        let bare = folder.join("bootmgfw.efi").is_file();
        let origin = folder.shown();
        Self::gather(&InFolder { folder: folder.to_owned(), bare }, origin, authority)
    }

    fn gather(source: &dyn Source, origin: String, authority: SigningAuthority) -> Result<Self> {
        let mut gathered = Gathered { source, files: Vec::new(), left: MAX_BYTES };
        let mut has = [false; 2];
        for (folder, to) in [("EFI", ""), ("Fonts", "/Fonts"), ("Resources", "/Resources")] {
            let names = source.names(folder)?;
            // The names of those with the later signature, without what tells them apart.
            let later_folder = format!("{folder}_EX");
            let later = source.names(&later_folder)?;
            has[0] |= names.iter().any(|name| is_boot_manager(name));
            has[1] |= later.iter().any(|name| is_boot_manager(&plain(name)));
            let later = if authority == SigningAuthority::Ca2023 { later } else { Vec::new() };
            let replaced: HashSet<_> = later.iter().map(|name| plain(name).to_lowercase()).collect();
            for name in names {
                if !replaced.contains(&name.to_lowercase()) {
                    gathered.add(folder, &name, format!("{BOOT}{to}/{name}"))?;
                }
            }
            for name in later {
                gathered.add(&later_folder, &name, format!("{BOOT}{to}/{}", plain(&name)))?;
            }
        }
        let [earlier, later] = has;
        let (there, has_other) = match authority {
            SigningAuthority::Pca2011 => (earlier, later),
            SigningAuthority::Ca2023 => (later, earlier),
        };
        if !there {
            return Err(refused(format!("there is no boot manager signed by {authority} in {origin}")));
        }
        let mut files = gathered.files;
        let manager = files.iter_mut().find(|(path, _)| path.eq_ignore_ascii_case(BOOT_MANAGER));
        let manager = manager.map(|(path, bytes)| {
            BOOT_MANAGER.clone_into(path);
            bytes.clone()
        });
        let manager = manager.unwrap_or_default();
        check_application(&manager).map_err(|why| refused(format!("bootmgfw.efi in {origin} {why}")))?;
        files.push((FALLBACK.to_owned(), manager));
        Ok(Self { origin, authority, has_other, files })
    }

    /// Bytes of all of them.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

/// Folders with boot files.
trait Source {
    /// The files below a folder of `\Windows\Boot`, in order, parted by `/`; none when there is no such folder.
    fn names(&self, folder: &str) -> Result<Vec<String>>;
    /// One of them.
    fn read(&self, folder: &str, name: &str, limit: u64) -> Result<Vec<u8>>;
}

struct Gathered<'s> {
    source: &'s dyn Source,
    files: Vec<(String, Vec<u8>)>,
    left: u64,
}

impl Gathered<'_> {
    fn add(&mut self, folder: &str, name: &str, to: String) -> Result<()> {
        let bytes = self.source.read(folder, name, self.left)?;
        self.left -= self.left.min(bytes.len() as u64);
        self.files.push((to, bytes));
        Ok(())
    }
}

struct InVolume<'v> {
    volume: &'v Volume,
    folder: String,
}

impl Source for InVolume<'_> {
    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let Some(folder) = self.volume.find(&format!("{}\\{folder}", self.folder))? else {
            return Ok(Vec::new());
        };
        let files = folder.tree()?.into_iter().filter(|(_, entry)| !entry.is_directory);
        let names: Vec<_> = files.map(|(path, _)| path.replace('\\', "/")).collect();
        check_count(names.len(), &self.folder)?;
        Ok(names)
    }

    fn read(&self, folder: &str, name: &str, limit: u64) -> Result<Vec<u8>> {
        let path = format!("{}\\{folder}\\{}", self.folder, name.replace('/', "\\"));
        match self.volume.find(&path)? {
            Some(file) => file.read(limit).map_err(|e| match e {
                Error::Layout { reason } => refused(format!("{path}: {reason}")),
                e => e,
            }),
            None => Err(refused(format!("{path} is gone"))),
        }
    }
}

struct InFolder {
    folder: PathBuf,
    /// Whether it is the `EFI` of `\Windows\Boot` alone.
    bare: bool,
}

impl InFolder {
    fn path(&self, folder: &str) -> Option<PathBuf> {
        match self.bare {
            true => (folder == "EFI").then(|| self.folder.clone()),
            false => Some(self.folder.join(folder)),
        }
    }

    fn collect(folder: &Path, before: &str, depth: usize, names: &mut Vec<String>) -> Result<()> {
        let failed = |e| Error::io("list", folder.shown(), e);
        let mut entries: Vec<_> = fs::read_dir(folder).and_then(Iterator::collect).map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                return Err(refused(format!("{} is no name that FAT can hold", path.shown())));
            };
            let name = format!("{before}{name}");
            // A link to a file is followed; one to a folder could lead back.
            if entry.file_type().map_err(failed)?.is_dir() {
                if depth == MAX_DEPTH {
                    return Err(refused(format!("{} is too deep", path.shown())));
                }
                Self::collect(&path, &format!("{name}/"), depth + 1, names)?;
            } else {
                names.push(name);
                check_count(names.len(), folder.shown())?;
            }
        }
        Ok(())
    }
}

impl Source for InFolder {
    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        match self.path(folder).filter(|path| path.is_dir()) {
            Some(path) => Self::collect(&path, "", 0, &mut names).map(|()| names),
            None => Ok(names),
        }
    }

    fn read(&self, folder: &str, name: &str, limit: u64) -> Result<Vec<u8>> {
        let path = self.path(folder).unwrap_or_default().join(name);
        let failed = |e| Error::io("read", path.shown(), e);
        let known = fs::metadata(&path).map_err(failed)?;
        if !known.is_file() {
            return Err(refused(format!("{} is no plain file", path.shown())));
        }
        if known.len() > limit {
            return Err(refused(format!("the files up to {} pass {MAX_BYTES} bytes", path.shown())));
        }
        fs::read(&path).map_err(failed)
    }
}

/// Refuses more files than boot files are.
fn check_count(count: usize, folder: impl fmt::Display) -> Result<()> {
    match count > MAX_FILES {
        true => Err(refused(format!("more than {MAX_FILES} files in {folder}"))),
        false => Ok(()),
    }
}

fn is_boot_manager(name: &str) -> bool {
    name.eq_ignore_ascii_case("bootmgfw.efi")
}

/// `bootmgfw_EX.efi` is `bootmgfw.efi` elsewhere, `bootmgfw_EX.efi.mui` `bootmgfw.efi.mui`.
fn plain(name: &str) -> String {
    let (folder, file) =
        name.rsplit_once('/').map_or(("", name), |(_, file)| (&name[..name.len() - file.len()], file));
    format!("{folder}{}", file.replacen("_EX.", ".", 1))
}

fn refused(reason: String) -> Error {
    Error::NotConvertible { rule: Rule::BootFiles, reason }
}

/// `IMAGE_SUBSYSTEM_EFI_APPLICATION`.
const EFI_APPLICATION: u16 = 10;

/// Refuses what is no UEFI application for x64.
fn check_application(bytes: &[u8]) -> Result<(), String> {
    match Program::parse(bytes).map(|program| (program.machine(), program.subsystem())) {
        None => Err("is no program".to_owned()),
        Some((machine, _)) if machine != machine::AMD64 => {
            Err(format!("is for machine {machine:#x}, not for x64 ({:#x})", machine::AMD64))
        }
        Some((_, subsystem)) if subsystem != EFI_APPLICATION => {
            Err(format!("is a program of subsystem {subsystem}, not a UEFI application ({EFI_APPLICATION})"))
        }
        Some(_) => Ok(()),
    }
}
