//! A seSparse extent, under a descriptor that agrees with its size.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{HandOut, Sparse, exercise_with, target};

target!(|input| {
    let [extent, ..] = input.files;
    // The capacity in sectors, as the constant header gives it.
    let sectors = u64::from_le_bytes(extent.get(16, 8).try_into().unwrap());
    let descriptor = Sparse::text(&format!(
        "# Disk DescriptorFile\nversion=3\nCID=12345678\nparentCID=ffffffff\ncreateType=\"seSparse\"\n\
         RW {sectors} SESPARSE \"extent.vmdk\"\n"
    ));
    exercise_with(&Open::new().format(Format::Vmdk).resolver(HandOut::new([extent])), descriptor);
});
