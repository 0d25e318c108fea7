//! A differencing image of any format with its parents and extents.
#![no_main]

use diskport::Open;
use diskport_fuzz::{Input, checksum, exercise_chain, target};

target!(|input| {
    let mut input = input;
    if !input.has(Input::KEEP_CHECKSUMS) {
        for file in &mut input.files {
            checksum::mend_vhd(file);
            checksum::mend_vhdx(file);
        }
    }
    exercise_chain(&Open::new(), input);
});
