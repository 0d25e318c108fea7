//! `diff`, `update` and `ebs-blocks`.

use std::fs;

use super::place::{DIFFER, DONE, PRECONDITION, Place, USAGE, small, text};

const MIB: u64 = 1 << 20;

/// The small image and a copy of it in which two ranges differ.
fn place() -> Place {
    let place = Place::new();
    place.run(&["convert", text(&small()), "new.vhd"], DONE);
    place.feed(&["write", "new.vhd", "--offset", "3M"], &[7; 10_000], DONE);
    place.run(&["write", "new.vhd", "--offset", "0", "--zeroes", "64K"], DONE);
    place
}

#[test]
fn diff_lists_the_ranges() {
    let place = place();
    let old = small();
    let output = place.run(&["diff", text(&old), "new.vhd", "--json"], DIFFER);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(found["sizes"], serde_json::json!([16 * MIB, 16 * MIB]));
    assert_eq!(found["identical"], false);
    let ranges = found["ranges"].as_array().expect("a list");
    assert_eq!((&ranges[0]["start"], &ranges[0]["kind"]), (&0.into(), &"zero".into()));
    let last = ranges.last().expect("a range");
    assert_eq!(*last, serde_json::json!({ "start": 3 * MIB, "length": 12288, "kind": "data" }));
    let table = String::from_utf8(place.run(&["diff", text(&old), "new.vhd"], DIFFER).stdout).expect("text");
    assert!(table.lines().any(|line| line.split_whitespace().eq(["3145728", "12288", "data"])), "{table}");
    let same = place.json(&["diff", text(&old), text(&old), "--json"]);
    assert_eq!((&same["identical"], &same["ranges"]), (&true.into(), &serde_json::json!([])));
}

#[test]
fn update_writes_what_differs() {
    let place = place();
    place.run(&["convert", text(&small()), "copy.vmdk"], DONE);
    let report = place.json(&["update", "new.vhd", "copy.vmdk", "--json"]);
    assert_eq!(report["written"], 12_288);
    place.run(&["compare", "new.vhd", "copy.vmdk"], DONE);
    assert_eq!(place.json(&["update", "new.vhd", "copy.vmdk", "--json"])["written"], 0);
    // The same bytes from the other side.
    place.run(&["update", text(&small()), "copy.vmdk"], DONE);
    place.run(&["compare", text(&small()), "copy.vmdk"], DONE);
    let before = fs::read(place.raw("other.raw")).expect("reads");
    place.run(&["update", "new.vhd", "other.raw"], PRECONDITION);
    assert!(fs::read(place.path("other.raw")).expect("reads") == before);
}

#[test]
fn ebs_blocks_are_listed_with_their_digests() {
    let place = place();
    let all = place.json(&["ebs-blocks", "new.vhd", "--json"]);
    let blocks = all["blocks"].as_array().expect("a list");
    assert_eq!((&all["block_size"], &all["changed_blocks"]), (&524_288.into(), &blocks.len().into()));
    assert_eq!(all["volume_gib"], 1);
    let since = place.json(&["ebs-blocks", "new.vhd", "--since", text(&small()), "--json"]);
    let indexes: Vec<_> =
        since["blocks"].as_array().expect("a list").iter().map(|row| &row["index"]).collect();
    assert_eq!(indexes, [0, 6]);
    let table = String::from_utf8(place.run(&["ebs-blocks", "new.vhd"], DONE).stdout).expect("text");
    assert!(table.contains(all["checksum"].as_str().expect("text")), "{table}");
    place.run(&["ebs-blocks", "new.vhd", "--since-format", "raw"], USAGE);
}
