//! Paths of keys as Windows names them, and the hives in which they lie.

use std::fmt;
use std::str::FromStr;

use super::hive::Hive;
use super::name::same_name;
use crate::error::{Error, Result};

/// The hives of a Windows that are read and changed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HiveKind {
    /// `HKLM\SYSTEM`: services, drivers, devices.
    System,
    /// `HKLM\SOFTWARE`, with `HKCR` in it.
    Software,
    /// `HKLM\SAM`: accounts.
    Sam,
    /// `HKLM\SECURITY`: secrets and policies.
    Security,
    /// `HKU\.DEFAULT`: what LocalSystem has for its own.
    Default,
}

/// Each with the root that its keys have in Windows, and the name of its file.
const HIVES: [(HiveKind, &str, &str); 5] = [
    (HiveKind::System, "HKEY_LOCAL_MACHINE\\SYSTEM", "SYSTEM"),
    (HiveKind::Software, "HKEY_LOCAL_MACHINE\\SOFTWARE", "SOFTWARE"),
    (HiveKind::Sam, "HKEY_LOCAL_MACHINE\\SAM", "SAM"),
    (HiveKind::Security, "HKEY_LOCAL_MACHINE\\SECURITY", "SECURITY"),
    (HiveKind::Default, "HKEY_USERS\\.DEFAULT", "DEFAULT"),
];

/// Other names of roots, and what they stand for.
const ALIASES: [(&str, &str); 4] = [
    ("HKLM", "HKEY_LOCAL_MACHINE"),
    ("HKU", "HKEY_USERS"),
    ("HKCR", "HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes"),
    ("HKEY_CLASSES_ROOT", "HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes"),
];

/// What stands for the control set in use; it does not exist on a disk.
const CURRENT: &str = "CurrentControlSet";

impl HiveKind {
    /// Where its file lies below the folder of Windows, with its logs beside it.
    pub fn file(self) -> String {
        format!("System32\\config\\{}", self.entry().2)
    }

    /// The path that its root key has in Windows.
    pub fn root(self) -> &'static str {
        self.entry().1
    }

    fn entry(self) -> (Self, &'static str, &'static str) {
        // All of them are there.
        HIVES.into_iter().find(|&(kind, ..)| kind == self).unwrap_or(HIVES[0])
    }
}

/// The path of a key, such as `HKLM\SYSTEM\CurrentControlSet\Services`.
///
/// ```
/// use diskport::windows::registry::{HiveKind, KeyPath};
///
/// let path: KeyPath = r"HKLM\Software\Microsoft".parse()?;
/// assert_eq!((path.hive, path.path.as_str()), (HiveKind::Software, "Microsoft"));
/// assert_eq!(path.to_string(), r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft");
/// assert_eq!(path.hive.file(), r"System32\config\SOFTWARE");
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPath {
    /// The hive.
    pub hive: HiveKind,
    /// The path below its root, empty for the root. It may begin with `CurrentControlSet`.
    pub path: String,
}

impl KeyPath {
    /// The paths in the hive that it stands for: one, and two under `CurrentControlSet` when the control set that was in
    /// use last is not the one that the next start uses. The first is that of the former, which is the one to read.
    ///
    /// # Errors
    ///
    /// As [`control_sets`].
    pub fn in_hive(&self, hive: &Hive) -> Result<Vec<String>> {
        let (first, rest) = self.path.split_once('\\').unwrap_or((&self.path, ""));
        if self.hive != HiveKind::System || !same_name(first, CURRENT) {
            return Ok(vec![self.path.clone()]);
        }
        let sets = control_sets(hive)?.into_iter();
        Ok(sets.map(|set| if rest.is_empty() { set } else { format!("{set}\\{rest}") }).collect())
    }
}

impl FromStr for KeyPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim_end_matches('\\');
        let alias = ALIASES.iter().find_map(|(alias, root)| Some(format!("{root}{}", below(text, alias)?)));
        let full = alias.as_deref().unwrap_or(text);
        let found = HIVES.iter().find_map(|&(hive, root, _)| Some((hive, below(full, root)?)));
        let (hive, path) = found.ok_or_else(|| Error::Unsupported {
            what: format!(
                "{text:?} lies in no hive that is read here: those of HKLM\\SYSTEM, SOFTWARE, SAM, SECURITY and HKU\\.DEFAULT are"
            ),
        })?;
        Ok(Self { hive, path: path.trim_start_matches('\\').to_owned() })
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hive.root())?;
        if !self.path.is_empty() {
            write!(f, "\\{}", self.path)?;
        }
        Ok(())
    }
}

/// What is left of a path below a root, with the backslash.
fn below<'t>(path: &'t str, root: &str) -> Option<&'t str> {
    let (start, rest) = path.split_at_checked(root.len())?;
    (start.eq_ignore_ascii_case(root) && (rest.is_empty() || rest.starts_with('\\'))).then_some(rest)
}

/// The control sets of a `SYSTEM` that count: the one that was in use last, and the one of the next start, where that is
/// another. `LastKnownGood` is not used since Windows 8.
///
/// # Errors
///
/// [`Error::Damaged`] when the key `Select` does not name any.
pub fn control_sets(system: &Hive) -> Result<Vec<String>> {
    let mut sets = Vec::new();
    if let Some(select) = system.key("Select")? {
        for name in ["Current", "Default"] {
            let number = select.value(name)?.map(|value| value.integer()).transpose()?.flatten();
            let set = number.map(|number| format!("ControlSet{number:03}"));
            sets.extend(set.filter(|set| !sets.contains(set)));
        }
    }
    if sets.is_empty() {
        return Err(Error::Damaged {
            structure: "registry key Select",
            offset: 0,
            expected: "the number of the control set in use".to_owned(),
            found: "none".to_owned(),
        });
    }
    Ok(sets)
}
