//! What `diskport convert` and `diskport reverse-image` write, read by software that is not ours.
//!
//! | output           | qemu-img       | libvmdk | libvhdi | 7-Zip         | forward-only reader        |
//! | ---------------- | -------------- | ------- | ------- | ------------- | -------------------------- |
//! | streamOptimized  | reads          | reads   |         | reads         | reads, from standard input |
//! | monolithicSparse | reads          | reads   |         | reads         |                            |
//! | monolithicFlat   | reads          | reads   |         | reads         |                            |
//! | twoGbMaxExtent…  | reads          | reads   |         | reads         |                            |
//! | vmfs             | reads          | reads   |         | reads         |                            |
//! | VHD              | reads          |         | reads   | reads         |                            |
//! | VHDX             | 512 B sectors  |         | reads   | of whole 4 KiB |                           |
//!
//! 7-Zip reads a streamOptimized disk only in the layout with markers and a footer, and qemu-img a vmfs descriptor
//! only where the extent line has no offset: a writer that gets either wrong fails here. What each reader yields
//! is compared as a digest of the whole content with the source's oracle.
//!
//! Registry hives and boot stores are read by hivex and python-registry, and logs replayed by regipy.
//!
//! QEMU's locks and ours keep each other's writers out.
//!
//! Valgrind counts the instructions that conversions take.
//!
//! A tool that is missing fails its trials in CI; elsewhere they are listed as ignored, with the reason.

#[path = "../common/mod.rs"]
mod common;
mod convert;
mod hives;
#[cfg(target_os = "linux")]
mod instructions;
#[cfg(target_os = "linux")]
mod locks;
mod reader;
#[cfg(target_os = "linux")]
mod reflink;
mod reverse;
mod source;
mod vmdk_written;

use common::tools::{Missing, Trouble, trial};
use libtest_mimic::Arguments;
use source::Source;

fn main() {
    let mut arguments = Arguments::from_args();
    // The tools are programs of their own; more of them at a time than there are processors gain nothing.
    arguments.test_threads.get_or_insert(2);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the outputs");
    let mut trials = Vec::new();
    for source in Source::all(folder.path()) {
        match source {
            Ok(source) => trials.extend(convert::trials(source, folder.path())),
            Err(Missing(reason)) => trials.push(trial("sources".into(), move || Err(Missing(reason).into()))),
        }
    }
    trials.extend(reverse::trials(folder.path()));
    trials.extend(vmdk_written::trials(folder.path()));
    #[cfg(target_os = "linux")]
    trials.extend(locks::trials(folder.path()));
    #[cfg(target_os = "linux")]
    trials.extend(reflink::trials(folder.path()));
    #[cfg(target_os = "linux")]
    trials.extend(instructions::trials(folder.path()));
    trials.extend(hives::trials(folder.path()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(folder);
    conclusion.exit();
}
