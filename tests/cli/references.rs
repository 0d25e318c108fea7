//! Names that images record for their parents and extents: what is written is read back, and each hint works.

use std::fs;
use std::path::Path;

use crate::place::{DONE, PRECONDITION, Place, REFUSED, USAGE, error_text};

const FORMATS: [&str; 3] = ["vhd", "vhdx", "vmdk"];

/// 2 MiB of content, as `source.raw`.
fn source(place: &Place) {
    let content: Vec<u8> =
        (0..512 * 1024_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    place.file("source.raw", &content);
}

fn base(place: &Place, image: &str) {
    source(place);
    let kind = if image.ends_with("vmdk") { "monolithicSparse" } else { "dynamic" };
    place.run(&["convert", "source.raw", image, "--subformat", kind], DONE);
}

#[track_caller]
fn assert_same(place: &Place, image: &str, options: &[&str]) {
    place.run(&[&["compare", image, "source.raw"][..], options].concat(), DONE);
}

/// What follows `option` in a hint, as a shell would give it.
fn after(text: &str, option: &str) -> String {
    let (_, rest) = text.split_once(&format!("{option} ")).unwrap_or_else(|| panic!("{option} in {text}"));
    rest.split([' ', ',', '\n']).next().expect("a word").to_owned()
}

/// On Unix `:` and `\` are letters, and no name is a device.
#[cfg(unix)]
#[test]
fn names_that_another_system_reads_otherwise_are_read_as_they_stand() {
    for name in ["2024-01-02T10:11:12", "a\\b", "con", "nul.x", "C:\\d", ".\\e", "json:{}", "f "] {
        let place = Place::new();
        source(&place);
        for kind in ["monolithicFlat", "twoGbMaxExtentSparse", "vmfs"] {
            let image = format!("{name}{kind}.vmdk");
            place.run(&["convert", "source.raw", &image, "--subformat", kind, "--verify"], DONE);
            assert_same(&place, &image, &[]);
            place.feed(
                &["write", &image, "--offset", "0"],
                &fs::read(place.path("source.raw")).unwrap()[..512],
                DONE,
            );
        }
        for format in FORMATS {
            let [parent, child, copy] =
                [name, "child", &format!("copy {name}")].map(|name| format!("{name}.{format}"));
            base(&place, &parent);
            let output = place.run(&["create", &child, "--parent", &parent], DONE);
            assert!(!error_text(&output).contains("warning"), "{}", error_text(&output));
            assert_same(&place, &child, &[]);
            fs::copy(place.path(&parent), place.path(&copy)).expect("copies");
            let output = place.run(&["rebase", &child, "--parent", &copy], DONE);
            assert!(!error_text(&output).contains("warning"), "{}", error_text(&output));
            fs::remove_file(place.path(&parent)).expect("goes away");
            assert_same(&place, &child, &[]);
            let merged = format!("{name} merged.{format}");
            place.run(&["merge", &child, "--output", &merged, "--base", &copy], DONE);
            assert_same(&place, &merged, &[]);
        }
    }
}

/// Nothing is left, and nothing changed, where no policy could find the parent.
#[cfg(target_os = "linux")]
#[test]
fn a_parent_that_no_recorded_name_leads_to_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    base(&place, "base.vhdx");
    place.run(&["create", "child.vhdx", "--parent", "base.vhdx"], DONE);
    let before = fs::read(place.path("child.vhdx")).expect("the child");
    fs::create_dir(place.path("x\\y")).expect("a folder");
    for parent in [Path::new("x\\y/moved.vhdx"), Path::new(OsStr::from_bytes(b"B\xfcro.vhdx"))] {
        let path = place.0.path().join(parent);
        fs::copy(place.path("base.vhdx"), &path).expect("copies");
        fs::rename(&path, place.path("plain.vhdx")).expect("moves");
        fs::rename(place.path("plain.vhdx"), &path).expect("moves");
        for command in
            [&["create", "new.vhdx"][..], &["rebase", "child.vhdx"], &["rebase", "child.vhdx", "--unsafe"]]
        {
            let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_diskport"));
            run.args(command).arg("--parent").arg(parent).current_dir(place.0.path());
            let output = run.output().expect("diskport runs");
            let said = error_text(&output);
            assert_eq!(output.status.code(), Some(PRECONDITION), "{command:?}: {said}");
            assert!(said.contains("no name that it can record"), "{said}");
            assert!(!place.path("new.vhdx").exists());
            assert!(fs::read(place.path("child.vhdx")).expect("the child") == before);
        }
        // The hint: beside the child, under a name that can be read anywhere.
        fs::rename(&path, place.path("plain.vhdx")).expect("moves");
        place.run(&["create", "new.vhdx", "--parent", "plain.vhdx"], DONE);
        assert_same(&place, "new.vhdx", &[]);
        fs::remove_file(place.path("new.vhdx")).expect("goes away");
    }
}

