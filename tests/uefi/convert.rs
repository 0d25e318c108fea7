//! What is converted.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::base::{Base, Maker};
use crate::common::digest;
use crate::common::tools::{Trouble, python, run, to_raw, tool, trial};
use crate::kit::{Kit, said};
use crate::place::{DONE, Place};

/// How the firmware finds the loader.
#[derive(Clone, Copy)]
enum Boot {
    /// By the path of removable media.
    Fallback,
    /// By an entry for Windows' boot manager.
    Entry,
    /// Not tried.
    None,
}

struct Case {
    name: &'static str,
    /// The kit's variant, and MiB of its disk.
    disk: (&'static str, u32),
    base: Base,
    options: &'static [&'static str],
    /// Where the EFI system partition must come to lie.
    esp: &'static str,
    boot: Boot,
}

const DYNAMIC_VHD: Base = Base::new("vhd", "dynamic", Maker::QemuImg);
const FIXED_VHD: Base = Base::new("vhd", "fixed", Maker::Diskport);
const DYNAMIC_VHDX: Base = Base::new("vhdx", "dynamic", Maker::QemuImg);
const FIXED_VHDX: Base = Base::new("vhdx", "fixed", Maker::QemuImg);
const OWN_VHDX: Base = Base::new("vhdx", "dynamic", Maker::Diskport);
const VHDX_4KN: Base = Base { sector: 4096, ..OWN_VHDX };

const CASES: [Case; 10] = [
    case("sysres", 576, DYNAMIC_VHDX, "reuse", Boot::Fallback),
    case("sysres", 576, FIXED_VHD, "reuse", Boot::Entry),
    case("single", 576, DYNAMIC_VHD, "shrink", Boot::Fallback),
    case("single", 576, FIXED_VHDX, "shrink", Boot::None),
    // So small that clusters in use lie where the EFI system partition must go.
    case("single", 256, DYNAMIC_VHDX, "shrink", Boot::Fallback),
    case("single", 256, DYNAMIC_VHD, "shrink", Boot::None),
    case("gap", 320, FIXED_VHDX, "gap", Boot::Fallback),
    case("gap", 320, DYNAMIC_VHD, "gap", Boot::None),
    case("4kn", 576, VHDX_4KN, "reuse", Boot::Fallback),
    // Full to the last cluster.
    Case { options: &["--esp", "grow"], ..case("full-tail", 256, OWN_VHDX, "grow", Boot::Fallback) },
];

const fn case(variant: &'static str, mib: u32, base: Base, esp: &'static str, boot: Boot) -> Case {
    Case { name: variant, disk: (variant, mib), base, options: &[], esp, boot }
}

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = CASES
        .iter()
        .map(|case| {
            let Base { format, kind, .. } = case.base;
            let name = format!("converted/{}-{}-{kind}-{format}", case.name, case.disk.1);
            trial(name, || converted(case))
        })
        .collect();
    trials.push(trial("converted/versions".into(), versions));
    trials.push(trial("converted/vmdk".into(), vmdk));
    trials
}

