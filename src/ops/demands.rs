//! The one table of all platforms: what each takes, and where that is said.

use super::Target;
use crate::copy::OutputFormat;
use crate::format::Allocation::{Dynamic, Fixed};
use crate::format::vmdk::Subformat;
use crate::{GIB, MIB};

const SECTOR: u64 = 512;
const TIB: u64 = 1024 * GIB;

/// What a platform demands of a disk.
pub(super) struct Demand {
    pub(super) target: Target,
    pub(super) name: &'static str,
    /// What it takes: the first, unless another is chosen.
    pub(super) formats: &'static [Taken],
    /// The virtual size is a multiple of this.
    pub(super) rounding: u64,
    /// What it does with a volume that is encrypted from within.
    pub(super) encrypted: Encrypted,
}

/// A format that a platform takes.
pub(super) struct Taken {
    pub(super) format: OutputFormat,
    /// Sizes of a block: the first, unless another is chosen. None where there is nothing to choose.
    pub(super) blocks: &'static [u64],
    /// Bytes that the disk has at most.
    pub(super) largest: u64,
    /// Whether the disk may have sectors of 4096 bytes.
    pub(super) large_sectors: bool,
}

/// What a platform does with a volume that is encrypted from within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encrypted {
    /// The disk is carried as it is; whoever starts it needs the key.
    Carried,
    /// It cannot be used, for the reason given.
    Refused(&'static str),
}

const fn plain(format: OutputFormat, largest: u64) -> Taken {
    Taken { format, blocks: &[], largest, large_sectors: false }
}

const fn vmdk(subformat: Subformat, largest: u64) -> Taken {
    plain(OutputFormat::Vmdk(subformat), largest)
}

const fn vhdx(format: OutputFormat, blocks: &'static [u64], large_sectors: bool) -> Taken {
    // [MS-VHDX] 2.6.2.1 and Hyper-V: 64 TiB at most.
    Taken { format, blocks, largest: 64 * TIB, large_sectors }
}

const fn vhd(format: OutputFormat, blocks: &'static [u64]) -> Taken {
    Taken { format, blocks, largest: VHD_LARGEST, large_sectors: false }
}

/// What Hyper-V, XenServer and the guide of Citrix Provisioning give as the size of a VHD at most.
const VHD_LARGEST: u64 = 2040 * GIB;
/// VMware's configuration maximums: 62 TB.
const VSPHERE_LARGEST: u64 = 62 * TIB;
/// "Virtual hard disks can be up to 8TB": VMware Workstation's manual.
const WORKSTATION_LARGEST: u64 = 8 * TIB;
/// The most that a volume of Amazon EBS or a persistent disk of Google has.
const CLOUD_LARGEST: u64 = 64 * TIB;

/// [MS-VHDX] 2.6.2.1: powers of two from 1 to 256 MiB.
const VHDX_BLOCKS: &[u64] =
    &[32 * MIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 64 * MIB, 128 * MIB, 256 * MIB];
/// What every tool knows; Windows does not attach VHDs with others.
const VHD_BLOCKS: &[u64] = &[2 * MIB];