#[test]
fn a_child_that_needs_another_policy_is_told_of_with_the_option() {
    for format in FORMATS {
        let place = Place::new();
        for folder in ["a", "b"] {
            fs::create_dir(place.path(folder)).expect("a folder");
        }
        let [first, second] = ["a/base", "b/base"].map(|name| format!("{name}.{format}"));
        let [child, merged] = ["a/child", "b/merged"].map(|name| format!("{name}.{format}"));
        base(&place, &first);
        place.run(&["create", &child, "--parent", &first], DONE);
        fs::rename(place.path(&first), place.path(&second)).expect("moves");
        // It bears the identity recorded: its place is recorded, and nothing else written.
        let said = error_text(&place.run(&["rebase", &child, "--parent", &second], DONE));
        assert!(said.contains("warning") && said.contains("--resolve any"), "{said}");
        place.run(&["hash", &child], PRECONDITION);
        assert_same(&place, &child, &["--resolve", "any"]);
        let said = error_text(
            &place.run(&["merge", &child, "--resolve", "any", "--output", &merged, "--base", &second], DONE),
        );
        assert!(!said.contains("warning"), "it lies beside its parent: {said}");
        assert_same(&place, &merged, &[]);
    }
}

#[test]
fn a_moved_parent_that_bears_the_recorded_identity_is_relinked() {
    for format in FORMATS {
        let place = Place::new();
        fs::create_dir(place.path("d")).expect("a folder");
        let [old, new, child] = ["base", "d/renamed", "child"].map(|name| format!("{name}.{format}"));
        base(&place, &old);
        place.run(&["create", &child, "--parent", &old], DONE);
        fs::rename(place.path(&old), place.path(&new)).expect("moves");
        let output = place.run(&["rebase", &child, "--parent", &new], DONE);
        assert!(!error_text(&output).contains("warning"), "{}", error_text(&output));
        assert_same(&place, &child, &[]);
        // Another image's identity is another matter, whatever lies in the old place.
        fs::rename(place.path(&new), place.path(&old)).expect("moves");
        let other = format!("other.{format}");
        base(&place, &other);
        let before = fs::read(place.path(&child)).expect("the child");
        place.run(&["rebase", &child, "--parent", &other], PRECONDITION);
        assert!(fs::read(place.path(&child)).expect("the child") == before);
    }
}

/// Names that a system without regard to case, or to the form of `ö`, has changed.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_differs_in_case_or_form_alone_is_found_where_it_is_the_only_one() {
    for (recorded, found, another) in [
        ("base", "Base", "BASE"),
        ("gr\u{f6}\u{df}e", "gro\u{308}\u{df}e", "Gr\u{f6}\u{df}e"),
        ("gro\u{308}\u{df}e", "GR\u{d6}\u{df}E", "gr\u{f6}\u{df}e"),
    ] {
        for format in FORMATS {
            let place = Place::new();
            let [recorded, found, another, child] =
                [recorded, found, another, "child"].map(|name| format!("{name}.{format}"));
            base(&place, &recorded);
            place.run(&["create", &child, "--parent", &recorded], DONE);
            fs::rename(place.path(&recorded), place.path(&found)).expect("moves");
            for policy in ["same-directory", "any"] {
                assert_same(&place, &child, &["--resolve", policy]);
            }
            fs::copy(place.path(&found), place.path(&another)).expect("copies");
            let said = error_text(&place.run(&["hash", &child], PRECONDITION));
            assert!(said.contains(&found) && said.contains(&another), "{said}");
            assert!(said.contains("--parent"), "{said}");
            assert_same(&place, &child, &["--parent", &found]);
        }
        let place = Place::new();
        source(&place);
        let [image, extent, other, twin] = [
            "disk.vmdk",
            &format!("{recorded}-flat.vmdk"),
            &format!("{found}-flat.vmdk"),
            &format!("{another}-flat.vmdk"),
        ]
        .map(str::to_owned);
        place.run(
            &["convert", "source.raw", &format!("{recorded}.vmdk"), "--subformat", "monolithicFlat"],
            DONE,
        );
        fs::rename(place.path(&format!("{recorded}.vmdk")), place.path(&image)).expect("moves");
        fs::rename(place.path(&extent), place.path(&other)).expect("moves");
        assert_same(&place, &image, &[]);
        place.run(&["write", &image, "--offset", "1M", "--zeroes", "512"], DONE);
        fs::copy(place.path(&other), place.path(&twin)).expect("copies");
        let said = error_text(&place.run(&["hash", &image], REFUSED));
        assert!(said.contains(&other) && said.contains(&twin) && said.contains("--extent"), "{said}");
        place.run(&["hash", &image, "--extent", &format!("{extent}={other}")], DONE);
    }
}

