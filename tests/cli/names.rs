//! Names that lead to the parent, and others that do not.

use std::fs;

use crate::place::{DONE, PRECONDITION, Place, USAGE, error_text};

/// `a/base`, 4 MiB of it written, in an otherwise empty place with the folder `b`.
fn place(format: &str) -> Place {
    let place = Place::new();
    for folder in ["a", "b"] {
        fs::create_dir(place.path(folder)).expect("a folder");
    }
    make(&place, &format!("a/base.{format}"), 0x11);
    place
}

fn make(place: &Place, image: &str, byte: u8) {
    place.file("source.raw", &vec![byte; 4 << 20]);
    let kind = if image.ends_with("vmdk") { "monolithicSparse" } else { "dynamic" };
    place.run(&["convert", "source.raw", image, "--subformat", kind], DONE);
    fs::remove_file(place.path("source.raw")).expect("goes away");
}

const FORMATS: [&str; 3] = ["vhd", "vhdx", "vmdk"];

#[test]
fn a_child_called_like_its_parent_is_not_its_own_parent() {
    for format in FORMATS {
        let place = place(format);
        let [base, child] = ["a/base", "b/base"].map(|name| format!("{name}.{format}"));
        let output = place.run(&["create", &child, "--parent", &base], DONE);
        assert!(error_text(&output).contains("--resolve any"), "{}", error_text(&output));
        let output = place.run(&["hash", &child], PRECONDITION);
        assert!(error_text(&output).contains("--resolve any"), "{}", error_text(&output));
        place.run(&["compare", &child, &base, "--resolve", "any"], DONE);
        place.run(&["compare", &child, &base, "--parent", &base], DONE);
        fs::remove_file(place.path(&base)).expect("goes away");
        let output = place.run(&["hash", &child, "--resolve", "any"], PRECONDITION);
        assert!(error_text(&output).contains("not found"), "{}", error_text(&output));
    }
}

#[test]
fn an_image_called_like_the_parent_does_not_hide_the_policy() {
    for format in FORMATS {
        let place = place(format);
        let [base, child, other] = ["a/base", "b/child", "b/base"].map(|name| format!("{name}.{format}"));
        make(&place, &other, 0x22);
        place.run(&["create", &child, "--parent", &base], DONE);
        let output = place.run(&["hash", &child], PRECONDITION);
        assert!(error_text(&output).contains("--resolve any"), "{}", error_text(&output));
        place.run(&["compare", &child, &base, "--resolve", "any"], DONE);
    }
}

#[test]
fn a_moved_child_finds_its_parent_by_the_name_that_still_holds() {
    // A VMDK records one name.
    for format in ["vhd", "vhdx"] {
        let place = place(format);
        let [base, child, moved, other] =
            ["a/base", "a/child", "b/child", "b/base"].map(|name| format!("{name}.{format}"));
        make(&place, &other, 0x22);
        let output = place.run(&["create", &child, "--parent", &base], DONE);
        assert!(!error_text(&output).contains("does not open"), "{}", error_text(&output));
        fs::rename(place.path(&child), place.path(&moved)).expect("moves");
        let output = place.run(&["hash", &moved], PRECONDITION);
        assert!(error_text(&output).contains("is not the parent recorded"), "{}", error_text(&output));
        place.run(&["compare", &moved, &base, "--resolve", "any"], DONE);
    }
}

#[cfg(unix)]
#[test]
fn a_child_records_the_file_itself_and_no_link_to_it() {
    for format in FORMATS {
        let place = place(format);
        let [link, child] = ["a/link", "a/child"].map(|name| format!("{name}.{format}"));
        std::os::unix::fs::symlink(format!("base.{format}"), place.path(&link)).expect("a link");
        let output = place.run(&["create", &child, "--parent", &link], DONE);
        assert!(!error_text(&output).contains("does not open"), "{}", error_text(&output));
        place.run(&["compare", &child, &link], DONE);
    }
}

#[test]
fn a_name_that_says_another_format_is_refused() {
    let place = place("vhd");
    place.raw("disk.raw");
    for (image, parent) in
        [("b/new.vhdx", "a/base.vhd"), ("b/new.raw", "a/base.vhd"), ("b/new.vmdk", "disk.raw")]
    {
        place.run(&["create", image, "--parent", parent], USAGE);
    }
    place.run(&["create", "a/child.avhd", "--parent", "a/base.vhd"], DONE);
    for output in ["b/new.raw", "b/new.vhdx"] {
        place.run(&["merge", "a/child.avhd", "--output", output], USAGE);
        place.run(&["merge", "a/child.avhd", "--output", output, "--base", "a/base.vhd"], USAGE);
    }
    assert_eq!(fs::read_dir(place.path("b")).expect("the folder").count(), 0);
    place.run(&["merge", "a/child.avhd", "--output", "b/new.vhd"], DONE);
}

