//! How the source is built up: which file imports from which, read from the source itself.
//!
//! Four rules keep the house in order: arrows between folders go down only, no format names another, no circle of imports
//! has more than three files, and each public name means one thing.

mod imports;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imports::{Imports, circles};

/// What the library consists of, the lowest layer first. What stands in one line does not know each other.
const LAYERS: [&[&str]; 16] = [
    &["leaves", "strict", "deflate"],
    &["error"],
    &["storage", "job"],
    &["disk"],
    &["findings", "sink"],
    &["format"],
    &["open"],
    &["check", "compare", "digest"],
    &["copy", "ebs"],
    &["chain"],
    &["partition"],
    &["windows"],
    &["free"],
    &["inspect"],
    &["ops"],
    &["crate"],
];

/// What the folders of formats share, and may name.
const SHARED: &str = "tools";

/// Files of a circle at most: a whole and its parts may know each other.
const LARGEST: usize = 3;

type Edges = BTreeMap<String, BTreeSet<String>>;

fn library() -> Edges {
    Imports::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "lib.rs").edges()
}

fn command_line() -> Edges {
    Imports::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/diskport"), "main.rs").edges()
}

/// The imports for which `is_wrong` says so, one a line.
fn wrong(edges: &Edges, is_wrong: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let all = edges.iter().flat_map(|(from, targets)| targets.iter().map(move |to| (from, to)));
    all.filter(|(from, to)| is_wrong(from, to))
        .map(|(from, to)| format!("{from} imports from {to}"))
        .collect()
}

#[test]
fn arrows_go_down() {
    let edges = library();
    let layer = |module: &str| {
        let folder = module.split("::").next().unwrap_or_default();
        let layer = LAYERS.iter().position(|layer| layer.contains(&folder));
        layer.unwrap_or_else(|| panic!("{folder} is in no layer: give it its place in LAYERS"))
    };
    let folder = |module: &str| module.split("::").next().map(str::to_owned);
    let up = wrong(&edges, |from, to| folder(from) != folder(to) && layer(from) <= layer(to));
    assert!(up.is_empty(), "these go up, or aside:\n{}", up.join("\n"));
}

#[test]
fn no_format_names_another() {
    let edges = library();
    let format = |module: &str| {
        let mut parts = module.split("::");
        (parts.next() == Some("format")).then(|| parts.next().unwrap_or_default().to_owned())
    };
    let is_format = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format").join(name).is_dir();
    let aside = wrong(&edges, |from, to| match (format(from), format(to)) {
        (Some(from), Some(to)) => !from.is_empty() && is_format(&from) && from != to && to != SHARED,
        _ => false,
    });
    assert!(aside.is_empty(), "these look beside or above them:\n{}", aside.join("\n"));
}

#[test]
fn circles_are_small() {
    for (name, edges) in [("the library", library()), ("the command line", command_line())] {
        let large: Vec<_> = circles(&edges).into_iter().filter(|circle| circle.len() > LARGEST).collect();
        let inside = |circle: &BTreeSet<String>| {
            wrong(&edges, |from, to| circle.contains(from) && circle.contains(to)).join("\n")
        };
        let listed: Vec<_> = large.iter().map(inside).collect();
        assert!(large.is_empty(), "circles of {name}:\n{}", listed.join("\n\n"));
    }
}

/// `use diskport::…::*` brings nothing that hides something else.
#[test]
fn public_names_mean_one_thing() {
    let mut names = names::public(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    names.sort();
    let twice = names.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    let twice: Vec<_> = twice.map(|pair| format!("{}: {} and {}", pair[0].0, pair[0].1, pair[1].1)).collect();
    assert!(twice.is_empty(), "these are two types of one name:\n{}", twice.join("\n"));
    // Our `Result` is the prelude's, with the error that goes without saying, as `io::Result` is.
    let hides = |name: &str| name != "Result" && names::PRELUDE.contains(&name);
    let hiding: Vec<_> = names.iter().filter(|(name, _)| hides(name)).collect();
    assert!(hiding.is_empty(), "these hide what every module has: {hiding:?}");
    let found = |name: &str, file: &str| names.iter().any(|found| found.0 == name && found.1 == file);
    assert!(
        found("ReadAt", "storage/mod.rs") && found("Hint", "leaves/hint.rs") && found("Error", "error.rs")
    );
    let text = "pub struct A; enum B {} pub(crate) trait C {} mod d { pub type E = u8; } #[cfg(test)] mod f { pub struct G; }";
    assert_eq!(names::defined(text), ["A", "E"]);
}

/// What the reader of imports is trusted with: it finds those that are known to be there.
#[test]
fn imports_are_found() {
    let edges = library();
    let knows = |from: &str, to: &str| edges[from].contains(to);
    assert!(knows("disk::read", "disk::extents"), "by `super`");
    assert!(knows("error", "leaves::format"), "over a file that passes it on");
    assert!(knows("format", "format::vhdx::open"), "by a path in an expression");
    assert!(!knows("disk", "disk::slice"), "what is only passed on");
    let from = |to: &str| (String::from("a"), BTreeSet::from([to.to_owned()]));
    let line = Edges::from([from("b"), ("b".into(), BTreeSet::from(["c".into()]))]);
    assert_eq!(circles(&line), []);
    let circle = Edges::from([from("b"), ("b".into(), BTreeSet::from(["c".into(), "a".into()]))]);
    assert_eq!(circles(&circle), [BTreeSet::from(["a".into(), "b".into()])]);
}
