//! An MBR becomes a GPT: from layout to layout.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::attribute;
use super::layout::{Layout, Partition, Role, Scheme};
use super::types::{PartitionType, gpt_type};
use super::validate::{broken, place};
use crate::error::Result;
use crate::leaves::Ids;
use crate::leaves::Rule;

/// Types that the caller maps, as MBR2GPT's `/map` does.
pub type TypeMap = BTreeMap<u8, Uuid>;

/// The GPT with the partitions of `layout`, an MBR's: each with the same number, at the same place. Nothing else is decided here:
/// what else the disk needs to boot is added to the result.
///
/// Types as MBR2GPT maps them: 0x27 becomes a recovery partition, every other that Windows knows a basic data partition, unless `types`
/// says otherwise.
///
/// ```no_run
/// use diskport::Ids;
/// use diskport::partition::{Layout, TypeMap, mbr_to_gpt};
///
/// let disk = diskport::open("base.vhdx")?;
/// if let Some(mbr) = Layout::read(&disk)? {
///     let gpt = mbr_to_gpt(&mbr, &TypeMap::new(), &mut Ids::random())?;
///     let converted = disk.patched(disk.size(), gpt.patches(&disk)?)?;
/// }
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NotConvertible`](crate::Error::NotConvertible) with the rule that is broken: [`Rule::AlreadyGpt`], [`Rule::DynamicDisk`],
/// [`Rule::LogicalPartitions`], [`Rule::PartitionType`], and those of [`Layout::validate`].
pub fn mbr_to_gpt(layout: &Layout, types: &TypeMap, ids: &mut Ids) -> Result<Layout> {
    if let Scheme::Gpt { .. } = layout.scheme {
        return Err(broken(Rule::AlreadyGpt, "the disk has a GPT already".to_owned()));
    }
    if let Some(partition) = layout.partitions.iter().find(|partition| partition.kind.is_dynamic()) {
        let reason = format!("the disk is a dynamic one (LDM): {}", place(partition));
        return Err(broken(Rule::DynamicDisk, reason));
    }
    if let Some(partition) = layout.partitions.iter().find(|partition| partition.role != Role::Primary) {
        let reason = format!("the disk has extended and logical partitions: {}", place(partition));
        return Err(broken(Rule::LogicalPartitions, reason));
    }
    let id = ids.guid();
    let partitions =
        layout.partitions.iter().map(|partition| convert(partition, types, ids)).collect::<Result<_>>()?;
    let converted = Layout {
        scheme: Scheme::Gpt { id, hybrid: false },
        disk_size: layout.disk_size,
        sector_size: layout.sector_size,
        partitions,
        warnings: Vec::new(),
    };
    converted.validate()?;
    Ok(converted)
}

fn convert(partition: &Partition, types: &TypeMap, ids: &mut Ids) -> Result<Partition> {
    let mapped = match partition.kind {
        PartitionType::Mbr(byte) => types.get(&byte).copied().or_else(|| known(byte)),
        PartitionType::Gpt(guid) => Some(guid),
    };
    let Some(kind) = mapped else {
        let reason = format!(
            "type {} of {} is none that Windows knows{}",
            partition.kind,
            place(partition),
            partition.kind.name().map(|name| format!(": {name}")).unwrap_or_default()
        );
        return Err(broken(Rule::PartitionType, reason));
    };
    let mut converted = Partition::new(partition.index, kind, partition.range(), ids.guid());
    converted.attributes = match kind {
        gpt_type::WINDOWS_RECOVERY => attribute::REQUIRED | attribute::NO_DRIVE_LETTER,
        gpt_type::EFI_SYSTEM => attribute::NO_DRIVE_LETTER,
        _ => 0,
    };
    Ok(converted)
}

/// What a type that Windows knows is in a GPT.
fn known(byte: u8) -> Option<Uuid> {
    match byte {
        0x01 | 0x04 | 0x06 | 0x07 | 0x0b | 0x0c | 0x0e => Some(gpt_type::BASIC_DATA),
        0x27 => Some(gpt_type::WINDOWS_RECOVERY),
        _ => None,
    }
}
