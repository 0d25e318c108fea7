//! What is inside of disks, and what is free on them, held against what other programs made and say of it.
//!
//! NTFS volumes are made by mkntfs and filled through ntfs-3g, ext4 ones by mke2fs and the kernel's own driver; mounting needs root.

#[path = "../common/mod.rs"]
mod common;
mod counting;
mod damaged;
mod found;
mod free;
mod large;
mod program;
#[path = "../ntfs/volume.rs"]
#[expect(dead_code, reason = "the suite of NTFS uses the rest")]
mod volume;
mod windows;

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let trials = [found::trials(), damaged::trials(), free::trials(), large::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
