//! The platforms that disks are made for, and what each demands.

use std::fmt;
use std::str::FromStr;

use crate::MIB;
use crate::copy::OutputFormat;
use crate::error::{Error, Result};
use crate::format::Allocation;
use crate::format::vmdk::Subformat;

/// A platform that a disk is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// vSphere, through its import: a streamOptimized VMDK.
    Vsphere,
    /// A vSphere datastore: a descriptor and a flat extent.
    VsphereDatastore,
    /// VMware Workstation, Fusion, VirtualBox: a monolithicSparse VMDK.
    Workstation,
    /// Hyper-V: a dynamic VHDX.
    Hyperv,
    /// Azure: a fixed VHD of whole MiB.
    Azure,
    /// XenServer and XCP-ng: a dynamic VHD of whole blocks of 2 MiB.
    Xenserver,
    /// AWS's VM Import: a streamOptimized VMDK.
    Aws,
    /// A Citrix Provisioning store: a dynamic VHDX with blocks of 32 MiB.
    Pvs,
    /// Anything that takes the plain bytes.
    Raw,
}

/// What a platform demands.
struct Demand {
    target: Target,
    name: &'static str,
    format: OutputFormat,
    /// The virtual size is a multiple of this.
    rounding: u64,
}

/// VHDX and plain bytes alone carry sectors of 4096 bytes to platforms that know them.
fn takes_4096(format: OutputFormat) -> bool {
    matches!(format, OutputFormat::Vhdx(_) | OutputFormat::Raw)
}

const DYNAMIC_VHDX: OutputFormat = OutputFormat::Vhdx(Allocation::Dynamic);
const STREAM: OutputFormat = OutputFormat::Vmdk(Subformat::StreamOptimized);

/// The one table of all platforms.
const DEMANDS: [Demand; 9] = [
    // "invalid format (must be streamOptimized)": govmomi, of what vSphere's import takes.
    Demand { target: Target::Vsphere, name: "vsphere", format: STREAM, rounding: 512 },
    // Sparse disks on a datastore are "disk type 7" to ESXi, which does not attach them.
    Demand {
        target: Target::VsphereDatastore,
        name: "vsphere-datastore",
        format: OutputFormat::Vmdk(Subformat::Vmfs),
        rounding: 512,
    },
    Demand {
        target: Target::Workstation,
        name: "workstation",
        format: OutputFormat::Vmdk(Subformat::MonolithicSparse),
        rounding: 512,
    },
    Demand { target: Target::Hyperv, name: "hyperv", format: DYNAMIC_VHDX, rounding: 512 },
    // "The size must be a whole number (in MBs)": Azure's upload.
    Demand {
        target: Target::Azure,
        name: "azure",
        format: OutputFormat::Vhd(Allocation::Fixed),
        rounding: MIB,
    },
    // A size that is no multiple of the block breaks the import of differences.
    Demand {
        target: Target::Xenserver,
        name: "xenserver",
        format: OutputFormat::Vhd(Allocation::Dynamic),
        rounding: 2 * MIB,
    },
    // AWS's list for VM Import names it, and it is the smallest to upload.
    Demand { target: Target::Aws, name: "aws", format: STREAM, rounding: 512 },
    // The PowerShell guide of Citrix Provisioning: 32 MiB is the default, and the only size tested.
    Demand { target: Target::Pvs, name: "pvs", format: DYNAMIC_VHDX, rounding: MIB },
    Demand { target: Target::Raw, name: "raw", format: OutputFormat::Raw, rounding: 512 },
];

impl Target {
    fn demand(self) -> &'static Demand {
        // Each target has its row; the last one stands for those that demand nothing.
        DEMANDS.iter().find(|demand| demand.target == self).unwrap_or(&DEMANDS[DEMANDS.len() - 1])
    }

    /// The format that the platform takes.
    pub fn format(self) -> OutputFormat {
        self.demand().format
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.demand().name
    }

    /// Refuses a disk whose sectors the platform does not know: its partitions would not be found.
    pub(super) fn check_sectors(self, sector_size: u32) -> Result<()> {
        if sector_size == 512 || takes_4096(self.format()) {
            return Ok(());
        }
        let reason = format!(
            "the source has sectors of {sector_size} bytes, and {self} takes disks of 512-byte sectors"
        );
        Err(Error::Layout { reason })
    }

    /// The smallest size, at least `size`, that the platform takes; in bytes.
    pub fn round(self, size: u64) -> u64 {
        size.checked_next_multiple_of(self.demand().rounding).unwrap_or(size)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = DEMANDS.iter().find(|demand| demand.name == name);
        found.map(|demand| demand.target).ok_or_else(|| Error::Unsupported {
            what: format!(
                "no target {name:?}: expected one of {}",
                DEMANDS.map(|demand| demand.name).join(", ")
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_row() {
        for demand in &DEMANDS {
            assert_eq!(demand.name.parse::<Target>().expect("a target"), demand.target);
            assert_eq!(demand.target.name(), demand.name);
        }
        assert!("gcp".parse::<Target>().is_err());
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(Target::Azure.round(MIB + 1), 2 * MIB);
        assert_eq!(Target::Azure.round(MIB), MIB);
        assert_eq!(Target::Xenserver.round(3 * MIB), 4 * MIB);
    }
}
