//! What every table must keep, and a GPT's room.

use super::gpt::Room;
use super::layout::{Layout, Partition, Role, Scheme};
use crate::error::{Error, Result};
use crate::leaves::Rule;

impl Layout {
    /// Refuses partitions that overlap, or lie beyond the disk, or where a GPT itself must lie.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`] with [`Rule::Overlap`], [`Rule::BeyondDisk`], [`Rule::RoomInFront`] or [`Rule::RoomBehind`];
    /// [`Error::Unsupported`] for sectors of other sizes than 512 and 4096 bytes.
    pub fn validate(&self) -> Result<()> {
        self.check_sectors()?;
        // What holds others must lie on the disk as they must, but shares its bytes with them.
        for partition in &self.partitions {
            if partition.start.checked_add(partition.size).is_none_or(|end| end > self.disk_size) {
                let reason = format!("{} passes the end of the disk, {}", place(partition), self.disk_size);
                return Err(broken(Rule::BeyondDisk, reason));
            }
        }
        let mut ordered: Vec<_> = self.partitions.iter().collect();
        ordered.sort_by_key(|partition| (partition.start, partition.end()));
        let apart = |kinds: fn(&Role) -> bool| -> Result<()> {
            let kept: Vec<_> = ordered.iter().filter(|partition| kinds(&partition.role)).collect();
            for pair in kept.windows(2) {
                let [first, second] = pair else { continue };
                if second.start < first.end() {
                    let reason = format!("{} and {} overlap", place(first), place(second));
                    return Err(broken(Rule::Overlap, reason));
                }
            }
            Ok(())
        };
        apart(|role| !matches!(role, Role::Extended))?;
        apart(|role| !matches!(role, Role::Logical { .. }))?;
        match self.scheme {
            Scheme::Gpt { .. } => self.check_room(&ordered),
            Scheme::Mbr { .. } => Ok(()),
        }
    }

    /// Refuses sectors that no table counts in.
    pub(super) fn check_sectors(&self) -> Result<()> {
        match self.sector_size {
            512 | 4096 => Ok(()),
            size => {
                let what = format!("a partition table in sectors of {size} bytes: they have 512 or 4096");
                Err(Error::Unsupported { what })
            }
        }
    }

    /// Refuses partitions where the GPT itself must lie.
    fn check_room(&self, ordered: &[&Partition]) -> Result<()> {
        let room = Room::of(self)?;
        let (Some(first), Some(last)) = (ordered.first(), ordered.last()) else { return Ok(()) };
        if first.start < room.usable.start {
            let reason = format!(
                "no room for a GPT in front: {}, and a GPT takes the first {} bytes",
                place(first),
                room.usable.start
            );
            return Err(broken(Rule::RoomInFront, reason));
        }
        if last.end() > room.usable.end {
            let reason = format!(
                "no room for a GPT behind: {}, and a GPT takes the last {} bytes of the disk",
                place(last),
                self.disk_size - room.usable.end
            );
            return Err(broken(Rule::RoomBehind, reason));
        }
        Ok(())
    }
}

/// The partition and where it lies, for a refusal.
pub(super) fn place(partition: &Partition) -> String {
    format!("partition {} from {} to {}", partition.index, partition.start, partition.end())
}

pub(super) fn broken(rule: Rule, reason: String) -> Error {
    Error::NotConvertible { rule, reason }
}
