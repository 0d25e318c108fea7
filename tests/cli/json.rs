//! With `--json`, what a command says on standard output is one document, also when it fails.

use std::process::Command;

use serde_json::Value;

use crate::place::{DONE, IO, PRECONDITION, Place, REFUSED, USAGE, error_text, text};

/// The document of a failure; what it says is also said on standard error.
#[track_caller]
fn failure(place: &Place, arguments: &[&str], code: i32) -> Value {
    let output = place.run(&[arguments, &["--json"]].concat(), code);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let document: Value =
        serde_json::from_str(&shown).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {shown:?}"));
    let error = document["error"].clone();
    assert_eq!(error["code"], code, "{arguments:?}: {shown}");
    let message = error["message"].as_str().expect("a message");
    let said = error_text(&output);
    assert!(!message.is_empty() && said.contains(message), "{arguments:?}: {message:?} and {said:?}");
    // The parser has words of its own.
    if let (Some(hint), true) = (error["hint"].as_str(), code != USAGE) {
        assert!(
            said.contains(hint.split(':').next().expect("words")),
            "{arguments:?}: {hint:?} and {said:?}"
        );
    }
    error
}

/// The commands, each with what it takes to be called rightly, for an image that is not there.
const CALLS: &[(&str, &[&str])] = &[
    ("info", &["absent.vhd"]),
    ("map", &["absent.vhd"]),
    ("hash", &["absent.vhd"]),
    ("compare", &["absent.vhd", "absent.vhd"]),
    ("diff", &["absent.vhd", "absent.vhd"]),
    ("read", &["absent.vhd", "--offset", "0", "--length", "1"]),
    ("create", &["new.vhd", "--parent", "absent.vhd"]),
    ("write", &["absent.vhd", "--offset", "0"]),
    ("resize", &["absent.vhd", "1M"]),
    ("compact", &["absent.vhd"]),
    ("merge", &["absent.vhd"]),
    ("rebase", &["absent.vhd", "--parent", "other.vhd"]),
    ("check", &["absent.vhd"]),
    ("convert", &["absent.vhd", "out.vhdx"]),
    ("plan", &["absent.vhd", "out.vhdx"]),
    ("update", &["absent.vhd", "absent.vhd"]),
    ("ebs-blocks", &["absent.vhd"]),
    ("partitions", &["absent.vhd"]),
    ("convert-to-gpt", &["absent.vhd", "out.vhd"]),
    ("convert-to-uefi", &["absent.vhd", "out.vhd"]),
    ("reverse-image", &["absent.vhd", "out.vmdk"]),
    ("inspect", &["absent.vhd"]),
    ("ls", &["absent.vhd"]),
    ("cat", &["absent.vhd", "/file"]),
    ("get", &["absent.vhd", "/file", "out"]),
    ("registry", &["absent.vhd", "get", "HKLM\\SOFTWARE"]),
];

/// The commands that the program says it has.
fn commands() -> Vec<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_diskport")).arg("--help").output().expect("diskport runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let (_, listed) = help.split_once("Commands:\n").expect("a list of commands");
    let listed = listed.split("\n\n").next().expect("a paragraph");
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !matches!(*name, "" | "help")).map(str::to_owned).collect()
}

#[test]
fn every_command_fails_with_a_document() {
    let place = Place::new();
    for command in commands() {
        let Some((_, arguments)) = CALLS.iter().find(|(name, _)| *name == command) else {
            panic!("{command}: say in CALLS how it is called");
        };
        let call = [&[command.as_str()], *arguments].concat();
        // Their bytes are no document.
        if !matches!(command.as_str(), "read" | "cat") {
            let error = failure(&place, &call, IO);
            assert_eq!(error["file"], "absent.vhd", "{command}: {error}");
            assert!(error["hint"].is_string(), "{command}: {error}");
        }
        let error = failure(&place, &[&call[..], &["--no-such-option"]].concat(), USAGE);
        assert!(error["message"].as_str().is_some_and(|text| text.contains("--no-such-option")), "{error}");
        assert!(error["hint"].is_string() && error["file"].is_null(), "{error}");
    }
    failure(&place, &["no-such-command"], USAGE);
    failure(&place, &["read", "absent.vhd", "--offset", "0", "--length", "1"], USAGE);
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn a_failure_says_where_it_lies() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "disk.vhd"], DONE);
    let mut image = std::fs::read(place.path("disk.vhd")).expect("an image");
    let footer = image.len() - 512;
    image[600] ^= 1;
    image[20] ^= 1;
    image[footer + 20] ^= 1;
    let broken = place.file("broken.vhd", &image);
    let error = failure(&place, &["hash", text(&broken), "--format", "vhd"], REFUSED);
    assert_eq!(error["file"], text(&broken), "{error}");
    assert!(error["offset"].is_u64(), "{error}");
    let error = failure(&place, &["resize", "disk.vhd", "512"], PRECONDITION);
    assert_eq!((&error["file"], error["offset"].is_u64()), (&Value::from("disk.vhd"), true), "{error}");
    let error = failure(&place, &["convert", "source.raw", "disk.vhd"], PRECONDITION);
    assert_eq!((&error["file"], &error["offset"]), (&Value::from("disk.vhd"), &Value::Null), "{error}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("--overwrite")), "{error}");
    // Behind `--` it is a name.
    let output = place.run(&["hash", "--", "--json"], IO);
    assert!(output.stdout.is_empty());
}

