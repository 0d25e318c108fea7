//! A VHDX of any kind: headers, region table, metadata, BAT, sector bitmaps, and the log as far as it leads.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{Input, checksum, exercise, target};

target!(|input| {
    let keep = input.has(Input::KEEP_CHECKSUMS);
    let [mut image, ..] = input.files;
    if !keep {
        checksum::mend_vhdx(&mut image);
    }
    exercise(&Open::new().format(Format::Vhdx).allow_missing_parent(true), image);
});
