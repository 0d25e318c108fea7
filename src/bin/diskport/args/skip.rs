//! What is not copied of a disk.

use clap::Args;
use diskport::Disk;
use diskport::free::FreeSpace;

use crate::console::{report, say};
use crate::failure::Failure;
use crate::size::show;

/// What is not copied of a disk.
#[derive(Args)]
pub struct SkipArgs {
    /// Do not read what clean file systems hold free: NTFS, FAT, exFAT, ext2 to ext4. It is zeros in the output
    #[arg(long)]
    pub skip_free: bool,
    /// Do not read the content of page, swap and hibernation files. It is zeros in the output
    #[arg(long)]
    pub skip_paging: bool,
}

impl SkipArgs {
    /// The disk without what is not to be read of it.
    pub fn of(&self, disk: Disk) -> Result<Disk, Failure> {
        if !self.skip_free && !self.skip_paging {
            return Ok(disk);
        }
        let space = FreeSpace::of(&disk)?;
        say_notes(&space);
        if self.skip_free {
            report(&format!("  free, and not read: {}", show(space.free_bytes())));
        }
        if self.skip_paging {
            report(&format!(
                "  of page, swap and hibernation files, and not read: {}",
                show(space.paging_bytes())
            ));
        }
        Ok(space.skip(&disk, self.skip_free, self.skip_paging)?)
    }
}

/// Says which volumes are taken as they are.
pub fn say_notes(space: &FreeSpace) {
    space.notes().for_each(|note| say(&format!("diskport: note: {note}: it is taken whole")));
}
