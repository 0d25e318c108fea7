//! A conversion reads and holds only what it needs, whatever the size of the disk.

use libtest_mimic::Trial;

use crate::base::{Base, Maker};
use crate::common::tools::{Trouble, trial};
use crate::kit::Kit;
use crate::place::{DONE, Place, shell};

/// MiB of memory that the kernel grants.
const MEMORY: u64 = 32;

pub fn trials() -> Vec<Trial> {
    // In place of the system partition, and behind a volume that is made smaller.
    [("sysres", 8), ("single", 16)]
        .map(|(variant, read)| trial(format!("large/{variant}"), move || converts_within(variant, read)))
        .into()
}

/// 64 GiB, of which `most` MiB at most are read.
fn converts_within(variant: &str, most: u64) -> Result<(), Trouble> {
    let place = Place::new();
    let raw = Kit::get()?.disk(variant, 64 << 10)?;
    let base = Base::new("vhdx", "dynamic", Maker::Diskport).make(&place, &raw)?;
    // What a shell has waited for is counted with it.
    let counted = "sed -n 's/rchar: //p' /proc/$$/io > read";
    let limit = MEMORY << 10;
    let line = format!(
        "ulimit -d {limit}; \"$0\" convert-to-uefi {base} child.vhdx --seed 7 2>/dev/null && {counted}"
    );
    assert_eq!(shell(&place, &line), Some(DONE));
    let read: u64 = std::fs::read_to_string(place.path("read"))?.trim().parse()?;
    assert!(read < most << 20, "{read} bytes were read");
    Ok(())
}
