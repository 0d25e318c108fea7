//! Where outputs go: names that end in another format, and pipes.

use std::fs;

use super::place::{DONE, Place, error_text, text};
#[cfg(unix)]
use super::place::{IO, PRECONDITION, shell};

/// A format that is said counts; a name that says another is warned of, and what it then needs is said.
#[test]
fn a_name_that_ends_in_another_format_is_warned_of() {
    let place = Place::new();
    let source = place.raw("source.raw");
    for (name, format, warned) in [
        ("out.vhdx", "vhd", true),
        ("out.vmdk", "vhdx", true),
        ("out.avhdx", "vhdx", false),
        ("out.vhd", "vhd", false),
        ("out.raw", "raw", false),
        ("out.vhd", "raw", true),
        ("out.img", "vhd", true),
        ("out.bin", "vhdx", true),
        ("out.img", "tar.gz", true),
        ("out.tar.gz", "raw", true),
        ("out.ova", "vmdk", true),
        ("out.other", "vmdk", false),
    ] {
        let said = error_text(&place.run(&["convert", text(&source), name, "--format", format], DONE));
        assert_eq!(
            said.contains("warning") && said.contains("its name ends"),
            warned,
            "{name}, {format}: {said}"
        );
        if let Some((_, hint)) = said.split_once("it opens with ") {
            let hint: Vec<_> = hint.split_whitespace().take(2).collect();
            place.run(&["info", name, hint[0], hint[1]], DONE);
        }
        fs::remove_file(place.path(name)).expect("removes");
    }
    let said = error_text(&place.run(&["convert", text(&source), "out.vmdk", "--target", "azure"], DONE));
    assert!(said.contains("out.vmdk: is fixed VHD, and its name ends as that of VMDK"), "{said}");
    let said = error_text(&place.run(&["create", "new.img", "--size", "4M", "--format", "vhdx"], DONE));
    assert!(said.contains("it opens with --format vhdx"), "{said}");
}

/// What a pipe gives is standard input, and what goes into one is standard output.
#[cfg(unix)]
#[test]
fn a_pipe_is_told_to_come_as_a_dash() {
    let place = Place::new();
    let content = fs::read(place.raw("source.raw")).expect("reads");
    crate::fifo::fifo(&place.path("in"));
    let line = "\"$0\" convert in out.vhdx --source-format raw 2> said";
    assert_eq!(shell(&place, line), Some(IO));
    let said = fs::read_to_string(place.path("said")).expect("said something");
    assert!(said.contains("pipe") && said.contains("which is -"), "{said}");
    let line =
        format!("cat source.raw | \"$0\" convert - out.vhdx --source-format raw --size {}", content.len());
    assert_eq!(shell(&place, &line), Some(0));
    place.run(&["compare", "source.raw", "out.vhdx"], DONE);
    crate::fifo::fifo(&place.path("pipe"));
    let line = "\"$0\" convert out.vhdx pipe --format raw --overwrite 2> said";
    assert_eq!(shell(&place, line), Some(PRECONDITION));
    let said = fs::read_to_string(place.path("said")).expect("said something");
    assert!(said.contains("which is -"), "{said}");
    let line = "(\"$0\" convert out.vhdx - --format raw > pipe &) && cat pipe > out.raw";
    assert_eq!(shell(&place, line), Some(0));
    assert!(fs::read(place.path("out.raw")).expect("reads") == content);
}