fn converted(case: &Case) -> Result<(), Trouble> {
    let kit = Kit::get()?;
    let place = Place::new();
    let raw = kit.disk(case.disk.0, case.disk.1)?;
    let base = case.base.make(&place, &raw)?;
    let before = digest::of_file(&place.path(&base))?;
    let child = format!("child.{}", case.base.format);
    let command = |extra: &[&'static str]| {
        let fixed = ["convert-to-uefi", &base, &child, "--seed", "7", "--json"];
        [&fixed[..], case.options, extra].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let json = |arguments: &[String]| -> Value {
        place.json(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };

    let plan = json(&command(&["--dry-run"]));
    assert_eq!(place.names(), [base.as_str()], "a dry run writes nothing");
    assert_eq!(json(&command(&["--dry-run"])), plan, "the same seed gives the same plan");
    assert_eq!(plan["esp"]["place"], case.esp, "{plan}");

    json(&command(&[]));
    assert_eq!(place.names(), [base.as_str(), &child], "a child and nothing else");
    let first = place.path("first");
    fs::rename(place.path(&child), &first)?;
    json(&command(&[]));
    same(&first, &place.path(&child)).map_err(|_| "the same seed gives another child")?;
    fs::remove_file(first)?;
    assert!(digest::of_file(&place.path(&base))? == before, "the source is as it was");

    let flat = flattened(&place, &[&child, &base])?;
    let copy = ["convert-to-uefi", &base, "copy.raw", "--seed", "7", "--output-kind", "copy", "--no-sync"];
    place.run(&[&copy[..], case.options].concat(), DONE);
    same(&flat, &place.path("copy.raw"))?;
    fs::remove_file(place.path("copy.raw"))?;
    let blocks = sound(kit, &raw, &flat, case.base.sector, case.boot)?;
    let size = fs::metadata(place.path(&child))?.len();
    assert!(size <= (blocks + 2) * (2 << 20) + (8 << 20), "{size} bytes for {blocks} blocks that differ");
    Ok(())
}

/// The top of a base and two versions is converted; neither of the three changes.
fn versions() -> Result<(), Trouble> {
    let kit = Kit::get()?;
    let place = Place::new();
    let base = OWN_VHDX.make(&place, &kit.disk("gap", 320)?)?;
    let versions = ["base.1.avhdx", "base.2.avhdx"];
    for (below, version) in [base.as_str(), versions[0]].into_iter().zip(versions) {
        place.run(&["create", version, "--parent", below], DONE);
        // Where the EFI system partition will lie, what was there must not show through; and behind the last partition.
        place.feed(&["write", version, "--offset", "51M"], &vec![0xee; 12 << 20], DONE);
        // By eight sectors, as libvhdi and dissect take the bitmaps of children.
        place.feed(&["write", version, "--offset", "319M"], &[0xbb; 4096], DONE);
    }
    place.run(&["convert", versions[1], "before.raw", "--no-sync"], DONE);
    let files = [base.as_str(), versions[0], versions[1]];
    let digests =
        || files.iter().map(|file| digest::of_file(&place.path(file))).collect::<Result<Vec<_>, _>>();
    let before = digests()?;
    place.run(&["convert-to-uefi", versions[1], "base.3.avhdx", "--seed", "7"], DONE);
    assert!(digests()? == before, "the versions are as they were");
    let flat = flattened(&place, &["base.3.avhdx", versions[1], versions[0], &base])?;
    sound(kit, &place.path("before.raw"), &flat, 512, Boot::None).map(drop)
}

/// The disk of `testdata/`, whose child is a VMDK.
fn vmdk() -> Result<(), Trouble> {
    let kit = Kit::get()?;
    let place = Place::new();
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/windows-bios.vmdk");
    fs::copy(base, place.path("base.vmdk"))?;
    place.run(&["convert", "base.vmdk", "before.raw", "--no-sync"], DONE);
    let arguments = ["convert-to-uefi", "base.vmdk", "child.vmdk", "--seed", "7"];
    place.run(&arguments, DONE);
    fs::rename(place.path("child.vmdk"), place.path("first"))?;
    place.run(&arguments, DONE);
    same(&place.path("first"), &place.path("child.vmdk"))?;
    place.run(&["convert", "child.vmdk", "ours.raw", "--no-sync"], DONE);
    let theirs = place.path("theirs.raw");
    to_raw("vmdk", &place.path("child.vmdk"), &theirs)?;
    same(&place.path("ours.raw"), &theirs)?;
    sound(kit, &place.path("before.raw"), &theirs, 512, Boot::None).map(drop)
}

/// The content of a chain as a raw disk, in which all readers must agree.
fn flattened(place: &Place, chain: &[&str]) -> Result<PathBuf, Trouble> {
    place.run(&["convert", chain[0], "ours.raw", "--format", "raw", "--no-sync"], DONE);
    let ours = place.path("ours.raw");
    let mut readers = vec![("libvhdi", "pyvhdi")];
    // It knows no differencing VHD.
    if !chain[0].ends_with(".vhd") {
        readers.push(("dissect", "dissect.hypervisor"));
    }
    for (reader, module) in readers {
        let theirs = place.path("theirs.raw");
        let mut command = python("uefi/flatten.py", module)?;
        command.arg(reader).arg(&theirs).args(chain.iter().map(|name| place.path(name)));
        run(&mut command)?;
        same(&ours, &theirs).map_err(|_| format!("{reader} reads another content"))?;
        fs::remove_file(theirs)?;
    }
    Ok(ours)
}

fn same(a: &Path, b: &Path) -> Result<(), Trouble> {
    Ok(run(tool("cmp")?.args([a, b]))?)
}

/// Only what must differ from the source does, others find no fault with it, and it boots. How many blocks of 2 MiB differ.
fn sound(kit: &Kit, raw: &Path, flat: &Path, sector: u32, boot: Boot) -> Result<u64, Trouble> {
    let mut changed = kit.script("changed.py");
    let blocks = said(changed.args([raw, flat]).arg(sector.to_string()))?.trim().parse()?;
    kit.verify(raw, flat, sector)?;
    match boot {
        Boot::Fallback => kit.boot(flat, sector, false)?,
        Boot::Entry => kit.boot(flat, sector, true)?,
        Boot::None => {}
    }
    Ok(blocks)
}
