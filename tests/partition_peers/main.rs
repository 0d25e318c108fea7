//! Partition tables and FAT32 volumes as others see them: util-linux, GPT fdisk, gptman, mbrman, dosfstools, mtools and 7-Zip; and the
//! real tables and volumes of the corpus.
//!
//! What is missing fails its trials in CI; elsewhere they are listed as ignored, with the reason.

#[path = "../common/mod.rs"]
mod common;
mod fat;
mod tables;
mod volumes;
mod written;

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the outputs");
    let mut trials = tables::trials();
    trials.extend(volumes::trials());
    trials.extend(written::trials(folder.path()));
    trials.extend(fat::trials(folder.path()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(folder);
    conclusion.exit();
}
