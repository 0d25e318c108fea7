//! Tests that need programs of others: to read what we write, to write what we read, or to bring about what a process
//! meets. Each is ignored, with the program's name, where that is not installed, and fails in CI.

mod chains;
#[path = "../common/mod.rs"]
mod common;
#[cfg(unix)]
mod containers;
#[cfg(target_os = "linux")]
mod devices;
#[path = "../cli/place.rs"]
#[allow(dead_code)]
mod place;
mod readers;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod touched;
mod vhd_images;
mod vhdx_images;
mod vmdk_images;

// The formats' scenarios, which their own suite runs without a judge, and their reference writers.
#[path = "../copy/gpt.rs"]
#[allow(dead_code, unused_imports)]
mod gpt;
#[path = "../copy/source.rs"]
#[allow(dead_code)]
mod source;
#[path = "../formats/support/mod.rs"]
#[allow(dead_code)]
mod support;
#[path = "../formats/vhd/mod.rs"]
#[allow(dead_code, unused_imports)]
mod vhd;
#[path = "../formats/vhdx/mod.rs"]
#[allow(dead_code, unused_imports)]
mod vhdx;
#[path = "../formats/vmdk/mod.rs"]
#[allow(dead_code, unused_imports)]
mod vmdk;

use libtest_mimic::Arguments;

fn main() {
    let trials = [
        vhd_images::trials(),
        vhdx_images::trials(),
        vmdk_images::trials(),
        chains::trials(),
        #[cfg(unix)]
        containers::trials(),
        #[cfg(target_os = "linux")]
        signals::trials(),
        #[cfg(target_os = "linux")]
        devices::trials(),
        #[cfg(target_os = "linux")]
        touched::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}
