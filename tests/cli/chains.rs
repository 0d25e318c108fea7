//! Chains on the command line: children, merges, rebases.

use std::fs;

use crate::place::{DONE, IO, PRECONDITION, Place, REFUSED, USAGE, error_text, shell};

const FORMATS: [&str; 3] = ["vhd", "vhdx", "vmdk"];

/// `base`, `middle` and `top` of a format, each with something of its own, and `expected.raw`, what the top reads as.
fn chain(format: &str) -> Place {
    let place = Place::new();
    let [base, middle, top] = ["base", "middle", "top"].map(|name| format!("{name}.{format}"));
    place.file("source.raw", &vec![0x11; 4 << 20]);
    place.run(&["convert", "source.raw", &base, "--subformat", kind(format)], DONE);
    place.run(&["create", &middle, "--parent", &base], DONE);
    place.feed(&["write", &middle, "--offset", "1M"], &vec![0x22; 700_000], DONE);
    place.run(&["write", &middle, "--offset", "3M", "--zeroes", "64K"], DONE);
    place.run(&["create", &top, "--parent", &middle], DONE);
    place.feed(&["write", &top, "--offset", "1500000"], &vec![0x33; 1_000_000], DONE);
    place.run(&["convert", &top, "expected.raw"], DONE);
    let mut expected = vec![0x11; 4 << 20];
    expected[1 << 20..][..700_000].fill(0x22);
    expected[3 << 20..][..64 << 10].fill(0);
    expected[1_500_000..][..1_000_000].fill(0x33);
    assert!(fs::read(place.path("expected.raw")).expect("the disk") == expected);
    place
}

fn kind(format: &str) -> &'static str {
    if format == "vmdk" { "monolithicSparse" } else { "dynamic" }
}

#[test]
fn a_child_is_made_of_its_parent() {
    for format in FORMATS {
        let place = chain(format);
        let [base, top, new] = ["base", "top", "new"].map(|name| format!("{name}.{format}"));
        let info = place.json(&["info", "--json", &top]);
        assert_eq!(info["chain"].as_array().map(Vec::len), Some(3), "{format}");
        place.run(&["create", &top, "--parent", &base], PRECONDITION);
        place.run(&["create", &base, "--parent", &base, "--overwrite"], PRECONDITION);
        place.run(&["create", &base, "--parent", &top, "--overwrite"], PRECONDITION);
        place.run(&["create", &new, "--parent", &base, "--sector-size", "4096"], USAGE);
        place.run(&["create", &new, "--parent", &base, "--subformat", "fixed"], USAGE);
        place.run(&["create", &new, "--parent", "absent", "--size", "1M"], IO);
        place.run(&["create", &new], USAGE);
        place.run(&["create", &new, "--parent", &base, "--size", "65T"], PRECONDITION);
        assert!(!place.path(&new).exists());
        place.run(&["compare", &top, "expected.raw"], DONE);
    }
    let place = Place::new();
    place.raw("base.unknown");
    place.run(&["create", "child.vhd", "--parent", "base.unknown", "--parent-format", "raw"], DONE);
}

#[test]
fn sizes_beyond_a_format_are_refused() {
    let place = Place::new();
    let too_large = [
        ("a.vhd", "dynamic", "2041G"),
        ("a.vhd", "fixed", "2041G"),
        ("a.vhdx", "dynamic", "65T"),
        ("a.vmdk", "monolithicSparse", "8000T"),
    ];
    for (image, subformat, size) in too_large {
        let output = place.run(&["create", image, "--size", size, "--subformat", subformat], PRECONDITION);
        assert!(error_text(&output).contains("cannot hold"), "{}", error_text(&output));
        assert_eq!(place.names(), [""; 0]);
    }
}

#[test]
fn a_merge_keeps_what_the_top_reads_as() {
    for format in FORMATS {
        let place = chain(format);
        let [base, middle, top] = ["base", "middle", "top"].map(|name| format!("{name}.{format}"));
        let output = place
            .run(&["write", &base, "--offset", "0", "--zeroes", "512", "--check-children"], PRECONDITION);
        assert!(error_text(&output).contains(&middle), "{}", error_text(&output));
        place.run(&["resize", &base, "8M", "--check-children"], PRECONDITION);
        place.run(&["compact", &base, "--check-children"], PRECONDITION);
        place.run(&["merge", &top, "--into", &top], PRECONDITION);
        place.run(&["merge", &base], PRECONDITION);
        place.run(&["merge", &top, "--into", &base, "--output", "new"], USAGE);
        place.run(&["merge", &top, "--base", &base], USAGE);

        let new = format!("new.{format}");
        place.run(&["merge", &top, "--output", &new, "--base", &base], DONE);
        place.run(&["compare", &new, "expected.raw"], DONE);
        let flat = format!("flat.{format}");
        place.run(&["merge", &top, "--output", &flat], DONE);
        place.run(&["compare", &flat, "expected.raw"], DONE);
        assert!(place.json(&["info", "--json", &flat])["parent"].is_null());

        // The new child lies on the base, too.
        let output = place.run(&["merge", &top, "--into", &base, "--delete"], PRECONDITION);
        assert!(error_text(&output).contains(&new), "{}", error_text(&output));
        fs::remove_file(place.path(&new)).expect("goes away");
        place.run(&["merge", &top, "--into", &base], DONE);
        place.run(&["compare", &top, "expected.raw"], DONE);
        place.run(&["compare", &base, "expected.raw"], DONE);
        fs::remove_file(place.path(&middle)).expect("goes away");
        place.run(&["merge", &top, "--delete"], DONE);
        assert_eq!(place.names(), [&base, "expected.raw", &flat, "source.raw"]);
        place.run(&["check", &base], DONE);
    }
}