#[cfg(unix)]
#[test]
fn a_merge_removes_the_file_behind_a_link() {
    for format in FORMATS {
        let place = place(format);
        let [base, child, link] = ["a/base", "a/child", "a/link"].map(|name| format!("{name}.{format}"));
        place.run(&["create", &child, "--parent", &base], DONE);
        place.feed(&["write", &child, "--offset", "0"], &[0x33; 512], DONE);
        std::os::unix::fs::symlink(format!("child.{format}"), place.path(&link)).expect("a link");
        place.run(&["merge", &link, "--delete"], DONE);
        assert!(!place.path(&child).exists(), "{format}");
        assert_eq!(place.run(&["read", &base, "--offset", "0", "--length", "512"], DONE).stdout, [0x33; 512]);
    }
}

/// A disk in pieces is replaced whole, by whatever takes its name; files that are not its own stay.
#[test]
fn the_pieces_of_a_replaced_disk_go_with_it() {
    let place = Place::new();
    place.raw("source.raw");
    let split = ["--subformat", "twoGbMaxExtentSparse"];
    let ways: [&[&str]; 3] = [
        &["convert", "source.raw", "disk.vmdk", "--overwrite", split[0], split[1]],
        &["convert", "source.raw", "disk.vmdk", "--overwrite"],
        &["convert", "source.raw", "disk.vmdk", "--overwrite", "--format", "vhdx"],
    ];
    for (index, way) in ways.into_iter().enumerate() {
        place.run(&["create", "disk.vmdk", "--size", "5G", split[0], split[1]], DONE);
        place.run(&["create", "disk-s9.vmdk", "--size", "1M"], DONE);
        place.run(way, DONE);
        let pieces: &[&str] = if index == 0 { &["disk-s001.vmdk"] } else { &[] };
        let mut expected = [&["disk-s9.vmdk", "disk.vmdk", "source.raw"], pieces].concat();
        expected.sort_unstable();
        assert_eq!(place.names(), expected, "{way:?}");
        place.run(&["compare", "disk.vmdk", "source.raw"], DONE);
        for name in expected.iter().filter(|name| name.ends_with(".vmdk")) {
            std::fs::remove_file(place.path(name)).expect("is there");
        }
    }
    // One that the source still reads stays.
    place.run(&["create", "disk.vmdk", "--size", "5G", split[0], split[1]], DONE);
    let text = std::fs::read_to_string(place.path("disk.vmdk")).expect("is text");
    let last = text.lines().find(|line| line.contains("-s002.vmdk")).expect("is named");
    let is_other = |line: &&str| !line.contains("-s001.vmdk") && !line.contains("-s003.vmdk");
    let lines: Vec<_> = text.lines().filter(is_other).collect();
    assert!(lines.contains(&last));
    place.file("other.vmdk", (lines.join("\n") + "\n").as_bytes());
    place.run(&["convert", "other.vmdk", "disk.vmdk", "--overwrite"], DONE);
    assert!(place.path("disk-s002.vmdk").exists() && !place.path("disk-s003.vmdk").exists());
}

/// What comes before its ending need not be Unicode.
#[cfg(target_os = "linux")]
#[test]
fn the_ending_of_any_name_says_the_format() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    let place = Place::new();
    place.raw("source.raw");
    let name = OsStr::from_bytes(b"B\xfcro.vhdx");
    let run = |arguments: &[&OsStr]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskport"));
        let status = command.args(arguments).current_dir(place.0.path()).status().expect("diskport runs");
        assert_eq!(status.code(), Some(DONE), "{arguments:?}");
    };
    run(&["convert".as_ref(), "source.raw".as_ref(), name]);
    run(&["compare".as_ref(), "source.raw".as_ref(), name]);
    run(&["create".as_ref(), OsStr::from_bytes(b"\xff.vhdx"), "--size".as_ref(), "4M".as_ref()]);
}

