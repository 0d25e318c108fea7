//! Keys by the names under which a running Windows shows them, and the hives that they lie in.

use std::fmt;
use std::str::FromStr;

use super::hive::Hive;
use super::kind;
use crate::error::{Error, Result};

/// The folder with the hives of a Windows.
const FOLDER: &str = r"\Windows\System32\config\";
/// The key that stands for the control set that Windows started with; no hive has it.
const CURRENT: &str = "CurrentControlSet";

/// A hive of a Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HiveKind {
    /// What Windows starts by: services, drivers.
    System,
    /// What is installed.
    Software,
    /// Accounts.
    Sam,
    /// The system's security policy.
    Security,
    /// The settings of the local system's own account.
    Default,
    /// The component store, which servicing alone loads.
    Components,
}

impl HiveKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::System, Self::Software, Self::Sam, Self::Security, Self::Default, Self::Components];

    fn name(self) -> &'static str {
        match self {
            Self::System => "SYSTEM",
            Self::Software => "SOFTWARE",
            Self::Sam => "SAM",
            Self::Security => "SECURITY",
            Self::Default => "DEFAULT",
            Self::Components => "COMPONENTS",
        }
    }

    /// Where its file lies.
    pub fn file(self) -> String {
        format!("{FOLDER}{}", self.name())
    }

    /// The hive whose file lies at a path from the root of the volume, its names parted by `\`.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hive| hive.file().eq_ignore_ascii_case(path))
    }

    /// Where a running Windows shows its root key.
    pub fn shown(self) -> String {
        match self {
            Self::Default => r"HKU\.DEFAULT".to_owned(),
            hive => format!(r"HKLM\{}", hive.name()),
        }
    }
}

/// The place of a key: in which hive, and where there.
///
/// ```
/// use diskport::windows::registry::{HiveKind, KeyPath};
///
/// let key: KeyPath = r"HKLM\SOFTWARE\Microsoft\Windows NT".parse()?;
/// assert_eq!((key.hive, &*key.path), (HiveKind::Software, r"Microsoft\Windows NT"));
/// assert!(r"HKCU\Software".parse::<KeyPath>().is_err());
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPath {
    /// The hive.
    pub hive: HiveKind,
    /// The path below its root, its parts separated by `\`; empty for the root.
    pub path: String,
}

impl KeyPath {
    /// The path in `hive`, with the control set that Windows starts with in the place of `CurrentControlSet`.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] for a hive that does not say which one that is.
    pub fn in_hive(&self, hive: &Hive) -> Result<String> {
        let (first, rest) = self.path.split_once('\\').unwrap_or((&self.path, ""));
        if self.hive != HiveKind::System || !first.eq_ignore_ascii_case(CURRENT) {
            return Ok(self.path.clone());
        }
        let select = hive.key("Select")?;
        let current = select.and_then(|key| key.value("Current").transpose()).transpose()?;
        let current = match current {
            Some(value) if value.kind() == kind::DWORD => value.integer()?,
            _ => None,
        };
        let number = current.filter(|number| (1..=999).contains(number)).ok_or_else(|| Error::Damaged {
            structure: "registry key Select",
            offset: 0,
            expected: "the number of the current control set".to_owned(),
            found: "none".to_owned(),
        })?;
        let below = if rest.is_empty() { "" } else { "\\" };
        Ok(format!("ControlSet{number:03}{below}{rest}"))
    }
}

impl FromStr for KeyPath {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Unsupported`] for a key that lies in none of the hives, as those do that Windows makes when it runs.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Unsupported {
            what: format!(
                r"{text}: no key of a hive, which begin with HKLM\SYSTEM, HKLM\SOFTWARE, HKLM\SAM, HKLM\SECURITY, HKLM\COMPONENTS or HKU\.DEFAULT"
            ),
        };
        let parts: Vec<_> = text.split('\\').filter(|part| !part.is_empty()).collect();
        let is = |at: usize, names: &[&str]| {
            parts.get(at).is_some_and(|part| names.iter().any(|name| name.eq_ignore_ascii_case(part)))
        };
        let (hive, skip) = if is(0, &["HKLM", "HKEY_LOCAL_MACHINE"]) {
            let shown = HiveKind::ALL.into_iter().filter(|hive| *hive != HiveKind::Default);
            (shown.into_iter().find(|hive| is(1, &[hive.name()])).ok_or_else(refuse)?, 2)
        } else if is(0, &["HKU", "HKEY_USERS"]) && is(1, &[".DEFAULT", "S-1-5-18"]) {
            (HiveKind::Default, 2)
        } else {
            return Err(refuse());
        };
        Ok(Self { hive, path: parts[skip..].join("\\") })
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.path.is_empty() { "" } else { "\\" };
        write!(f, "{}{below}{}", self.hive.shown(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;
    use crate::windows::registry::Tree;

    #[test]
    fn keys_are_found_by_what_windows_calls_them() {
        for (text, shown) in [
            (
                r"HKEY_LOCAL_MACHINE\system\CurrentControlSet\Services\",
                r"HKLM\SYSTEM\CurrentControlSet\Services",
            ),
            (r"hklm\Software", r"HKLM\SOFTWARE"),
            (r"HKU\.Default\Console", r"HKU\.DEFAULT\Console"),
        ] {
            let key: KeyPath = text.parse().unwrap();
            assert_eq!(key.to_string(), shown);
            assert_eq!(shown.parse::<KeyPath>().unwrap(), key);
            assert_eq!(HiveKind::at(&key.hive.file().to_lowercase()), Some(key.hive));
        }
        for text in [
            "",
            "HKLM",
            r"HKLM\HARDWARE\x",
            r"HKLM\DEFAULT",
            r"HKCU\Software",
            r"SOFTWARE\x",
            r"HKU\S-1-5-21",
        ] {
            assert!(text.parse::<KeyPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_current_control_set_is_the_one_selected() {
        let mut root = Tree::new("ROOT");
        root.entry("Select").set("Current", kind::DWORD, 2u32.to_le_bytes());
        let open = |root: &Tree| Hive::open(MemoryStorage::new(root.to_hive("SYSTEM").unwrap())).unwrap();
        let in_hive = |text: &str| text.parse::<KeyPath>().unwrap().in_hive(&open(&root)).unwrap();
        assert_eq!(in_hive(r"HKLM\SYSTEM\currentcontrolset\Services\x"), r"ControlSet002\Services\x");
        assert_eq!(in_hive(r"HKLM\SYSTEM\CurrentControlSet"), "ControlSet002");
        assert_eq!(in_hive(r"HKLM\SYSTEM\CurrentControlSetX"), "CurrentControlSetX");
        assert_eq!(in_hive(r"HKLM\SOFTWARE\CurrentControlSet"), "CurrentControlSet");
        let key: KeyPath = r"HKLM\SYSTEM\CurrentControlSet".parse().unwrap();
        assert!(key.in_hive(&open(&Tree::new("ROOT"))).is_err());
    }
}
