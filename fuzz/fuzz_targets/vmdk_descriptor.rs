//! The text of a VMDK descriptor, in any encoding. Every extent that it names is a file of 1 MiB.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{HandOut, Sparse, exercise_with};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut image = Sparse::default();
    image.set_len(text.len() as u64);
    image.set(0, text);
    let mut extent = Sparse::default();
    extent.set_len(1 << 20);
    let open = Open::new().format(Format::Vmdk).allow_missing_parent(true);
    exercise_with(&open.resolver(HandOut::new(vec![extent; 64])), image);
});
