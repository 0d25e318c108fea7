//! The commands that change images in place.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{DIFFER, DONE, PRECONDITION, Place, REFUSED, USAGE, error_text, shell, text};

const FINDINGS: i32 = DIFFER;

/// What `read` gives of an image.
fn read(place: &Place, image: &str, offset: u64, len: u64) -> Vec<u8> {
    let (offset, len) = (offset.to_string(), len.to_string());
    place.run(&["read", image, "--offset", &offset, "--length", &len], DONE).stdout
}

#[test]
fn write_puts_standard_input_on_the_disk() {
    let place = Place::new();
    let source = place.raw("disk.raw");
    let mut expected = fs::read(&source).expect("the disk");
    place.feed(&["write", "disk.raw", "--offset", "1000"], b"some bytes", DONE);
    expected[1000..1010].copy_from_slice(b"some bytes");
    place.run(&["write", "disk.raw", "--offset", "64K", "--zeroes", "100K"], DONE);
    expected[64 << 10..164 << 10].fill(0);
    assert!(fs::read(&source).expect("the disk") == expected);
    place.run(&["write", "disk.raw", "--offset", "512K", "--discard", "64K"], DONE);
    assert_eq!(read(&place, "disk.raw", 512 << 10, 512), vec![0; 512]);
    place.run(&["write", "disk.raw", "--offset", "0", "--zeroes", "1", "--discard", "1"], USAGE);
    place.feed(&["write", "disk.raw", "--offset", "1M"], b"beyond", USAGE);
    place.run(&["write", "disk.raw", "--offset", "1M", "--zeroes", "1"], USAGE);
    assert_eq!(fs::metadata(&source).expect("the disk").len(), 1 << 20);
}

#[test]
fn resize_cuts_nothing_but_zeros_unless_told() {
    let place = Place::new();
    let source = place.raw("disk.raw");
    place.run(&["resize", "disk.raw", "2M"], DONE);
    assert_eq!(place.json(&["info", "--json", "disk.raw"])["virtual_size"], 2 << 20);
    place.run(&["resize", "disk.raw", "1M"], DONE);
    let output = place.run(&["resize", "disk.raw", "512K"], PRECONDITION);
    assert!(error_text(&output).contains("--allow-loss"), "{}", error_text(&output));
    assert_eq!(fs::metadata(&source).expect("the disk").len(), 1 << 20);
    place.run(&["resize", "disk.raw", "512K", "--allow-loss"], DONE);
    assert_eq!(fs::metadata(&source).expect("the disk").len(), 512 << 10);
    place.run(&["resize", "disk.raw", "0", "--allow-loss"], USAGE);
}

/// A base that gives space back has the content that it had, so that its children must not lose it.
#[test]
fn compact_gives_space_back_and_keeps_the_children() {
    for ending in ["vhd", "vhdx", "vmdk"] {
        let place = Place::new();
        let [base, child] = ["base", "child"].map(|name| format!("{name}.{ending}"));
        place.run(&["create", &base, "--size", "64M"], DONE);
        place.feed(&["write", &base, "--offset", "40M"], &[7; 4096], DONE);
        place.feed(&["write", &base, "--offset", "0"], &vec![0; 3 << 20], DONE);
        place.run(&["create", &child, "--parent", &base], DONE);
        let hash = || place.run(&["hash", &child], DONE).stdout;
        let (before, occupied) = (hash(), fs::metadata(place.path(&base)).expect("the base").len());
        place.run(&["compact", &base], DONE);
        assert!(fs::metadata(place.path(&base)).expect("the base").len() < occupied, "{ending}");
        assert_eq!(hash(), before, "{ending}");
    }
}

/// What is refused changes nothing: not even the identity by which children know the image.
#[test]
fn a_refused_resize_changes_nothing() {
    for (image, subformat) in [
        ("a.vhd", "dynamic"),
        ("b.vhdx", "dynamic"),
        ("c.vmdk", "monolithicSparse"),
        ("d.vmdk", "twoGbMaxExtentSparse"),
    ] {
        let place = Place::new();
        place.run(&["create", image, "--size", "64M", "--subformat", subformat], DONE);
        let before = fs::read(place.path(image)).expect("the image");
        place.run(&["resize", image, "128T"], PRECONDITION);
        assert!(fs::read(place.path(image)).expect("the image") == before, "{image}");
    }
}

