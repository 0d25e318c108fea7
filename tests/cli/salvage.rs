//! `convert --salvage`, and the repair of what was cut.

use std::fs;

use super::place::{DIFFER, DONE, Place, REFUSED, USAGE, error_text, small, text};

/// The small image without its last bytes, which are a block's.
fn place(missing: u64) -> Place {
    let place = Place::new();
    let bytes = fs::read(small()).expect("reads");
    fs::write(place.path("cut.vhdx"), &bytes[..bytes.len() - missing as usize]).expect("writes");
    place
}

#[test]
fn what_can_be_read_is_written_and_the_rest_listed() {
    let place = place(1000);
    place.run(&["convert", "cut.vhdx", "out.raw"], REFUSED);
    assert!(!place.path("out.raw").exists());
    let output = place.run(&["convert", "cut.vhdx", "out.vhd", "--salvage", "--json", "--verify"], DIFFER);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let [loss] = &report["losses"].as_array().expect("a list")[..] else { panic!("{report}") };
    assert_eq!(loss["length"], 1000);
    assert!(
        loss["offset"].is_u64() && loss["cause"].as_str().is_some_and(|cause| cause.contains("cut.vhdx"))
    );
    let output = place.run(&["convert", "cut.vhdx", "other.vmdk", "--salvage"], DIFFER);
    let shown = error_text(&output);
    assert!(shown.contains(&format!("lost: 1000 bytes at {}: ", loss["offset"])), "{shown}");
    place.run(&["compare", "out.vhd", "other.vmdk"], DONE);
    // A repair comes to the same.
    let shown = place.run(&["check", "cut.vhdx"], DIFFER).stdout;
    assert!(String::from_utf8_lossy(&shown).contains("1000 bytes longer"));
    place.run(&["check", "cut.vhdx", "--repair", "--allow-loss"], DONE);
    place.run(&["compare", "cut.vhdx", "out.vhd"], DONE);
    assert_eq!(
        place.json(&["convert", "cut.vhdx", "whole.vhd", "--salvage", "--json"])["losses"],
        serde_json::json!([])
    );
}

#[test]
fn a_child_without_its_parent() {
    let place = Place::new();
    place.run(&["convert", text(&small()), "base.vhdx"], DONE);
    place.run(&["create", "child.vhdx", "--parent", "base.vhdx"], DONE);
    place.feed(&["write", "child.vhdx", "--offset", "0"], &[7; 4096], DONE);
    fs::remove_file(place.path("base.vhdx")).expect("removes");
    let shown = error_text(&place.run(&["convert", "child.vhdx", "out.raw", "--salvage"], DIFFER));
    assert!(shown.contains("bytes at 4096: ") && shown.contains("its parent was not found"), "{shown}");
    let found = fs::read(place.path("out.raw")).expect("reads");
    assert!(found[..4096] == [7; 4096] && found[4096..].iter().all(|&byte| byte == 0));
}

#[test]
fn what_goes_with_no_salvage() {
    let place = place(1);
    for args in [
        &["convert", "cut.vhdx", "out.raw", "--salvage", "--resume"][..],
        &["convert", "-", "out.raw", "--salvage", "--source-format", "raw", "--size", "1M"],
        &["plan", "cut.vhdx", "out.raw", "--salvage"],
        &["convert", "--plan", "plan.json", "--salvage", "--finish"],
    ] {
        assert!(error_text(&place.run(args, USAGE)).contains("--salvage"), "{args:?}");
    }
    assert!(!place.path("out.raw").exists());
}
