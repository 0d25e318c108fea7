//! `diskport convert-to-uefi` over disks as Windows leaves them: what is converted boots under OVMF and is what other programs
//! take for sound, what is not convertible is refused for the right reason, and nothing else is left or changed.
//!
//! What is missing fails the trials in CI; elsewhere they are listed as ignored, with the reason. All variants of the disks
//! on all buses are for `matrix.sh`, before a release.

mod base;
#[path = "../common/mod.rs"]
mod common;
mod convert;
mod failure;
mod kit;
mod large;
#[path = "../cli/place.rs"]
#[allow(dead_code)]
mod place;
mod refitted;
mod refused;

use libtest_mimic::Arguments;

fn main() {
    let mut arguments = Arguments::from_args();
    // The firmware is emulated: more machines at a time than there are processors gain nothing.
    arguments.test_threads.get_or_insert(2);
    let trials =
        [convert::trials(), refused::trials(), refitted::trials(), failure::trials(), large::trials()]
            .into_iter()
            .flatten()
            .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
