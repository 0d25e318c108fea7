//! Outputs on standard output.

use std::fs;

use crate::place::{DONE, IO, PRECONDITION, Place, REFUSED, USAGE, error_text, small, text};

/// Format, kind, and whether the kind is one file.
const KINDS: [(&str, &str, bool); 11] = [
    ("raw", "raw", true),
    ("vhd", "fixed", true),
    ("vhd", "dynamic", true),
    ("vhdx", "fixed", true),
    ("vhdx", "dynamic", true),
    ("vmdk", "monolithicSparse", true),
    ("vmdk", "streamOptimized", true),
    ("vmdk", "monolithicFlat", false),
    ("vmdk", "twoGbMaxExtentSparse", false),
    ("vmdk", "twoGbMaxExtentFlat", false),
    ("vmdk", "vmfs", false),
];

#[test]
fn standard_output_takes_the_bytes_of_the_file() {
    let place = Place::new();
    let source = small();
    for (format, subformat, is_one_file) in KINDS {
        let kind = ["--format", format, "--subformat", subformat, "--seed", "7"];
        let to = |output| [&["convert", text(&source), output], &kind[..]].concat();
        if !is_one_file {
            let refused = place.run(&to("-"), USAGE);
            assert!(refused.stdout.is_empty() && error_text(&refused).contains(subformat), "{subformat}");
            continue;
        }
        let name = format!("{subformat}.{format}");
        place.run(&to(&name), DONE);
        let file = fs::read(place.path(&name)).expect("the output");
        assert!(place.run(&to("-"), DONE).stdout == file, "{subformat} {format}");
        let mapped = place.run(&[&to("-")[..], &["--zeros", "map"]].concat(), DONE).stdout;
        place.run(&[&to("mapped")[..], &["--zeros", "map"]].concat(), DONE);
        assert!(mapped == fs::read(place.path("mapped")).expect("the output"), "{subformat} {format}");
        place.run(&["compare", text(&source), "mapped", "--format-b", format], DONE);
        fs::remove_file(place.path("mapped")).expect("goes");
    }
}

#[test]
fn standard_input_is_a_source() {
    let place = Place::new();
    let source = small();
    place.run(&["convert", text(&source), "disk.raw"], DONE);
    place.run(&["convert", text(&source), "expected.vhdx", "--seed", "7"], DONE);
    let expected = fs::read(place.path("expected.vhdx")).expect("the output");
    let raw = fs::read(place.path("disk.raw")).expect("the output");
    let packed = place
        .run(&["convert", text(&source), "-", "--format", "vmdk", "--subformat", "streamOptimized"], DONE)
        .stdout;

    let convert = ["convert", "-", "out.vhdx", "--seed", "7", "--overwrite", "--source-format"];
    let with = |more: &[&str], input: &[u8], code| {
        let output = place.feed(&[&convert[..], more].concat(), input, code);
        if code == DONE {
            assert!(fs::read(place.path("out.vhdx")).expect("the output") == expected, "{more:?}");
            fs::remove_file(place.path("out.vhdx")).expect("goes");
        }
        assert!(!place.path("out.vhdx").exists());
        error_text(&output)
    };
    with(&["raw", "--size", "16M"], &raw, DONE);
    with(&["vmdk"], &packed, DONE);
    assert!(with(&["raw"], &raw, USAGE).contains("--size"));
    with(&["raw", "--size", "15M"], &raw, PRECONDITION);
    assert!(with(&["raw", "--size", "17M"], &raw, IO).contains("16777216 of 17825792 bytes"));
    with(&["vmdk", "--size", "32M"], &packed, USAGE);
    with(&["vmdk"], &packed[..packed.len() - 512], REFUSED);
    with(&["vhdx"], &expected, USAGE);
    with(&["raw", "--size", "16M", "--verify"], &raw, DONE);
    place.feed(&["convert", "-", "out.vhdx"], &raw, USAGE);

    // What the platforms take in one pass.
    for (target, output) in [
        ("vsphere", "out.vmdk"),
        ("vsphere", "out.ova"),
        ("vsphere-datastore", "out.vmdk"),
        ("workstation", "out.vmdk"),
        ("hyperv", "out.vhdx"),
        ("azure", "out.vhd"),
        ("xenserver", "out.vhd"),
        ("aws", "out.vmdk"),
        ("pvs", "out.vhdx"),
        ("raw", "out.raw"),
    ] {
        let place = Place::new();
        let options = ["--target", target, "--source-format", "raw", "--size", "16M", "--verify", "--json"];
        let done = place.feed(&[&["convert", "-", output], &options[..]].concat(), &raw, DONE);
        let report: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
        assert_eq!(report["verified"], true, "{target}");
        assert!(report["adjustments"].to_string().contains("encrypted"), "{target}");
        assert_eq!(report["digests"], serde_json::json!({}), "{target}");
        if output != "out.ova" {
            place.run(&["compare", text(&source), output], DONE);
        }
    }
    let refused = |arguments: &[&str], why: &str| {
        let output = place.feed(&[&["convert", "-"], arguments].concat(), &raw, USAGE);
        assert!(error_text(&output).contains(why), "{arguments:?}: {}", error_text(&output));
    };
    let raw_of = |size| ["--source-format", "raw", "--size", size];
    refused(&[&["x.tar.gz"], &raw_of("16M")[..]].concat(), "begins with the map");
    refused(&[&["x.tar.gz", "--target", "gcp"], &raw_of("16M")[..]].concat(), "growing a disk");
    refused(&[&["-", "--format", "ova"], &raw_of("16M")[..]].concat(), "an OVA in a pipe");
    refused(
        &[&["-", "--format", "raw", "--verify"], &raw_of("16M")[..]].concat(),
        "a pipe cannot be read back",
    );

    // A pipe at both ends.
    let through = ["convert", "-", "-", "--source-format", "vmdk", "--format", "raw"];
    assert!(place.feed(&through, &packed, DONE).stdout == raw);
}

#[test]
fn what_cannot_be_done_is_said_at_once() {
    let place = Place::new();
    let source = small();
    for arguments in [
        &["out.raw", "--rate-limit", "0"][..],
        &["out.ova", "--resume"],
        &["out.tar.gz", "--resume"],
        &["-", "--format", "vhd", "--resume"],
    ] {
        place.run(&[&["convert", text(&source)], arguments].concat(), USAGE);
    }
    place.run(&["create", "-", "--parent", text(&source)], USAGE);
    assert!(place.names().is_empty());
    let empty = place.run(&["create", "-", "--size", "1M", "--format", "vhd", "--subformat", "fixed"], DONE);
    assert_eq!(empty.stdout.len(), (1 << 20) + 512);
}

/// Where standard input is a file, its size is known.
#[cfg(unix)]
#[test]
fn a_file_as_standard_input_says_its_size() {
    let place = Place::new();
    let source = place.raw("disk.raw");
    let line = r#""$0" convert - out.vhd --source-format raw < disk.raw"#;
    assert_eq!(crate::place::shell(&place, line), Some(DONE));
    place.run(&["compare", text(&source), "out.vhd"], DONE);
}