/// What is printed as it is found is a document, also when not all of it can be.
#[test]
fn a_document_that_was_begun_is_ended() {
    let place = Place::new();
    // Grains far behind one another, of which one lies beyond the end of the file.
    let mut content = vec![0; 64 << 20];
    content[..512].fill(1);
    content[40 << 20..][..512].fill(2);
    place.file("source.raw", &content);
    place.run(&["convert", "source.raw", "disk.vmdk"], DONE);
    let image = std::fs::read(place.path("disk.vmdk")).expect("an image");
    place.file("disk.vmdk", &image[..image.len() - (64 << 10)]);
    let last = |output: &std::process::Output| -> Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {:?}", output.stdout))
    };
    let map = last(&place.run(&["map", "disk.vmdk", "--json"], REFUSED));
    let rows = map.as_array().expect("a list");
    assert!(rows.len() > 1 && rows[0]["start"] == 0, "{map}");
    assert_eq!(rows[rows.len() - 1]["error"]["code"], REFUSED, "{map}");
    let diff = last(&place.run(&["diff", "disk.vmdk", "source.raw", "--json"], REFUSED));
    assert_eq!(diff["error"]["code"], REFUSED, "{diff}");
    assert!(diff["ranges"].is_array() && diff["identical"].is_null(), "{diff}");
    let blocks = last(&place.run(&["ebs-blocks", "disk.vmdk", "--json"], REFUSED));
    assert_eq!(blocks["error"]["code"], REFUSED, "{blocks}");
    assert!(blocks["blocks"].is_array() && blocks["checksum"].is_null(), "{blocks}");
}

/// What changes an image says in a document what it did, and nothing else on standard output.
#[test]
fn what_was_done_is_told_in_a_document() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "base.vhdx"], DONE);
    let json = |arguments: &[&str]| place.json(&[arguments, &["--json"]].concat());
    assert_eq!(json(&["create", "empty.vhdx", "--size", "4M"])["virtual_size"], 4 << 20);
    assert_eq!(json(&["create", "top.vhdx", "--parent", "base.vhdx"])["image"], "top.vhdx");
    let written = json(&["write", "top.vhdx", "--offset", "0", "--zeroes", "4K"]);
    assert_eq!((&written["length"], &written["offset"]), (&Value::from(4096), &Value::from(0)));
    let resized = json(&["resize", "empty.vhdx", "+4M"]);
    assert_eq!((&resized["before"], &resized["virtual_size"]), (&(4 << 20).into(), &(8 << 20).into()));
    assert!(json(&["compact", "empty.vhdx"])["file_size"].is_u64());
    std::fs::copy(place.path("base.vhdx"), place.path("copy.vhdx")).expect("copies");
    assert_eq!(json(&["rebase", "top.vhdx", "--parent", "copy.vhdx"])["parent"], "copy.vhdx");
    let top = serde_json::json!([text(&place.path("top.vhdx").canonicalize().expect("is there"))]);
    assert_eq!(json(&["merge", "top.vhdx", "--delete", "--dry-run"])["would_remove"], top);
    let merged = json(&["merge", "top.vhdx", "--delete"]);
    assert_eq!((&merged["layers"], &merged["removed"]), (&1.into(), &top));
}
