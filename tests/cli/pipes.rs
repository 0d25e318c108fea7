//! Outputs on standard output.

use std::fs;

use crate::place::{DONE, Place, USAGE, error_text, small, text};

/// Format, kind, and whether the kind is one file.
const KINDS: [(&str, &str, bool); 11] = [
    ("raw", "raw", true),
    ("vhd", "fixed", true),
    ("vhd", "dynamic", true),
    ("vhdx", "fixed", true),
    ("vhdx", "dynamic", true),
    ("vmdk", "monolithicSparse", true),
    ("vmdk", "streamOptimized", true),
    ("vmdk", "monolithicFlat", false),
    ("vmdk", "twoGbMaxExtentSparse", false),
    ("vmdk", "twoGbMaxExtentFlat", false),
    ("vmdk", "vmfs", false),
];

#[test]
fn standard_output_takes_the_bytes_of_the_file() {
    let place = Place::new();
    let source = small();
    for (format, subformat, is_one_file) in KINDS {
        let kind = ["--format", format, "--subformat", subformat, "--seed", "7"];
        let to = |output| [&["convert", text(&source), output], &kind[..]].concat();
        if !is_one_file {
            let refused = place.run(&to("-"), USAGE);
            assert!(refused.stdout.is_empty() && error_text(&refused).contains(subformat), "{subformat}");
            continue;
        }
        let name = format!("{subformat}.{format}");
        place.run(&to(&name), DONE);
        let file = fs::read(place.path(&name)).expect("the output");
        assert!(place.run(&to("-"), DONE).stdout == file, "{subformat} {format}");
        let mapped = place.run(&[&to("-")[..], &["--zeros", "map"]].concat(), DONE).stdout;
        place.run(&[&to("mapped")[..], &["--zeros", "map"]].concat(), DONE);
        assert!(mapped == fs::read(place.path("mapped")).expect("the output"), "{subformat} {format}");
        place.run(&["compare", text(&source), "mapped", "--format-b", format], DONE);
        fs::remove_file(place.path("mapped")).expect("goes");
    }
}
