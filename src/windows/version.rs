//! Which Windows it is, as its registry says.

use crate::error::Result;
use crate::strict;
use crate::windows::registry::{Hive, Key};

/// Which Windows it is. What the registry does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WindowsVersion {
    /// `Windows 10 Enterprise`, or `Windows 11` where the build says so: the registry of Windows 11 still says 10.
    pub product_name: Option<String>,
    /// `Enterprise`, `ServerStandard`.
    pub edition: Option<String>,
    /// `22H2`; `1909` before there were names of that kind.
    pub display_version: Option<String>,
    /// The build: 19045.
    pub build: Option<u32>,
    /// What updates added to the build.
    pub update_build_revision: Option<u32>,
    /// `AMD64`, `x86`, `ARM64`.
    pub architecture: Option<String>,
}

/// The first build of Windows 11.
const WINDOWS_11: u32 = 22000;

impl WindowsVersion {
    /// Reads it from the hives `SOFTWARE` and `SYSTEM`.
    pub fn read(software: &Hive, system: &Hive) -> Result<Self> {
        let mut version = Self { architecture: architecture(system)?, ..Self::default() };
        let Some(key) = software.key("Microsoft\\Windows NT\\CurrentVersion")? else { return Ok(version) };
        version.build = text(&key, "CurrentBuild")?.and_then(|build| strict::decimal(&build));
        version.update_build_revision = integer(&key, "UBR")?;
        version.edition = text(&key, "EditionID")?;
        version.display_version = match text(&key, "DisplayVersion")? {
            Some(name) => Some(name),
            None => text(&key, "ReleaseId")?,
        };
        version.product_name = text(&key, "ProductName")?;
        let is_client = text(&key, "InstallationType")?.is_some_and(|kind| kind == "Client");
        if let Some(name) = &mut version.product_name
            && version.build.is_some_and(|build| build >= WINDOWS_11)
            && is_client
        {
            *name = name.replacen("Windows 10", "Windows 11", 1);
        }
        Ok(version)
    }
}

fn architecture(system: &Hive) -> Result<Option<String>> {
    let Some(select) = system.key("Select")? else { return Ok(None) };
    let Some(current) = integer(&select, "Current")? else { return Ok(None) };
    let path = format!("ControlSet{current:03}\\Control\\Session Manager\\Environment");
    match system.key(&path)? {
        Some(environment) => text(&environment, "PROCESSOR_ARCHITECTURE"),
        None => Ok(None),
    }
}

fn text(key: &Key<'_>, name: &str) -> Result<Option<String>> {
    match key.value(name)? {
        Some(value) => value.text(),
        None => Ok(None),
    }
}

fn integer(key: &Key<'_>, name: &str) -> Result<Option<u32>> {
    match key.value(name)? {
        Some(value) => Ok(value.integer()?.and_then(|number| number.try_into().ok())),
        None => Ok(None),
    }
}
