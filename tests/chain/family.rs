//! Children and parents, in any relation of their folders.

use std::fs;
use std::path::{Path, PathBuf};

use diskport::chain::{Merge, check_no_children, children_of};
use diskport::storage::AnyPath;
use diskport::{Child, Error, Open};

use crate::merge::LAYERS;
use crate::model::{Chain, FORMATS, VHD, VHDX, assert_reads, content, open, write};

/// A child of the chain's base in another folder, with some content of its own.
fn child_in(chain: &Chain, folder: &str) -> (PathBuf, Vec<u8>) {
    let folder = chain.folder.path().join(folder);
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(chain.path("away").file_name().expect("a name"));
    Child::of(&open(&chain.images[0])).create(&path).expect("makes a child");
    let disk = Open::new().resolver(AnyPath).open_writable(&path).expect("opens");
    let mut expected = chain.contents[0].clone();
    expected[5000..6000].fill(0x77);
    disk.write_at(&expected[5000..6000], 5000).expect("writes");
    disk.close().expect("closes");
    (path, expected)
}

fn reads_anywhere(path: &Path) -> Vec<u8> {
    content(&Open::new().resolver(AnyPath).open(path).expect("opens"))
}

#[test]
fn a_parent_is_found_in_any_folder_that_may_be_looked_into() {
    for format in FORMATS {
        let chain = Chain::new(format);
        for folder in ["sub", "a/b/c", "with space/ümlaut"] {
            let (path, expected) = child_in(&chain, folder);
            assert!(reads_anywhere(&path) == expected, "{format}: {folder}");
            let opened = diskport::open(&path);
            let refused = matches!(opened, Err(Error::NotAllowed { .. } | Error::ParentMissing { .. }));
            assert!(refused, "{format}: {folder}: {opened:?}");
            let named = Open::new().parent(&chain.images[0]).open(&path).expect("opens");
            assert!(content(&named) == expected);
        }
    }
}

#[test]
fn folders_may_move_together_or_one_alone() {
    for format in FORMATS {
        let chain = Chain::new(format);
        let base = |folder: &str| chain.folder.path().join(folder).join("base");
        fs::create_dir_all(chain.folder.path().join("all/bases")).expect("a folder");
        fs::create_dir_all(chain.folder.path().join("all/children")).expect("a folder");
        fs::rename(&chain.images[0], base("all/bases")).expect("moves");
        let child = chain.folder.path().join("all/children/child");
        let parent = open(&base("all/bases"));
        Child::of(&parent).create(&child).expect("makes a child");
        assert!(reads_anywhere(&child) == chain.contents[0], "{format}: sibling folders");
        // Together: the relative name leads there.
        fs::rename(chain.folder.path().join("all"), chain.folder.path().join("moved")).expect("moves");
        let child = chain.folder.path().join("moved/children/child");
        assert!(reads_anywhere(&child) == chain.contents[0], "{format}: moved together");
    }
}

#[test]
fn the_absolute_name_serves_a_child_that_moved_alone() {
    // A VMDK has one name for its parent, the relative one.
    for format in [VHD, VHDX] {
        let chain = Chain::new(format);
        let (path, expected) = child_in(&chain, "sub");
        fs::create_dir_all(chain.folder.path().join("x/y/z")).expect("a folder");
        let moved = chain.folder.path().join("x/y/z/child");
        fs::rename(path, &moved).expect("moves");
        assert!(reads_anywhere(&moved) == expected, "{format}");
    }
}

#[test]
fn children_are_found_by_name_and_by_identity() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS[..2]);
        let folder = chain.folder.path();
        fs::write(chain.path("damaged"), b"conectix and nothing else").expect("writes");
        fs::write(folder.join("notes.txt"), b"").expect("writes");
        let base = open(&chain.images[0]);
        assert_eq!(
            children_of(&base, folder, &Open::new()).expect("lists"),
            [chain.images[1].clone()],
            "{format}"
        );
        assert!(matches!(check_no_children(&base, &Open::new()), Err(Error::HasChildren { .. })));
        let top = open(chain.top());
        assert_eq!(children_of(&top, folder, &Open::new()).expect("lists"), [] as [PathBuf; 0], "{format}");
        check_no_children(&top, &Open::new()).expect("has none");
        let (away, _) = child_in(&chain, "sub");
        assert_eq!(
            children_of(&base, folder.join("sub"), &Open::new()).expect("lists"),
            [away],
            "{format}: by its name"
        );
        // Renamed, the base is still known by its identity.
        let renamed = chain.path("renamed");
        fs::rename(&chain.images[0], &renamed).expect("moves");
        let base = open(&renamed);
        assert_eq!(
            children_of(&base, folder, &Open::new()).expect("lists"),
            [chain.images[1].clone()],
            "{format}"
        );
        assert!(matches!(children_of(&base, folder.join("no folder"), &Open::new()), Err(Error::Io { .. })));
    }
}

#[test]
fn a_copy_beside_the_parent_has_no_children() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS[..1]);
        let copy = chain.path("copy");
        fs::copy(&chain.images[0], &copy).expect("copies");
        check_no_children(&open(&copy), &Open::new()).expect("the child names the original");
    }
}

#[test]
fn chains_over_folders_are_merged() {
    for format in FORMATS {
        let chain = Chain::new(format);
        let (path, expected) = child_in(&chain, "sub");
        let merge = Merge::of(&path).open(Open::new().resolver(AnyPath));
        // A sibling beside the base is seen from the top's folder, too.
        let sibling = chain.path("sibling");
        Child::of(&open(&chain.images[0])).create(&sibling).expect("makes a child");
        assert!(matches!(merge.commit(), Err(Error::HasChildren { .. })), "{format}");
        fs::remove_file(sibling).expect("goes away");
        merge.commit().expect("merges");
        assert!(reads_anywhere(&path) == expected, "{format}");
        assert_reads(&chain.images[0], &expected);
        let mut expected = expected;
        write(&chain.images[0], LAYERS[0], &mut expected);
    }
}
