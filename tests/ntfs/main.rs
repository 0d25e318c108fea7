//! NTFS volumes made by mkntfs and filled by ntfs-3g: read by us as ntfs-3g reads them, and made smaller by us so that
//! ntfsresize, ntfsfix and ntfs-3g find nothing wrong, and written to so that checkdisk and 7-Zip find nothing either.
//!
//! Mounting needs root and FUSE. What is missing fails the trials in CI; elsewhere they are listed as ignored.

mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod corruptions;
mod hostile;
mod inside;
mod planted;
mod read;
mod shrink;
mod volume;
mod write;

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let trials = [
        read::trials(),
        planted::trials(),
        shrink::trials(),
        hostile::trials(),
        inside::trials(),
        write::trials(),
        corruptions::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
