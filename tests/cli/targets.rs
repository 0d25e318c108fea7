//! `convert --target`: what it says that it adjusted, and what it refuses.

use super::place::{DONE, PRECONDITION, Place, USAGE, error_text, text};

#[test]
fn the_report_says_what_was_adjusted() {
    let place = Place::new();
    let source = place.raw("source.raw");
    let report = place.json(&["convert", text(&source), "out.vhd", "--target", "xenserver", "--json"]);
    assert_eq!((&report["format"], &report["subformat"]), (&"vhd".into(), &"dynamic".into()));
    assert_eq!(report["virtual_size"], 2 << 20);
    let adjustments = report["adjustments"].to_string();
    assert!(adjustments.contains("grown from 1048576 to 2097152"), "{adjustments}");
    let output = place.run(&["convert", text(&source), "two.vhd", "--target", "xenserver"], DONE);
    assert!(error_text(&output).contains("grown from 1048576"), "{}", error_text(&output));
    let report = place.json(&["convert", text(&source), "pvs.vhd", "--target=pvs", "--format=vhd", "--json"]);
    assert_eq!((&report["format"], &report["subformat"]), (&"vhd".into(), &"dynamic".into()));
    assert_eq!(place.json(&["info", "--json", "pvs.vhd"])["block_size"], 2 << 20);
}

#[test]
fn what_a_target_does_not_take_is_refused_before_anything_is_written() {
    let place = Place::new();
    place.run(&["create", "large.vhdx", "--size", "3T"], DONE);
    place.run(&["create", "sectors.vhdx", "--size", "1G", "--sector-size", "4096"], DONE);
    let mut bytes = vec![0; 2 << 20];
    bytes[3..11].copy_from_slice(b"-FVE-FS-");
    place.file("bitlocker.raw", &bytes);
    for (source, target, word) in [
        ("large.vhdx", "azure", "2190433320960"),
        ("sectors.vhdx", "vsphere", "512"),
        ("bitlocker.raw", "aws", "BitLocker"),
    ] {
        let output = place.run(&["convert", source, "out", "--target", target], PRECONDITION);
        assert!(error_text(&output).contains(word), "{}", error_text(&output));
    }
    for arguments in [
        &["--target", "azure", "--format", "vhdx"][..],
        &["--target", "pvs", "--block-size", "1M"],
        &["--target", "vmware"],
    ] {
        // Before the source is looked at, too.
        place.run(&[&["convert", "missing.vhdx", "out"], arguments].concat(), USAGE);
    }
    assert_eq!(place.names(), ["bitlocker.raw", "large.vhdx", "sectors.vhdx"]);
    let output = place.run(&["convert", "bitlocker.raw", "out.vmdk", "--target", "vsphere"], DONE);
    assert!(error_text(&output).contains("encryption seen"), "{}", error_text(&output));
}

#[test]
fn containers_follow_the_option_the_target_or_the_name() {
    let place = Place::new();
    let source = place.raw("source.raw");
    let kind = |report: serde_json::Value| (report["format"].to_string(), report["subformat"].to_string());
    let ova = ("\"vmdk\"".to_owned(), "\"ova\"".to_owned());
    let tar_gz = ("\"raw\"".to_owned(), "\"tar.gz\"".to_owned());
    for (arguments, expected) in [
        (&["named.ova"][..], &ova),
        (&["asked.bin", "--format", "ova"], &ova),
        (&["vsphere.ova", "--target", "vsphere"], &ova),
        (&["named.tar.gz"], &tar_gz),
        (&["gcp.bin", "--target", "gcp"], &tar_gz),
    ] {
        let report = place.json(&[&["convert", text(&source)], arguments, &["--json"]].concat());
        assert_eq!(kind(report), *expected, "{arguments:?}");
    }
    let report = place.json(&["convert", text(&source), "gcp.tar.gz", "--target", "gcp", "--json"]);
    assert_eq!(report["virtual_size"], 1 << 30, "whole GiB");
    let piped = place.run(&["convert", text(&source), "-", "--format", "ova"], DONE).stdout;
    assert_eq!(&piped[..8], b"disk.ovf");
    place.run(&["convert", text(&source), "x.ova", "--target", "azure"], USAGE);
    let report = place.json(&["convert", text(&source), "x.tar.gz", "--verify", "--json"]);
    assert_eq!(report["verified"], true);
}

#[test]
fn sectors_that_the_output_does_not_tell_of_are_named() {
    let place = Place::new();
    place.run(&["create", "sectors.vhdx", "--size", "8M", "--sector-size", "4096"], DONE);
    for output in ["bare.raw", "bare.tar.gz"] {
        let adjustments =
            place.json(&["convert", "sectors.vhdx", output, "--json"])["adjustments"].to_string();
        assert!(adjustments.contains("4096"), "{output}: {adjustments}");
    }
    let said = place.run(&["convert", "sectors.vhdx", "target.raw", "--target", "raw"], DONE);
    assert!(error_text(&said).contains("4096"), "{}", error_text(&said));
    for output in ["telling.vhdx", "telling.vmdk"] {
        let report = place.json(&["convert", "sectors.vhdx", output, "--json"]);
        assert_eq!(report["adjustments"], serde_json::json!([]), "{output}");
    }
}
