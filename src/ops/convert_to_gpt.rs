//! Convert to GPT: the partition table alone.

use crate::chain::Child;
use crate::copy::Convert;
use crate::disk::{Disk, Warning};
use crate::error::{Error, Result};
use crate::leaves::Ids;
use crate::leaves::Rule;
use crate::partition::{FileSystem, Layout, TypeMap, mbr_to_gpt};

/// What converting a disk's MBR will do. Nothing is written before one of the two outputs is.
#[derive(Debug, Clone)]
pub struct GptPlan {
    /// The disk as it is.
    pub source: Disk,
    /// Its new partition table.
    pub layout: Layout,
    /// The disk as it will be: the source with its new table over it.
    pub disk: Disk,
    /// What is odd about the old table, and lost with it.
    pub warnings: Vec<Warning>,
}

impl GptPlan {
    /// The differencing child that carries the plan out; the source stays as it is.
    pub fn child(&self) -> Child {
        Child::of(&self.source).content_of(&self.disk)
    }

    /// The copy that carries the plan out.
    pub fn copy(&self) -> Convert {
        Convert::new(&self.disk)
    }
}

/// Plans the conversion of the MBR of `source` into a GPT; see [`mbr_to_gpt`]. What boots the disk is not looked at: a BIOS will not any
/// more, and UEFI firmware needs a system partition.
///
/// ```no_run
/// use diskport::ops::plan_convert_to_gpt;
/// use diskport::Ids;
/// use diskport::partition::TypeMap;
///
/// let source = diskport::open("data.vhdx")?;
/// let plan = plan_convert_to_gpt(&source, &TypeMap::new(), &mut Ids::random())?;
/// plan.child().create("data-gpt.vhdx")?;
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NotConvertible`] with the rule that the disk breaks, [`Error::Damaged`], and what reading the source gives rise to.
pub fn plan_convert_to_gpt(source: &Disk, types: &TypeMap, ids: &mut Ids) -> Result<GptPlan> {
    let Some(mbr) = Layout::read(source)? else {
        return Err(no_table(source)?);
    };
    let layout = mbr_to_gpt(&mbr, types, ids)?;
    let disk = source.patched(source.size(), layout.patches(source)?)?;
    Ok(GptPlan { source: source.clone(), layout, disk, warnings: mbr.warnings })
}

/// The refusal of a disk without a partition table, with what it is instead.
pub(super) fn no_table(disk: &Disk) -> Result<Error> {
    let reason = match FileSystem::of(disk)? {
        Some(found) => {
            format!("the disk has no partition table: as a whole it is a volume that holds {found}")
        }
        None => "the disk has no partition table".to_owned(),
    };
    Ok(Error::NotConvertible { rule: Rule::PartitionTable, reason })
}
