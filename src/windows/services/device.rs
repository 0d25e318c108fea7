//! Which driver a device has that Windows needs before it can look for drivers: the controller of the boot disk.
//!
//! From Windows 8 on that is said in `DriverDatabase`, before in `Control\CriticalDeviceDatabase` of each control set. The
//! real package is installed later, by `pnputil`; the name of the one that stands for it has the form that Windows checks.

use uuid::Uuid;

use super::{Services, set_number, set_text, texts};
use crate::error::{Error, Result};
use crate::windows::registry::kind;

/// The first build that has a driver database: Windows 8.
const DRIVER_DATABASE: u32 = 9200;
/// The name of a package's only configuration.
const CONFIGURATION: &str = "Boot_Inst";

/// A driver that is bound to devices, beside its [`Service`](super::Service).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootDriver {
    /// The name of its service.
    pub service: String,
    /// Its INF, as in `vioscsi.inf`.
    pub inf: String,
    /// The class of its devices: `{4d36e97b-e325-11ce-bfc1-08002be10318}` for storage controllers.
    pub class: Uuid,
    /// The ids of its devices, as in `PCI\VEN_1AF4&DEV_1004`.
    pub devices: Vec<String>,
    /// Who made it.
    pub provider: String,
    /// Its date: 100 ns since 1601.
    pub date: u64,
    /// Its version.
    pub version: [u16; 4],
    /// The machine: `amd64`, `x86` or `arm64`.
    pub architecture: String,
}

impl BootDriver {
    /// The name of the package: Windows takes none of another form.
    fn package(&self) -> String {
        format!("{}_{}_0000000000000000", self.inf.to_lowercase(), self.architecture)
    }

    /// `Version` of a package, as the driver databases of Windows 10 have it: the number of the machine, class, date,
    /// version.
    fn version(&self) -> Result<Vec<u8>> {
        // PROCESSOR_ARCHITECTURE_…, [MS-OSCO] and winnt.h.
        let machine: u16 = match self.architecture.as_str() {
            "x86" => 0,
            "amd64" => 9,
            "arm64" => 12,
            other => {
                return Err(Error::Unsupported {
                    what: format!("{other:?} is no machine: amd64, x86 or arm64"),
                });
            }
        };
        let mut bytes = vec![0xff, 0xff];
        bytes.extend(machine.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.class.to_bytes_le());
        bytes.extend(self.date.to_le_bytes());
        bytes.extend(self.version.iter().rev().flat_map(|part| part.to_le_bytes()));
        bytes.extend([0; 8]);
        Ok(bytes)
    }

    /// A device's id, as its bus and the rest.
    fn device(id: &str) -> Result<(&str, &str)> {
        let parts = id.split_once('\\').filter(|(bus, rest)| !bus.is_empty() && !rest.is_empty());
        let wrong = || Error::Unsupported {
            what: format!("{id:?} is no id of a device, as in PCI\\VEN_1AF4&DEV_1004"),
        };
        parts.filter(|(_, rest)| !rest.contains('\\')).ok_or_else(wrong)
    }
}

impl Services<'_, '_> {
    /// Binds a driver to its devices, in a Windows of this build.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when an id or the machine is none; as for
    /// [`Editor::set_value`](crate::windows::registry::Editor::set_value).
    pub fn bind(&mut self, driver: &BootDriver, build: u32) -> Result<()> {
        let version = driver.version()?;
        let devices: Vec<_> =
            driver.devices.iter().map(|id| BootDriver::device(id)).collect::<Result<_>>()?;
        if build < DRIVER_DATABASE {
            let class = driver.class.braced().to_string();
            return self
                .in_each(|editor, set| {
                    for (bus, rest) in &devices {
                        let key = format!("{set}\\Control\\CriticalDeviceDatabase\\{bus}#{rest}");
                        set_text(editor, &key, "Service", &driver.service)?;
                        set_text(editor, &key, "ClassGUID", &class)?;
                    }
                    Ok(true)
                })
                .map(drop);
        }
        let (inf, package) = (driver.inf.to_lowercase(), driver.package());
        let editor = &mut *self.editor;
        let key = format!("DriverDatabase\\DriverInfFiles\\{inf}");
        editor.set_value(&key, "", kind::MULTI_SZ, &texts([package.as_str()]))?;
        set_text(editor, &key, "Active", &package)?;
        editor.set_value(&key, "Configurations", kind::MULTI_SZ, &texts([CONFIGURATION]))?;
        let packages = format!("DriverDatabase\\DriverPackages\\{package}");
        set_text(editor, &packages, "", &inf)?;
        editor.set_value(&packages, "Version", kind::BINARY, &version)?;
        set_text(editor, &packages, "Provider", &driver.provider)?;
        let key = format!("{packages}\\Configurations\\{CONFIGURATION}");
        set_number(editor, &key, "ConfigFlags", 0)?;
        set_text(editor, &key, "Service", &driver.service)?;
        for (bus, rest) in devices {
            // How well the driver fits: as those of Windows do.
            let key = format!("DriverDatabase\\DeviceIds\\{bus}\\{rest}");
            editor.set_value(&key, &inf, kind::BINARY, &[1, 0xff, 0, 0])?;
            set_text(
                editor,
                &format!("{packages}\\Descriptors\\{bus}\\{rest}"),
                "Configuration",
                CONFIGURATION,
            )?;
        }
        Ok(())
    }
}
