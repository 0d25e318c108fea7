//! Chains, as other programs read them.

use libtest_mimic::Trial;

use crate::common::tools::{Trouble, run, tool, trial};
use crate::place::{DONE, Place};

pub fn trials() -> Vec<Trial> {
    vec![trial("chains::a_top_over_its_merged_base".into(), a_top_over_its_merged_base)]
}

fn a_top_over_its_merged_base() -> Result<(), Trouble> {
    let place = Place::new();
    place.file("source.raw", &vec![0x11; 4 << 20]);
    place.run(&["convert", "source.raw", "base.vmdk"], DONE);
    for (child, parent, at) in [("middle.vmdk", "base.vmdk", "1M"), ("top.vmdk", "middle.vmdk", "1500000")] {
        place.run(&["create", child, "--parent", parent], DONE);
        place.feed(&["write", child, "--offset", at], &vec![0x22; 700_000], DONE);
    }
    place.run(&["convert", "top.vmdk", "expected.raw"], DONE);
    place.run(&["merge", "top.vmdk", "--into", "base.vmdk"], DONE);
    for image in ["top.vmdk", "base.vmdk"] {
        let mut compare = tool("qemu-img")?;
        compare.args(["compare", "-f", "vmdk", "-F", "raw"]);
        run(compare.arg(place.path(image)).arg(place.path("expected.raw")))?;
    }
    Ok(())
}