/// A name in no UTF-8 is shown so that it cannot be taken for another, and can be given to a shell; a descriptor, which has
/// its pieces' names in UTF-8, cannot have it.
#[cfg(target_os = "linux")]
#[test]
fn names_in_no_utf8_are_told_from_one_another() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::{Command, Output};

    use crate::place::{IO, REFUSED};

    let place = Place::new();
    place.raw("source.raw");
    let run = |arguments: &[&[u8]], code: i32| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskport"));
        let arguments = arguments.iter().map(|argument| OsStr::from_bytes(argument));
        let output = command.args(arguments).current_dir(place.0.path()).output().expect("diskport runs");
        assert_eq!(output.status.code(), Some(code), "{}", error_text(&output));
        output
    };
    let (umlaut, other) = (&b"B\xfcro.vhdx"[..], &b"B\xfdro.vhdx"[..]);
    let said = error_text(&run(&[b"convert", b"source.raw", umlaut], DONE));
    assert!(said.contains("$'B\\xfcro.vhdx': dynamic VHDX"), "{said}");
    assert!(error_text(&run(&[b"hash", other], IO)).contains("$'B\\xfdro.vhdx'"));
    assert!(
        error_text(&run(&[b"convert", b"source.raw", umlaut], PRECONDITION)).contains("$'B\\xfcro.vhdx'")
    );
    let info = run(&[b"info", umlaut, b"--json"], DONE).stdout;
    let info: serde_json::Value = serde_json::from_slice(&info).expect("a document");
    assert_eq!(info["files"][0]["path"], "$'B\\xfcro.vhdx'");
    // As it is shown, a shell takes it.
    let shell = |line: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", line, env!("CARGO_BIN_EXE_diskport")]).current_dir(place.0.path());
        shell.output().expect("bash runs").status.code()
    };
    assert_eq!(shell("\"$0\" compare source.raw $'B\\xfcro.vhdx'"), Some(DONE));
    let before = fs::read_dir(place.0.path()).expect("a folder").count();
    for kind in [&b"monolithicFlat"[..], b"twoGbMaxExtentSparse", b"twoGbMaxExtentFlat", b"vmfs"] {
        let said = error_text(&run(
            &[b"convert", b"source.raw", b"B\xfcro.vmdk", b"--subformat", kind],
            PRECONDITION,
        ));
        assert!(
            said.contains("a descriptor cannot record such a name") && said.contains("another name"),
            "{said}"
        );
        run(&[b"create", b"B\xfcro.vmdk", b"--size", b"1M", b"--subformat", kind], PRECONDITION);
    }
    assert_eq!(fs::read_dir(place.0.path()).expect("a folder").count(), before, "nothing is left");
    run(&[b"convert", b"source.raw", b"B\xfcro.vmdk"], DONE);
    run(&[b"compare", b"source.raw", b"B\xfcro.vmdk"], DONE);
    // In a folder of such a name, plain names do.
    fs::create_dir(place.0.path().join(OsStr::from_bytes(b"d\xff"))).expect("a folder");
    run(
        &[b"convert", b"source.raw", b"d\xff/disk.vmdk", b"--subformat", b"twoGbMaxExtentFlat", b"--verify"],
        DONE,
    );
    run(&[b"compare", b"source.raw", b"d\xff/disk.vmdk"], DONE);
    fs::remove_file(place.0.path().join(OsStr::from_bytes(b"d\xff/disk-f001.vmdk"))).expect("goes away");
    assert!(error_text(&run(&[b"hash", b"d\xff/disk.vmdk"], REFUSED)).contains("$'d\\xff/disk.vmdk'"));
}

/// A name that the file system, or a descriptor, cannot have is told of with what helps.
#[cfg(unix)]
#[test]
fn names_that_cannot_be_had_come_with_advice() {
    let place = Place::new();
    place.raw("source.raw");
    let long = format!("{}.vmdk", "x".repeat(251));
    let said = error_text(&place.run(&["convert", "source.raw", &long], crate::place::IO));
    assert!(said.contains("choose another name"), "{said}");
    place.run(&["convert", "source.raw", "quo\"te.vmdk"], DONE);
    let said = error_text(&place.run(&["create", "child.vmdk", "--parent", "quo\"te.vmdk"], PRECONDITION));
    assert!(
        said.contains("quo\"te.vmdk: a descriptor cannot") && said.contains("choose another name"),
        "{said}"
    );
    // What a terminal would take for more than a letter is escaped.
    let said = error_text(&place.run(&["hash", "a\n\u{1b}[2J.vhd"], crate::place::IO));
    assert!(said.contains("$'a\\x0a\\x1b[2J.vhd'"), "{said}");
}