#[test]
fn check_says_nothing_of_a_clean_image() {
    let place = Place::new();
    place.raw("disk.raw");
    let report = place.json(&["check", "--json", "disk.raw"]);
    assert_eq!((&report["format"], &report["clean"]), (&"raw".into(), &true.into()));
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    place.run(&["check", "disk.raw", "--repair"], DONE);
    place.run(&["check", "disk.raw", "--allow-loss"], USAGE);
    place.file("no-disk", b"no disk at all");
    place.run(&["check", "no-disk"], REFUSED);
}

#[test]
fn check_lists_what_is_wrong_and_repairs_it() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "disk.vhd"], DONE);
    let mut image = fs::read(place.path("disk.vhd")).expect("the image");
    let footer = image.len() - 512;
    image[footer..].fill(0);
    place.file("disk.vhd", &image);
    let output = place.run(&["check", "--json", "disk.vhd"], FINDINGS);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(report["clean"], false);
    let finding = &report["findings"][0];
    assert_eq!((&finding["severity"], &finding["structure"]), (&"warning".into(), &"footer".into()));
    assert!(finding["offset"].is_u64() && finding["repaired"] == false, "{finding}");
    for key in ["problem", "expected", "found", "consequence"] {
        assert!(finding[key].is_string(), "{key}: {finding}");
    }
    assert!(finding["repair"]["action"].is_string() && finding["repair"]["loses"].is_null(), "{finding}");
    let shown = place.run(&["check", "disk.vhd"], FINDINGS).stdout;
    assert!(String::from_utf8_lossy(&shown).contains("--repair would"));
    assert!(fs::read(place.path("disk.vhd")).expect("the image") == image, "nothing is changed unless told");
    let report = place.json(&["check", "--json", "--repair", "disk.vhd"]);
    assert_eq!((&report["clean"], &report["findings"][0]["repaired"]), (&true.into(), &true.into()));
    place.run(&["check", "disk.vhd"], DONE);
    place.run(&["compare", "disk.vhd", "source.raw"], DONE);
}

#[cfg(unix)]
#[test]
fn an_interrupt_while_waiting_for_input_ends_a_write() {
    let place = Place::new();
    let source = place.raw("disk.raw");
    let mut command = Command::new(env!("CARGO_BIN_EXE_diskport"));
    command.args(["write", "disk.raw", "--offset", "0"]).current_dir(place.0.path()).stdin(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().expect("diskport runs");
    // Kept open to the end: the input does not end.
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, &[7; 1 << 20]).expect("is read");
    // The piece is on the disk: the program waits for more.
    while fs::read(&source).expect("the disk") != [7; 1 << 20] {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Unlike SIGINT, it is not ignored where the tests run in the background.
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("kills");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    place.run(&["write", text(&source), "--offset", "0", "--zeroes", "512"], DONE);
}

#[cfg(unix)]
#[test]
fn input_that_passes_the_end_is_not_written_in_part_without_a_word() {
    let place = Place::new();
    let source = place.raw("disk.raw");
    let before = fs::read(&source).expect("the disk");
    place.file("input", &vec![7; 3 << 20]);
    assert_eq!(shell(&place, "\"$0\" write disk.raw --offset 512 < input 2>/dev/null"), Some(USAGE));
    assert!(fs::read(&source).expect("the disk") == before, "a file's length is known beforehand");
    place.raw("large.raw");
    place.run(&["resize", "large.raw", "2M"], DONE);
    let output = place.feed(&["write", "large.raw", "--offset", "512"], &vec![7; 3 << 20], USAGE);
    assert!(error_text(&output).contains("1048576 bytes were written"), "{}", error_text(&output));
}

#[test]
fn extents_are_locked_with_their_disk() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "disk.vmdk", "--subformat", "monolithicFlat"], DONE);
    fs::copy(place.path("disk.vmdk"), place.path("other.vmdk")).expect("copies");
    let held = diskport::Open::new().open_writable(place.path("disk.vmdk")).expect("opens");
    place.run(&["write", "other.vmdk", "--offset", "0", "--zeroes", "512"], PRECONDITION);
    let write = ["write", "disk-flat.vmdk", "--format", "raw", "--offset", "0", "--zeroes", "512"];
    place.run(&write, PRECONDITION);
    held.close().expect("closes");
    place.run(&write, DONE);
    // One file twice is one file.
    let text = fs::read_to_string(place.path("disk.vmdk")).expect("a descriptor");
    let line = text.lines().find(|line| line.starts_with("RW ")).expect("an extent").to_owned();
    let half = |from: u32| line.replace(" 2048 ", " 1024 ").replace("\" 0", &format!("\" {from}"));
    place.file("twice.vmdk", text.replace(&line, &format!("{}\n{}", half(0), half(1024))).as_bytes());
    place.feed(&["write", "twice.vmdk", "--offset", "512K"], &[9; 512], DONE);
    let flat = fs::read(place.path("disk-flat.vmdk")).expect("the extent");
    assert_eq!(flat[512 << 10..][..512], [9; 512]);
}

