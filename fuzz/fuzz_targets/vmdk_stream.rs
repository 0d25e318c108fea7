//! A streamOptimized VMDK: markers, compressed grains, directory in front or behind.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{exercise, target};

target!(|input| {
    let [image, ..] = input.files;
    exercise(&Open::new().format(Format::Vmdk), image);
});
