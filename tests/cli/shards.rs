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

/// A plan of a disk of noise in `place`, to `out.vhd`, and what a copy in one piece makes of it.
#[cfg(unix)]
fn planned(place: &Place) -> Vec<u8> {
    let mut state = 1_u64;
    let noise = (0..1 << 18).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 16).to_le_bytes()
    });
    place.file("from.raw", &noise.collect::<Vec<_>>());
    let options = ["--format", "vhd", "--seed", "9", "--block-size", "512K"];
    place.run(&[&["convert", "from.raw", "whole.vhd"], &options[..]].concat(), DONE);
    let plan = place.run(&[&["plan", "from.raw", "out.vhd"], &options[..]].concat(), DONE).stdout;
    place.file("plan.json", &plan);
    fs::read(place.path("whole.vhd")).expect("reads")
}

#[cfg(unix)]
fn start(place: &Place, arguments: &[&str]) -> std::process::Child {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_diskport"));
    command.args(["convert", "--plan", "plan.json"]).args(arguments).current_dir(place.0.path());
    command.stderr(std::process::Stdio::null()).spawn().expect("diskport runs")
}

/// The same shard by several processes at once, and by one that is killed.
#[cfg(unix)]
#[test]
fn processes_that_write_the_same_shard_do_no_harm() {
    let place = Place::new();
    let whole = planned(&place);
    let shard = ["--shard", "1/2", "--rate-limit"];
    let mut killed = start(&place, &[&shard[..], &["256K"]].concat());
    while !place.names().iter().any(|name| name.ends_with("-partial")) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let rates = ["4M", "8M", "3M", "5M"];
    let running: Vec<_> = rates.map(|rate| start(&place, &[&shard[..], &[rate]].concat())).into();
    // Nobody finishes what others write to.
    let refused = place.run(&["convert", "--plan", "plan.json", "--finish"], PRECONDITION);
    assert!(!error_text(&refused).is_empty());
    killed.kill().and_then(|()| killed.wait()).expect("ends");
    for mut child in running {
        assert_eq!(child.wait().expect("ends").code(), Some(DONE));
    }
    place.run(&["convert", "--plan", "plan.json", "--shard", "2/2"], DONE);
    place.run(&["convert", "--plan", "plan.json", "--finish"], DONE);
    assert!(fs::read(place.path("out.vhd")).expect("reads") == whole);
    assert_eq!(place.names(), ["from.raw", "out.vhd", "plan.json", "whole.vhd"]);
}

/// An output is finished by one of those who try, and a shard that comes too late does not touch it.
#[cfg(unix)]
#[test]
fn an_output_is_finished_once() {
    let place = Place::new();
    let whole = planned(&place);
    let step = |more: &[&str], code| place.run(&[&["convert", "--plan", "plan.json"], more].concat(), code);
    for shard in ["1/2", "2/2"] {
        step(&["--shard", shard], DONE);
    }
    let finishing = [(); 4].map(|()| start(&place, &["--finish"]));
    let mut codes = finishing.map(|mut child| child.wait().expect("ends").code());
    codes.sort();
    assert_eq!(codes, [DONE, PRECONDITION, PRECONDITION, PRECONDITION].map(Some));
    let left = ["from.raw", "out.vhd", "plan.json", "whole.vhd"];
    assert_eq!(place.names(), left);

    step(&["--shard", "1/2"], PRECONDITION);
    step(&["--finish"], PRECONDITION);
    assert_eq!(place.names(), left);
    // Where it may be replaced, it is there until it is.
    step(&["--shard", "1/2", "--overwrite"], DONE);
    assert!(error_text(&step(&["--finish", "--overwrite"], PRECONDITION)).contains("2/2"));
    assert!(fs::read(place.path("out.vhd")).expect("reads") == whole);
    step(&["--shard", "2/2", "--overwrite"], DONE);
    let finishing = [(); 2].map(|()| start(&place, &["--finish", "--overwrite"]));
    let codes = finishing.map(|mut child| child.wait().expect("ends").code());
    assert!(
        codes.contains(&Some(DONE))
            && codes.iter().all(|code| [Some(DONE), Some(PRECONDITION)].contains(code))
    );
    assert!(fs::read(place.path("out.vhd")).expect("reads") == whole);
    assert_eq!(place.names(), left);
}
