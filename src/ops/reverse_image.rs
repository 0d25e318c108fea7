//! Reverse image: a vDisk with all its versions becomes a native disk of a hypervisor.

use super::{Choices, Target};
use crate::copy::{Convert, OutputFormat};
use crate::disk::Disk;
use crate::error::Result;
use crate::partition::{Gpt, GptCopy, grow_gpt};

/// What making a disk for a platform will do. Nothing is written before [`TargetPlan::copy`] is run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TargetPlan {
    /// The disk as it will be written: the source's chain, grown.
    pub disk: Disk,
    /// The platform.
    pub target: Target,
    /// The format.
    pub format: OutputFormat,
    /// Bytes of a block, where the format has blocks.
    pub block_size: Option<u64>,
    /// Virtual size of the source in bytes.
    pub source_size: u64,
    /// What is otherwise than in the source, for a person to read.
    pub adjustments: Vec<String>,
}

impl TargetPlan {
    /// The copy that carries the plan out.
    pub fn copy(&self) -> Convert {
        let copy = Convert::new(&self.disk).to(self.format);
        match self.block_size {
            Some(block_size) => copy.block_size(block_size),
            None => copy,
        }
    }
}

/// Plans the reversal of `source`, the top of a chain of versions, into a disk for `target` of `size` bytes (by
/// default the source's virtual size), rounded up to what the platform takes: [`Target::plan`], with nothing else chosen.
///
/// ```
/// use diskport::ops::{plan_reverse_image, Target};
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// # let folder = std::env::temp_dir().join(format!("diskport-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).expect("a folder");
/// # let output = folder.join("small.vmdk");
/// let source = diskport::open(image)?;
/// let plan = plan_reverse_image(&source, Target::Vsphere, Some(64 * diskport::MIB))?;
/// let report = plan.copy().verify(true).create(&output)?;
/// assert_eq!(report.virtual_size, 64 * diskport::MIB);
/// # std::fs::remove_dir_all(folder).expect("goes away");
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// As [`Target::plan`].
pub fn plan_reverse_image(source: &Disk, target: Target, size: Option<u64>) -> Result<TargetPlan> {
    target.plan(source, &Choices { size, ..Choices::default() })
}

/// `source` with `size` bytes, and what that changes.
///
/// # Errors
///
/// As [`Target::plan`].
pub fn grow(source: &Disk, size: u64) -> Result<(Disk, Vec<String>)> {
    source.check_complete()?;
    if size == source.size() {
        return Ok((source.clone(), Vec::new()));
    }
    source.check_reads_again("growing a disk")?;
    let gpt = Gpt::read(source)?;
    let patches = grow_gpt(source, size)?;
    let mut adjustments = vec![format!("grown from {} to {size} bytes", source.size())];
    if let Some(gpt) = &gpt {
        adjustments.push("the backup GPT moved to the new end".to_owned());
        if gpt.source() == GptCopy::Backup {
            adjustments.push("the primary GPT was damaged and is restored from the backup".to_owned());
        }
    }
    Ok((source.patched(size, patches.unwrap_or_default())?, adjustments))
}
