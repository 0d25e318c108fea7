//! Which Windows it is, as its registry says.

use crate::error::Result;
use crate::strict;
use crate::windows::control_set;
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
    /// `10.0.19045`: the version, with the build.
    pub number: Option<String>,
    /// `Client`, `Server`, `Server Core`.
    pub install_type: Option<String>,
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
        version.build = key.text("CurrentBuild")?.and_then(|build| strict::decimal(&build));
        version.update_build_revision = key.integer("UBR")?;
        version.edition = key.text("EditionID")?;
        version.display_version = match key.text("DisplayVersion")? {
            Some(name) => Some(name),
            None => key.text("ReleaseId")?,
        };
        if let Some(build) = version.build {
            version.number = number(&key, build)?;
        }
        version.product_name = key.text("ProductName")?;
        version.install_type = key.text("InstallationType")?;
        let is_client = version.install_type.as_deref() == Some("Client");
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
    let Some(control_set) = control_set::current(system)? else { return Ok(None) };
    match control_set.below("Control\\Session Manager\\Environment")? {
        Some(environment) => environment.text("PROCESSOR_ARCHITECTURE"),
        None => Ok(None),
    }
}

/// `10.0.19045`: two numbers since Windows 10, before it text such as `6.1`; and the build.
fn number(key: &Key<'_>, build: u32) -> Result<Option<String>> {
    let major_minor =
        match (key.integer("CurrentMajorVersionNumber")?, key.integer("CurrentMinorVersionNumber")?) {
            (Some(major), minor) => Some(format!("{major}.{}", minor.unwrap_or(0))),
            (None, _) => key.text("CurrentVersion")?,
        };
    Ok(major_minor.map(|number| format!("{number}.{build}")))
}
