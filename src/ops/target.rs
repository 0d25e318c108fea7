//! The platforms that disks are made for.

use std::fmt;
use std::str::FromStr;

use super::demands::{DEMANDS, Demand, Encrypted, Taken};
use super::reverse_image::{TargetPlan, grow};
use crate::copy::OutputFormat;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::partition::{EncryptedVolume, encrypted_volumes};

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
    /// Google Compute Engine: a raw disk of whole GiB, in a compressed tar.
    Gcp,
    /// AWS's VM Import: a streamOptimized VMDK.
    Aws,
    /// A Citrix Provisioning store: a dynamic VHDX with blocks of 32 MiB.
    Pvs,
    /// Anything that takes the plain bytes.
    Raw,
}

/// What is chosen of a disk for a platform, where it leaves a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// The format.
    pub format: Option<Format>,
    /// The kind, as in [`OutputFormat::subformat`].
    pub subformat: Option<String>,
    /// Bytes of a block.
    pub block_size: Option<u64>,
    /// The virtual size in bytes, at least the source's. It is rounded up to what the platform takes.
    pub size: Option<u64>,
}

impl Target {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        DEMANDS.iter().map(|demand| demand.target)
    }

    fn demand(self) -> &'static Demand {
        // Each target has its row; the last one stands for those that demand nothing.
        DEMANDS.iter().find(|demand| demand.target == self).unwrap_or(&DEMANDS[DEMANDS.len() - 1])
    }

    /// The format that the platform takes by itself.
    pub fn format(self) -> OutputFormat {
        self.demand().formats[0].format
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.demand().name
    }

    /// The smallest size, at least `size`, that the platform takes; in bytes.
    pub fn round(self, size: u64) -> u64 {
        size.checked_next_multiple_of(self.demand().rounding).unwrap_or(size)
    }

    /// Whether the platform takes what was chosen, before any disk is looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`], with what the platform takes.
    pub fn check(self, choices: &Choices) -> Result<()> {
        self.taken(choices).map(drop)
    }

    /// Plans the disk for this platform that `source` becomes. When it grows, a GPT's backup moves to the new end. A source that
    /// comes out of a stream does not grow, and is not looked through for encrypted volumes, which the adjustments say.
    ///
    /// ```
    /// use diskport::ops::{Choices, Target};
    ///
    /// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
    /// let source = diskport::open(image)?;
    /// let plan = Target::Azure.plan(&source, &Choices::default())?;
    /// assert!(plan.disk.size().is_multiple_of(diskport::MIB)); // as Azure demands
    /// println!("{}", plan.adjustments.join("\n"));
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let output = folder.path().join("small.vhd");
    /// plan.copy().create(&output)?;
    /// # Ok::<(), diskport::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for choices that the platform does not leave; [`Error::TargetLimit`] when it cannot take the disk:
    /// its size, its sectors, a volume that is encrypted; [`Error::OutputTooSmall`] when the size chosen is less than the source's;
    /// [`Error::Incomplete`] when a parent is missing; what reading the source gives rise to.
    pub fn plan(self, source: &Disk, choices: &Choices) -> Result<TargetPlan> {
        let (taken, block_size) = self.taken(choices)?;
        source.check_complete()?;
        self.check_sectors(source, taken)?;
        let asked = choices.size.unwrap_or(source.size());
        let size = self.round(asked);
        if size > taken.largest {
            let limit = format!("a {} there has {} bytes at most", taken.format, taken.largest);
            return Err(self.refuse(format!("a disk of {size} bytes"), limit));
        }
        let notes = self.check_encryption(source)?;
        let (disk, mut adjustments) = grow(source, size)?;
        if size != asked {
            let rounding = self.demand().rounding;
            adjustments.push(format!("{self} takes multiples of {rounding} bytes: {asked} rounded up"));
        }
        adjustments.extend(self.changes(source, taken.format, block_size));
        adjustments.extend(notes);
        let (format, source_size) = (taken.format, source.size());
        Ok(TargetPlan { disk, target: self, format, block_size, source_size, adjustments })
    }

    /// The format and the block size: what was chosen, or what comes first in the table.
    fn taken(self, choices: &Choices) -> Result<(&'static Taken, Option<u64>)> {
        let Demand { formats, .. } = self.demand();
        let kind = |taken: &&Taken| {
            let named = choices.subformat.as_deref();
            choices.format.is_none_or(|format| format == taken.format.format())
                && named.is_none_or(|name| taken.format.subformat().eq_ignore_ascii_case(name))
        };
        let taken = formats.iter().find(kind).ok_or_else(|| {
            let names: Vec<_> = formats.iter().map(|taken| taken.format.to_string()).collect();
            let asked = choices.format.map(|format| format.name()).into_iter();
            let asked: Vec<_> = asked.chain(choices.subformat.as_deref()).collect();
            let what = format!("{self} does not take {}: expected {}", asked.join(" "), names.join(", "));
            Error::Unsupported { what }
        })?;
        let block_size = match choices.block_size {
            None => taken.blocks.first().copied(),
            Some(size) if taken.blocks.contains(&size) => Some(size),
            Some(size) => {
                let sizes: Vec<_> = taken.blocks.iter().map(u64::to_string).collect();
                let expected = match sizes[..] {
                    [] => "it has no block size to choose".to_owned(),
                    _ => format!("expected {}", sizes.join(", ")),
                };
                let what = format!(
                    "{self} does not take a {} with blocks of {size} bytes: {expected}",
                    taken.format
                );
                return Err(Error::Unsupported { what });
            }
        };
        Ok((taken, block_size))
    }

    /// Refuses a disk whose sectors the platform does not know: its partitions would not be found.
    fn check_sectors(self, source: &Disk, taken: &Taken) -> Result<()> {
        let sector_size = source.logical_sector_size();
        if sector_size == 512 || taken.large_sectors {
            return Ok(());
        }
        let limit = format!("a {} there has sectors of 512 bytes", taken.format);
        Err(self.refuse(format!("sectors of {sector_size} bytes"), limit))
    }

    /// What is to be said of encrypted volumes, where the platform takes them.
    fn check_encryption(self, source: &Disk) -> Result<Vec<String>> {
        if source.reads_once() {
            return Ok(vec!["not looked for encrypted volumes: a stream is read once, forwards".to_owned()]);
        }
        let volumes = encrypted_volumes(source)?;
        match (self.demand().encrypted, volumes.first()) {
            (Encrypted::Refused(limit), Some(volume)) => {
                let what = format!("the {} volume at offset {}", volume.kind, volume.start);
                Err(self.refuse(what, limit.to_owned()))
            }
            _ => {
                let note = |volume: &EncryptedVolume| {
                    format!(
                        "encryption seen: the volume at offset {} is {}'s, and needs its key on other hardware",
                        volume.start, volume.kind
                    )
                };
                Ok(volumes.iter().map(note).collect())
            }
        }
    }

    fn refuse(self, what: String, limit: String) -> Error {
        Error::TargetLimit { target: self.name(), what, limit }
    }

    /// What becomes of the source's format and blocks.
    fn changes(self, source: &Disk, format: OutputFormat, block_size: Option<u64>) -> Vec<String> {
        let Some(top) = source.chain().first().map(|layer| layer.info()) else { return Vec::new() };
        let mut changes = Vec::new();
        if let (Some(from), Some(to)) = (top.block_size.filter(|_| top.format == format.format()), block_size)
            && from != to
        {
            changes.push(format!("blocks of {to} bytes instead of {from}"));
        }
        if source.chain().len() > 1 {
            changes.push(format!("{} layers flattened into one disk", source.chain().len()));
        }
        changes
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
        Self::all().find(|target| target.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            Error::Unsupported { what: format!("no target {name:?}: expected one of {}", names.join(", ")) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GIB, MIB};

    #[test]
    fn every_target_has_its_row() {
        let all: Vec<_> = Target::all().collect();
        assert_eq!(all.len(), 10);
        for target in all {
            assert_eq!(target.name().parse::<Target>().expect("a target"), target);
            assert_eq!(target.demand().target, target);
        }
        assert!("vmware".parse::<Target>().is_err());
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(Target::Azure.round(30 * MIB + 1), 31 * MIB);
        assert_eq!(Target::Azure.round(MIB), MIB);
        assert_eq!(Target::Xenserver.round(3 * MIB), 4 * MIB);
        assert_eq!(Target::Gcp.round(1), GIB);
        assert_eq!(Target::Raw.round(u64::MAX), u64::MAX);
    }
}
