//! Disks that are otherwise than setup leaves them.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::common::tools::{Trouble, run, tool, trial};
use crate::kit::{Kit, said};
use crate::place::{DONE, Place};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("refitted/no-store".into(), no_store),
        trial("refitted/other-files".into(), || {
            warned("sysres", 576, "other-files", "other files are in the source alone: Tools")
        }),
        trial("refitted/two-windows".into(), || {
            warned("four", 832, "two-windows", "partition 3 has a Windows too")
        }),
        trial("refitted/dirty-behind".into(), dirty_behind),
    ]
}

/// One of the kit's disks, changed by `refit.py`.
fn refit(place: &Place, variant: &str, mib: u32, how: &str) -> Result<(&'static Kit, PathBuf), Trouble> {
    let kit = Kit::get()?;
    let disk = place.path("disk.raw");
    run(tool("cp")?.arg("--sparse=always").arg(kit.disk(variant, mib)?).arg(&disk))?;
    said(kit.script("refit.py").arg(&disk).arg(how))?;
    Ok((kit, disk))
}

/// Converts it into a copy, which others find no fault with and which boots where that is asked for; the plan.
fn converted(place: &Place, kit: &Kit, disk: &Path, boots: bool) -> Result<Value, Trouble> {
    let fixed = ["convert-to-uefi", "disk.raw", "--seed", "7"];
    let plan = place.json(&[&fixed[..], &["--dry-run", "--json"]].concat());
    let copy = ["out.raw", "--output-kind", "copy", "--no-sync"];
    place.run(&[&fixed[..], &copy].concat(), DONE);
    kit.verify(disk, &place.path("out.raw"), 512)?;
    if boots {
        kit.boot(&place.path("out.raw"), 512, false)?;
    }
    Ok(plan)
}

/// A new boot store starts Windows where there was none.
fn no_store() -> Result<(), Trouble> {
    let place = Place::new();
    let (kit, disk) = refit(&place, "sysres", 576, "no-store")?;
    let plan = converted(&place, kit, &disk, true)?;
    assert!(plan["warnings"].to_string().contains("there was no boot store"), "{plan}");
    Ok(())
}

/// What would go, or be otherwise, without a word.
fn warned(variant: &str, mib: u32, how: &str, warning: &str) -> Result<(), Trouble> {
    let place = Place::new();
    let (kit, disk) = refit(&place, variant, mib, how)?;
    let plan = converted(&place, kit, &disk, false)?;
    assert!(plan["warnings"].to_string().contains(warning), "{plan}");
    Ok(())
}

/// A volume that must not be changed lies behind that of Windows, which can make room.
fn dirty_behind() -> Result<(), Trouble> {
    let place = Place::new();
    refit(&place, "single", 576, "dirty-behind")?;
    let plan = place.json(&["convert-to-uefi", "disk.raw", "--dry-run", "--json"]);
    assert_eq!(plan["esp"]["place"], "shrink", "{plan}");
    let partitions = plan["partitions"].as_array().ok_or("no partitions")?;
    let found: Vec<_> = partitions.iter().map(|one| (one["index"].as_u64(), one["size"].as_u64())).collect();
    let mib = |size: u64| Some(size << 20);
    assert_eq!(found, [(Some(1), mib(474)), (Some(3), mib(300)), (Some(4), mib(100))], "{plan}");
    Ok(())
}
