//! A COWD extent, under a descriptor that agrees with its size.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{HandOut, Sparse, exercise_with, target};

target!(|input| {
    let [extent, ..] = input.files;
    // The number of sectors, as the header gives it.
    let sectors = u32::from_le_bytes(extent.get(12, 4).try_into().unwrap());
    let descriptor = Sparse::text(&format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"vmfsSparse\"\n\
         RW {sectors} VMFSSPARSE \"extent.vmdk\"\n"
    ));
    exercise_with(&Open::new().format(Format::Vmdk).resolver(HandOut::new([extent])), descriptor);
});