#[test]
fn what_the_kind_of_a_disk_forbids_is_a_precondition() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "split.vmdk", "--subformat", "twoGbMaxExtentSparse"], DONE);
    place.run(&["resize", "split.vmdk", "2M"], PRECONDITION);
    place.run(&["convert", "source.raw", "base.vhd"], DONE);
    place.run(&["create", "child.vhd", "--parent", "base.vhd"], DONE);
    place.run(&["resize", "child.vhd", "2M"], PRECONDITION);
    place.run(&["rebase", "child.vhd", "--parent", "child.vhd"], PRECONDITION);
    place.run(&["rebase", "base.vhd", "--parent", "source.raw"], PRECONDITION);
}

#[test]
fn a_change_of_a_parent_is_warned_of() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "base.vhdx"], DONE);
    place.run(&["create", "child.vhdx", "--parent", "base.vhdx"], DONE);
    let write = |image| place.run(&["write", "-q", image, "--offset", "0", "--zeroes", "512"], DONE);
    assert!(error_text(&write("base.vhdx")).contains("child.vhdx"));
    fs::remove_file(place.path("child.vhdx")).expect("goes away");
    assert_eq!(error_text(&write("base.vhdx")), "");
}

/// Each command that changes something says so in a line, unless it is to be quiet; errors are told all the same.
#[test]
fn what_was_done_is_said_in_one_line() {
    for quiet in [false, true] {
        let place = Place::new();
        place.raw("disk.raw");
        let told = |arguments: &[&str], input: &[u8], says: &[&str]| {
            let arguments = if quiet { [&["--quiet"], arguments].concat() } else { arguments.to_vec() };
            let said = error_text(&place.feed(&arguments, input, DONE));
            if quiet {
                assert_eq!(said, "", "{arguments:?}");
            } else {
                assert_eq!(
                    said.lines().filter(|line| !line.starts_with(' ')).count(),
                    1,
                    "{arguments:?}: {said}"
                );
                assert!(says.iter().all(|part| said.contains(part)), "{arguments:?}: {said}");
            }
        };
        told(&["create", "base.vhdx", "--size", "8M"], b"", &["base.vhdx", "8.000 MiB"]);
        told(&["create", "top.vhdx", "--parent", "base.vhdx"], b"", &["top.vhdx", "8.000 MiB"]);
        told(
            &["write", "top.vhdx", "--offset", "5"],
            b"seven b",
            &["top.vhdx", "7 bytes written", "offset 5"],
        );
        told(&["write", "top.vhdx", "--offset", "1M", "--zeroes", "1M"], b"", &["1.000 MiB", "made zeros"]);
        told(&["write", "top.vhdx", "--offset", "1M", "--discard", "1M"], b"", &["1.000 MiB", "discarded"]);
        told(&["compact", "top.vhdx"], b"", &["top.vhdx", "before", "now"]);
        told(&["check", "top.vhdx", "--repair"], b"", &["top.vhdx", "0 findings repaired, 0 left"]);
        told(&["rebase", "top.vhdx", "--parent", "base.vhdx"], b"", &["top.vhdx", "base.vhdx"]);
        told(&["merge", "top.vhdx"], b"", &["top.vhdx", "merged"]);
        told(&["convert", "disk.raw", "copy.vhd"], b"", &["copy.vhd", "1.000 MiB"]);
        told(&["update", "disk.raw", "copy.vhd"], b"", &["copy.vhd", "written"]);
        told(&["resize", "copy.vhd", "+1M"], b"", &["1.000 MiB", "before", "2.000 MiB", "now"]);
        let failed = place.run(&["resize", "copy.vhd", "512K", "--quiet"], PRECONDITION);
        assert!(error_text(&failed).contains("lose data"), "{}", error_text(&failed));
    }
}