#[test]
fn an_extent_lies_where_the_caller_says() {
    let place = Place::new();
    source(&place);
    fs::create_dir_all(place.path("far/away")).expect("a folder");
    place.run(&["convert", "source.raw", "disk.vmdk", "--subformat", "monolithicFlat"], DONE);
    fs::rename(place.path("disk-flat.vmdk"), place.path("far/away/flat.bin")).expect("moves");
    let said = error_text(&place.run(&["hash", "disk.vmdk"], REFUSED));
    assert!(said.contains("--extent NAME=PATH"), "{said}");
    let extent = ["--extent", "disk-flat.vmdk=far/away/flat.bin"];
    assert_same(&place, "disk.vmdk", &extent);
    let run = |arguments: &[&str]| place.run(&[arguments, &extent].concat(), DONE);
    let same = fs::read(place.path("source.raw")).expect("the source");
    place.feed(&[&["write", "disk.vmdk", "--offset", "4096"][..], &extent].concat(), &same[4096..8192], DONE);
    for command in ["info", "map", "hash", "check", "partitions"] {
        run(&[command, "disk.vmdk"]);
    }
    run(&["convert", "disk.vmdk", "out.vhdx"]);
    assert_same(&place, "out.vhdx", &[]);
    run(&["create", "child.vmdk", "--parent", "disk.vmdk"]);
    assert_same(&place, "child.vmdk", &extent);
    for wrong in ["disk-flat.vmdk", "=x", "x="] {
        place.run(&["hash", "disk.vmdk", "--extent", wrong], USAGE);
    }
}

/// A place for an extent that there is not is a slip: the names that there are are told, wherever they are looked for.
#[test]
fn a_place_for_no_extent_is_refused_with_the_names_that_there_are() {
    let place = Place::new();
    source(&place);
    place.run(&["convert", "source.raw", "disk.vmdk", "--subformat", "monolithicFlat"], DONE);
    fs::rename(place.path("disk-flat.vmdk"), place.path("away.bin")).expect("moves");
    let wrong = ["--extent", "disc-flat.vmdk=away.bin"];
    let commands: [&[&str]; 8] = [
        &["info", "disk.vmdk"],
        &["map", "disk.vmdk"],
        &["hash", "disk.vmdk"],
        &["check", "disk.vmdk"],
        &["compare", "disk.vmdk", "source.raw"],
        &["convert", "disk.vmdk", "out.raw"],
        &["convert", "disk.vmdk", "out.raw", "--salvage"],
        &["write", "disk.vmdk", "--offset", "0", "--zeroes", "512"],
    ];
    for command in commands {
        let refuse = |place: &Place| {
            let said = error_text(&place.run(&[command, &wrong].concat(), USAGE));
            assert!(said.contains("\"disc-flat.vmdk\"") && said.contains("\"disk-flat.vmdk\""), "{said}");
        };
        // Whether the extent is missed, or is found where it is looked for anyway.
        refuse(&place);
        fs::copy(place.path("away.bin"), place.path("disk-flat.vmdk")).expect("copies");
        refuse(&place);
        fs::remove_file(place.path("disk-flat.vmdk")).expect("goes away");
    }
    let said = error_text(&place.run(&["hash", "source.raw", wrong[0], wrong[1]], USAGE));
    assert!(said.contains("no descriptor"), "{said}");
    // Of a chain, every layer's count; of two images, each has its own.
    let right = ["--extent", "disk-flat.vmdk=away.bin"];
    place.run(&[&["create", "child.vmdk", "--parent", "disk.vmdk"], &right[..]].concat(), DONE);
    assert_same(&place, "child.vmdk", &right);
    place.run(&["compare", "source.raw", "disk.vmdk", "--extent-b", right[1]], DONE);
    place.run(&["compare", "source.raw", "disk.vmdk", right[0], right[1]], USAGE);
    place.run(&["compare", "disk.vmdk", "child.vmdk", right[0], right[1], "--extent-b", right[1]], DONE);
    place.run(&["update", "disk.vmdk", "source.raw", "--source-extent", right[1]], DONE);
    place.run(&["ebs-blocks", "source.raw", "--since", "disk.vmdk", "--since-extent", right[1]], DONE);
}

