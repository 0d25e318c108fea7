//! `plan`, and `convert --plan`.

use std::fs;

use crate::place::{DONE, IO, PRECONDITION, Place, USAGE, error_text, small, text};

#[test]
fn a_plan_is_carried_out_in_shards() {
    let place = Place::new();
    fs::copy(small(), place.path("from.vhdx")).expect("copies");
    let options = ["--format", "vhd", "--size", "20M", "--seed", "9"];
    place.run(&[&["convert", "from.vhdx", "whole.vhd"], &options[..]].concat(), DONE);
    let plan = place.run(&[&["plan", "from.vhdx", "out.vhd"], &options[..]].concat(), DONE).stdout;
    place.file("plan.json", &plan);
    let step = |more: &[&str], code| place.run(&[&["convert", "--plan", "plan.json"], more].concat(), code);

    step(&["--finish"], PRECONDITION);
    for shard in ["3/3", "1/3", "3/3"] {
        step(&["--shard", shard], DONE);
    }
    assert!(error_text(&step(&["--finish"], PRECONDITION)).contains("2/3"));
    step(&["--shard", "2/3"], DONE);
    let partial = place.names().into_iter().find(|name| name.ends_with("-partial")).expect("is there");
    let mut bytes = fs::read(place.path(&partial)).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.file(&partial, &bytes);
    assert!(error_text(&step(&["--finish"], IO)).contains("damaged"));
    for shard in ["1/3", "2/3", "3/3"] {
        step(&["--shard", shard], DONE);
    }
    step(&["--finish"], DONE);
    assert!(
        fs::read(place.path("out.vhd")).expect("reads") == fs::read(place.path("whole.vhd")).expect("reads")
    );
    assert_eq!(place.names(), ["from.vhdx", "out.vhd", "plan.json", "whole.vhd"]);

    // It is there now, and can be made elsewhere.
    step(&["--shard", "1/1"], PRECONDITION);
    step(&["from.vhdx", "other.vhd", "--shard", "1/1"], DONE);
    step(&["from.vhdx", "other.vhd", "--finish"], DONE);
    place.run(&["compare", "from.vhdx", "whole.vhd"], crate::place::DIFFER);
    place.run(&["compare", "other.vhd", "whole.vhd"], DONE);

    for wrong in [&["--shard", "4/3"][..], &[], &["--shard", "1/2", "--finish"]] {
        step(wrong, USAGE);
    }
    place.run(&["convert", "from.vhdx", "x.vhd", "--finish"], USAGE);
    place.run(&["convert", "--plan", "from.vhdx", "--finish"], USAGE);
    place.run(&["convert"], USAGE);
    place.run(&["plan", "from.vhdx", "-", "--format", "vhd"], USAGE);
    place.run(&["plan", "from.vhdx", "x.vmdk", "--subformat", "streamOptimized"], USAGE);

    for planned in [
        &["--format", "raw"][..],
        &["--source-format", "vhdx"],
        &["--subformat", "fixed"],
        &["--target", "azure"],
        &["--size", "32M"],
        &["--block-size", "2M"],
        &["--level", "9"],
        &["--seed", "1"],
        &["--zeros", "scan"],
        &["--resume"],
        &["--verify"],
        &["--digest", "md5"],
        &["--resolve", "any"],
    ] {
        let refused = step(&[&["from.vhdx", "new.vhd", "--shard", "1/1"], planned].concat(), USAGE);
        assert!(error_text(&refused).contains(planned[0]), "{planned:?}");
    }
    for useless in [&["--verify"][..], &["--digest", "md5"], &["--resume"], &["--plan", "plan.json"]] {
        let refused = place.run(&[&["plan", "from.vhdx", "new.vhd"], useless].concat(), USAGE);
        assert!(error_text(&refused).contains(&format!("a plan takes no {}: ", useless[0])), "{useless:?}");
    }
    assert!(!place.names().iter().any(|name| name.contains("new.vhd")));

    let mut source = fs::read(place.path("from.vhdx")).expect("reads");
    source.push(0);
    place.file("from.vhdx", &source);
    let stale = step(&["from.vhdx", "third.vhd", "--shard", "1/1"], PRECONDITION);
    assert!(error_text(&stale).contains(text(std::path::Path::new("from.vhdx"))));
}
