//! Telling storage what will be read soon.

use std::ops::Range;

use super::{Disk, Extent, FileIndex, MappingKind};

/// Ranges of a file this close together are announced as one.
const NEAR: u64 = 64 << 10;

/// Announces what is planned to be read of a disk: one hint for many grains.
pub(crate) struct Ahead {
    disk: Disk,
    /// A range of a file that is being joined before it is announced.
    open: Option<(Extent, Range<u64>)>,
}

impl Ahead {
    pub(crate) fn new(disk: &Disk) -> Self {
        Self { disk: disk.clone(), open: None }
    }

    /// Takes the next extent, and joins what lies together in the file.
    pub(crate) fn announce(&mut self, part: &Extent) {
        let Some((file, range)) = place(part) else { return };
        match &mut self.open {
            Some((extent, last))
                if extent.depth == part.depth
                    && place(extent).is_some_and(|(own, _)| own == file)
                    && last.end <= range.start
                    && range.start - last.end <= NEAR =>
            {
                last.end = range.end;
            }
            _ => {
                self.flush();
                self.open = Some((*part, range));
            }
        }
    }

    /// Announces what was taken.
    pub(crate) fn flush(&mut self) {
        if let Some((extent, range)) = self.open.take()
            && let Some(file) = self.disk.file_of(&extent)
        {
            file.storage().will_need(range);
        }
    }
}

/// Where the bytes of an extent lie.
fn place(extent: &Extent) -> Option<(FileIndex, Range<u64>)> {
    match extent.kind {
        MappingKind::Stored { file, offset } => Some((file, offset..offset + extent.len)),
        MappingKind::Packed(packed) => {
            Some((packed.file, packed.offset..packed.offset + u64::from(packed.len)))
        }
        MappingKind::Zero | MappingKind::Absent => None,
    }
}