/// As a disk lies that was copied from a datastore: the descriptor names its extent by where it was.
#[test]
fn the_last_part_of_an_absolute_name_counts_in_the_images_own_folder() {
    for path in ["/vmfs/volumes/5f0c/vm/", "C:\\vm\\", "\\\\server\\share\\"] {
        let place = Place::new();
        source(&place);
        place.run(&["convert", "source.raw", "disk.vmdk", "--subformat", "monolithicFlat"], DONE);
        let text = fs::read_to_string(place.path("disk.vmdk")).expect("a descriptor");
        place.file("disk.vmdk", text.replace("disk-flat", &format!("{path}disk-flat")).as_bytes());
        for policy in ["same-directory", "any"] {
            assert_same(&place, "disk.vmdk", &["--resolve", policy]);
        }
        place.run(&["hash", "disk.vmdk", "--resolve", "none"], REFUSED);
        // What is not there is refused, with what helps.
        fs::rename(place.path("disk-flat.vmdk"), place.path("elsewhere.bin")).expect("moves");
        let said = error_text(&place.run(&["hash", "disk.vmdk"], REFUSED));
        assert!(said.contains("--extent NAME=PATH"), "{said}");
        assert_same(&place, "disk.vmdk", &["--extent", "disk-flat.vmdk=elsewhere.bin"]);
    }
}

/// VirtualBox records no name of the parent, only its UUID; so is a parent that was renamed known by its own.
#[test]
fn the_hint_names_the_file_that_bears_the_identity() {
    let place = Place::new();
    source(&place);
    let (own, parent) = ("aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002");
    for (name, uuid) in [("base", parent), ("other", own)] {
        let image = format!("{name}.vmdk");
        place.run(&["convert", "source.raw", &image, "--subformat", "monolithicFlat"], DONE);
        let text = fs::read_to_string(place.path(&image)).expect("a descriptor");
        place.file(&image, format!("{text}ddb.uuid.image=\"{uuid}\"\n").as_bytes());
    }
    let text = fs::read_to_string(place.path("other.vmdk")).expect("a descriptor");
    let text = text.replace("parentCID=ffffffff", "parentCID=12345678");
    place.file("child.vmdk", format!("{text}ddb.uuid.parent=\"{parent}\"\n").as_bytes());
    fs::remove_file(place.path("other.vmdk")).expect("goes away");
    let said = error_text(&place.run(&["hash", "child.vmdk"], PRECONDITION));
    assert_eq!(after(&said, "--parent"), "base.vmdk", "{said}");
    assert_same(&place, "child.vmdk", &["--parent", "base.vmdk"]);
    assert!(said.contains("diskport rebase child.vmdk --parent base.vmdk"), "{said}");
    place.run(&["rebase", "child.vmdk", "--parent", "base.vmdk"], DONE);
    assert_same(&place, "child.vmdk", &[]);
    for format in FORMATS {
        let [old, new, child] = ["old", "new name", "kid"].map(|name| format!("{name}.{format}"));
        base(&place, &old);
        place.run(&["create", &child, "--parent", &old], DONE);
        fs::rename(place.path(&old), place.path(&new)).expect("moves");
        let said = error_text(&place.run(&["hash", &child], PRECONDITION));
        assert!(said.contains(&format!("--parent {new}")), "{said}");
        place.run(&["rebase", &child, "--parent", &new], DONE);
        assert_same(&place, &child, &[]);
    }
}
