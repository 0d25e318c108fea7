//! What is not convertible, and what is damaged: refused, with the rule that is broken, and nothing written.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;

use crate::common::tools::{Trouble, run, tool, trial};
use crate::kit::{Kit, said};
use crate::place::{PRECONDITION, Place, REFUSED, error_text, text};

/// The kit's variant, MiB of its disk, options, and a word of the reason.
const VARIANTS: [(&str, u32, &[&str], &str); 12] = [
    ("dirty", 576, &[], "dirty"),
    ("hibernated", 576, &[], "hibernated"),
    ("bitlocker", 576, &[], "encrypted"),
    ("gpt", 576, &[], "GPT"),
    ("dynamic", 576, &[], "dynamic"),
    ("extended", 832, &[], "extended"),
    ("win32", 576, &[], "winload.efi"),
    ("full-tail", 256, &[], "room"),
    // There is room, but not where it was asked for.
    ("sysres", 576, &["--esp", "gap"], "gap"),
    ("single", 576, &["--esp", "reuse"], "system partition"),
    ("winre-in-sysres", 832, &["--esp", "reuse"], "recovery environment"),
    ("full-tail", 256, &["--esp", "shrink"], "room"),
];

/// How the disk is damaged (`damage.py`), the exit code, and a word of the reason.
const DAMAGES: [(&str, i32, &str); 20] = [
    ("boot-sector", PRECONDITION, "NTFS"),
    ("mft", REFUSED, "record"),
    ("mft-torn", REFUSED, "record"),
    ("mft-address", REFUSED, "MFT"),
    ("cluster-size", REFUSED, "cluster"),
    ("bcd-cut", REFUSED, "\\Boot\\BCD"),
    ("bcd-empty", REFUSED, "\\Boot\\BCD"),
    ("bcd-loop", REFUSED, "\\Boot\\BCD"),
    ("bcd-no-default", PRECONDITION, "default"),
    ("bcd-other-disk", PRECONDITION, "default"),
    ("system-empty", REFUSED, "SYSTEM"),
    ("system-cut", REFUSED, "SYSTEM"),
    ("overlap", PRECONDITION, "overlap"),
    ("beyond", PRECONDITION, "passes the end"),
    ("far-beyond", PRECONDITION, "passes the end"),
    ("two-active", PRECONDITION, "active"),
    ("none-active", PRECONDITION, "active"),
    ("linux", PRECONDITION, "type"),
    ("front", PRECONDITION, "first"),
    ("no-table", PRECONDITION, "partition table"),
];

pub fn trials() -> Vec<Trial> {
    let variants = VARIANTS.iter().map(|&(variant, mib, options, word)| {
        let name = [&[variant][..], options].concat().join(" ");
        trial(format!("refused/{name}"), move || {
            refused(&Kit::get()?.disk(variant, mib)?, options, PRECONDITION, word)
        })
    });
    let damages = DAMAGES.iter().map(|&(how, code, word)| {
        trial(format!("damaged/{how}"), move || {
            let kit = Kit::get()?;
            let place = Place::new();
            let disk = place.path("disk.raw");
            run(tool("cp")?.arg("--sparse=always").arg(kit.disk("sysres", 576)?).arg(&disk))?;
            said(kit.script("damage.py").arg(&disk).arg(how))?;
            refused(&disk, &[], code, word)
        })
    });
    variants.chain(damages).chain([trial("refused/names".into(), names)]).collect()
}

/// Boot files that FAT cannot hold.
fn names() -> Result<(), Trouble> {
    let kit = Kit::get()?;
    let disk = kit.disk("sysres", 576)?;
    let files = Place::new();
    fs::copy(disk.with_file_name("efi").join("bootmgfw.efi"), files.path("bootmgfw.efi"))?;
    files.file("boot:stl", b"");
    refused(&disk, &["--boot-files", text(files.0.path())], PRECONDITION, "boot:stl")
}

fn refused(disk: &Path, options: &[&str], code: i32, word: &str) -> Result<(), Trouble> {
    let place = Place::new();
    for extra in [&["--dry-run"][..], &[], &["--output-kind", "copy"]] {
        let arguments = [&["convert-to-uefi", text(disk), "out.vhd"][..], options, extra].concat();
        let said = error_text(&place.run(&arguments, code));
        assert!(said.contains(word), "no {word:?} in {said:?}");
        assert!(place.names().is_empty(), "{:?} is left", place.names());
    }
    Ok(())
}
