//! A VHD of any kind: footers, dynamic header, BAT, sector bitmaps.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{Input, checksum, exercise, target};

target!(|input| {
    let keep = input.has(Input::KEEP_CHECKSUMS);
    let [mut image, ..] = input.files;
    if !keep {
        checksum::mend_vhd(&mut image);
    }
    exercise(&Open::new().format(Format::Vhd).allow_missing_parent(true), image);
});