#[test]
fn a_rebase_keeps_what_an_image_reads_as() {
    for format in FORMATS {
        let place = chain(format);
        let [base, middle, top] = ["base", "middle", "top"].map(|name| format!("{name}.{format}"));
        place.run(&["rebase", &middle, "--parent", &top], PRECONDITION);
        place.run(&["rebase", &base, "--parent", &top], PRECONDITION);
        place.run(&["rebase", &top], USAGE);
        place.run(&["rebase", &top, "--parent", &base], DONE);
        place.run(&["compare", &top, "expected.raw"], DONE);
        fs::remove_file(place.path(&middle)).expect("goes away");
        // The base is moved, found again, and named.
        fs::create_dir(place.path("bases")).expect("a folder");
        let moved = format!("bases/moved.{format}");
        fs::rename(place.path(&base), place.path(&moved)).expect("moves");
        place.run(&["hash", &top], PRECONDITION);
        place.run(&["rebase", &top, "--find", "."], PRECONDITION);
        place.run(&["rebase", &top, "--find", ".", "bases"], DONE);
        place.run(&["compare", &top, "expected.raw"], DONE);
        fs::rename(place.path(&moved), place.path(&base)).expect("moves");
        place.run(&["hash", &top], PRECONDITION);
        place.run(&["rebase", &top, "--parent", &base, "--unsafe"], DONE);
        place.run(&["compare", &top, "expected.raw"], DONE);
    }
}

#[cfg(unix)]
#[test]
fn a_merge_without_room_goes_on_when_there_is_some() {
    for format in FORMATS {
        let place = chain(format);
        let [top, empty] = ["top", "empty"].map(|name| format!("{name}.{format}"));
        // An empty base must grow; files may not.
        place.run(&["create", &empty, "--size", "4M", "--subformat", kind(format)], DONE);
        place.run(&["rebase", &top, "--parent", &empty], DONE);
        place.run(&["compare", &top, "expected.raw"], DONE);
        let before = fs::metadata(place.path(&empty)).expect("the base").len();
        let limit = before / 512 + 3000;
        let line = format!("ulimit -f {limit}; \"$0\" merge {top} --into {empty} 2>/dev/null");
        assert_eq!(shell(&place, &line), Some(IO), "{format}");
        place.run(&["compare", &top, "expected.raw"], DONE);
        place.run(&["merge", &top, "--into", &empty, "--delete"], DONE);
        place.run(&["compare", &empty, "expected.raw"], DONE);
    }
}

/// An old parent that is a raw disk, and whose guest has made it look like another: the format is the caller's to say.
#[test]
fn the_format_of_an_old_parent_can_be_said() {
    let place = Place::new();
    place.run(&["create", "inside.vhdx", "--size", "4M"], DONE);
    let inside = fs::read(place.path("inside.vhdx")).expect("an image");
    for name in ["old.raw", "new.raw"] {
        place.file(name, &inside);
    }
    let raw = ["--parent-format", "raw"];
    place.run(&[&["create", "child.vhd", "--parent", "old.raw"], &raw[..]].concat(), DONE);
    let hash =
        |options: &[&str]| place.run(&[&["hash", "child.vhd"], options].concat(), DONE).stdout[..64].to_vec();
    let before = hash(&["--parent", "old.raw", "--parent-format", "raw"]);
    let rebase = ["rebase", "child.vhd", "--old-parent", "old.raw", "--parent", "new.raw", raw[0], raw[1]];
    let said = error_text(&place.run(&rebase, REFUSED));
    assert!(said.contains("matches more than one format"), "{said}");
    place.run(&[&rebase[..], &["--old-parent-format", "raw"]].concat(), DONE);
    fs::remove_file(place.path("old.raw")).expect("goes away");
    assert_eq!(hash(&["--parent", "new.raw", "--parent-format", "raw"]), before);
}

/// `--parent` is the new parent in a rebase: what helps where an old one is not found is said, and does.
#[test]
fn a_rebase_tells_how_the_old_parent_is_named() {
    let place = Place::new();
    place.raw("base.raw");
    place.run(&["create", "child.vhd", "--parent", "base.raw"], DONE);
    fs::create_dir(place.path("d")).expect("a folder");
    fs::rename(place.path("base.raw"), place.path("d/base.raw")).expect("moves");
    let rebase = ["rebase", "child.vhd", "--parent", "d/base.raw"];
    let said = error_text(&place.run(&rebase, PRECONDITION));
    assert!(said.contains("--old-parent PATH") && said.contains("--unsafe"), "{said}");
    place.run(&[&rebase[..], &["--old-parent", "d/base.raw"]].concat(), DONE);
    place.run(&[&rebase[..], &["--unsafe"]].concat(), DONE);
    place.run(&["compare", "child.vhd", "d/base.raw", "--parent", "d/base.raw"], DONE);
    // The new parent's own parent is another matter.
    for image in ["a.vhdx", "b.vhdx"] {
        place.run(&["create", image, "--size", "4M"], DONE);
    }
    place.run(&["create", "middle.vhdx", "--parent", "a.vhdx"], DONE);
    place.run(&["create", "top.vhdx", "--parent", "b.vhdx"], DONE);
    fs::rename(place.path("a.vhdx"), place.path("d/a.vhdx")).expect("moves");
    let rebase = ["rebase", "top.vhdx", "--parent", "middle.vhdx"];
    let said = error_text(&place.run(&rebase, PRECONDITION));
    assert!(said.contains("that image's own parent"), "{said}");
    place.run(&["rebase", "middle.vhdx", "--parent", "d/a.vhdx"], DONE);
    place.run(&[&rebase[..], &["--resolve", "any"]].concat(), DONE);
}