/// All platforms.
pub(super) const DEMANDS: [Demand; 10] = [
    Demand {
        target: Target::Vsphere,
        name: "vsphere",
        // govmomi, of what vSphere's import takes: "invalid format (must be streamOptimized)"; or an OVA with one inside.
        formats: &[
            vmdk(Subformat::StreamOptimized, VSPHERE_LARGEST),
            #[cfg(feature = "digest")]
            plain(OutputFormat::Ova, VSPHERE_LARGEST),
        ],
        rounding: SECTOR,
        encrypted: Encrypted::Carried,
    },
    Demand {
        target: Target::VsphereDatastore,
        name: "vsphere-datastore",
        // ESXi, of a sparse disk that lies on a datastore: "Unsupported or invalid disk type 7".
        formats: &[vmdk(Subformat::Vmfs, VSPHERE_LARGEST)],
        rounding: SECTOR,
        encrypted: Encrypted::Carried,
    },
    Demand {
        target: Target::Workstation,
        name: "workstation",
        // The kinds that Workstation's own disk manager makes.
        formats: &[
            vmdk(Subformat::MonolithicSparse, WORKSTATION_LARGEST),
            vmdk(Subformat::TwoGbMaxExtentSparse, WORKSTATION_LARGEST),
            vmdk(Subformat::MonolithicFlat, WORKSTATION_LARGEST),
            vmdk(Subformat::TwoGbMaxExtentFlat, WORKSTATION_LARGEST),
        ],
        rounding: SECTOR,
        encrypted: Encrypted::Carried,
    },
    Demand {
        target: Target::Hyperv,
        name: "hyperv",
        formats: &[
            vhdx(OutputFormat::Vhdx(Dynamic), VHDX_BLOCKS, true),
            vhdx(OutputFormat::Vhdx(Fixed), VHDX_BLOCKS, true),
            vhd(OutputFormat::Vhd(Dynamic), VHD_BLOCKS),
            vhd(OutputFormat::Vhd(Fixed), &[]),
        ],
        rounding: SECTOR,
        encrypted: Encrypted::Carried,
    },
    Demand {
        target: Target::Azure,
        name: "azure",
        // Microsoft's "Prepare a Windows VHD or VHDX to upload to Azure": fixed, "virtual size aligned to 1 MiB".
        // What its importers look at in the footer is the same in every VHD of ours: the current size, and the
        // creator "win ", without which some take the geometry for the size.
        formats: &[vhd(OutputFormat::Vhd(Fixed), &[])],
        rounding: MIB,
        encrypted: Encrypted::Refused("Azure starts no volume whose key is not in its own vault"),
    },
    Demand {
        target: Target::Xenserver,
        name: "xenserver",
        // XenCenter's import: VHD, and from version 8.4 on VHDX.
        formats: &[
            vhd(OutputFormat::Vhd(Dynamic), VHD_BLOCKS),
            Taken { largest: VHD_LARGEST, ..vhdx(OutputFormat::Vhdx(Dynamic), VHDX_BLOCKS, false) },
        ],
        // xen-orchestra, issue 3083: a size that is no multiple of the block breaks the import of differences.
        rounding: 2 * MIB,
        encrypted: Encrypted::Carried,
    },
    Demand {
        target: Target::Gcp,
        name: "gcp",
        // Google's "Manually import boot disks": a file disk.raw, made by `tar --format=oldgnu -Sczf`, of whole GiB.
        formats: &[plain(OutputFormat::TarGz, CLOUD_LARGEST)],
        rounding: GIB,
        // "Importing virtual disks": encrypted disks are not supported.
        encrypted: Encrypted::Refused("Compute Engine imports no disk that is encrypted by software"),
    },
    Demand {
        target: Target::Aws,
        name: "aws",
        // VM Import's "Image formats". The first is the smallest to upload.
        formats: &[
            Taken { largest: CLOUD_LARGEST, ..vmdk(Subformat::StreamOptimized, 0) },
            vhd(OutputFormat::Vhd(Dynamic), VHD_BLOCKS),
            vhd(OutputFormat::Vhd(Fixed), &[]),
            vhdx(OutputFormat::Vhdx(Dynamic), VHDX_BLOCKS, false),
            vhdx(OutputFormat::Vhdx(Fixed), VHDX_BLOCKS, false),
            plain(OutputFormat::Raw, CLOUD_LARGEST),
            #[cfg(feature = "digest")]
            plain(OutputFormat::Ova, CLOUD_LARGEST),
        ],
        rounding: SECTOR,
        // VM Import's "Limitations": "Importing VMs with encrypted volumes isn't supported".
        encrypted: Encrypted::Refused("VM Import takes no encrypted volumes"),
    },
    Demand {
        target: Target::Pvs,
        name: "pvs",
        // The PowerShell guide of Citrix Provisioning, of New-PvsDisk: the sizes that were tested.
        formats: &[
            vhdx(OutputFormat::Vhdx(Dynamic), &[32 * MIB], true),
            vhdx(OutputFormat::Vhdx(Fixed), &[32 * MIB], true),
            vhd(OutputFormat::Vhd(Dynamic), &[2 * MIB, 16 * MIB]),
            vhd(OutputFormat::Vhd(Fixed), &[]),
        ],
        // Its sizes are given in MB.
        rounding: MIB,
        // "Managing vDisks": BitLocker is not supported.
        encrypted: Encrypted::Refused("Citrix Provisioning streams no encrypted vDisk"),
    },
    Demand {
        target: Target::Raw,
        name: "raw",
        formats: &[Taken { large_sectors: true, ..plain(OutputFormat::Raw, u64::MAX) }],
        rounding: SECTOR,
        encrypted: Encrypted::Carried,
    },
];
