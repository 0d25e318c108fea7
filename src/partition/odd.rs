//! What is told of a table that can be read: partitions that the disk does not hold, and what lies where no partition is.

use super::layout::Layout;
use crate::disk::{Blocks, Data, Disk};
use crate::error::Result;
use crate::{KIB, MIB};

/// How far the gap before the first partition is looked at: partitions begin at 1 MiB, and boot code lies before.
const GAP: u64 = MIB;

impl Layout {
    /// Warns of partitions that pass the disk's end.
    pub(super) fn warn_of_ends(&mut self) {
        let beyond: Vec<_> = self
            .partitions
            .iter()
            .filter(|partition| partition.end() > self.disk_size)
            .map(|partition| {
                let (index, end, size) = (partition.index, partition.end(), self.disk_size);
                format!("partition {index} ends at {end}, beyond the disk's end at {size}")
            })
            .collect();
        beyond.into_iter().for_each(|message| self.warn(message));
    }

    /// Warns of what lies between an MBR and the first partition, where boot loaders such as GRUB keep a part of themselves.
    pub(super) fn warn_of_gap(&mut self, disk: &Disk) -> Result<()> {
        let first = self.partitions.iter().map(|partition| partition.start).min().unwrap_or(0);
        let gap = u64::from(self.sector_size)..first.min(GAP).min(self.disk_size);
        for block in disk.blocks(Blocks::of(64 * KIB).range(gap).read_ahead(0)) {
            let block = block?;
            let Data::Bytes(bytes) = &block.data else { continue };
            let Some(at) = bytes.iter().position(|&byte| byte != 0) else { continue };
            let taken = self.usable().map_or(0, |usable| usable.start);
            self.warn(format!(
                "boot code or other data lies between the MBR and the first partition, from offset {} on: a GPT would \
                 take the first {taken} bytes, whatever is there",
                block.offset + at as u64
            ));
            break;
        }
        Ok(())
    }
}
