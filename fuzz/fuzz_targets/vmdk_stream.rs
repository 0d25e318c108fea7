//! A streamOptimized VMDK: markers, compressed grains, directory in front or behind; read as a file and as a pipe.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{exercise, exercise_stream, target};

target!(|input| {
    let [image, ..] = input.files;
    exercise_stream(&image);
    exercise(&Open::new().format(Format::Vmdk), image);
});
