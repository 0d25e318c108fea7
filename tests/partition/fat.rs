//! FAT32 volumes: random trees read back by fatfs, and what does not fit.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use diskport::partition::Fat32;
use diskport::{Error, ErrorClass, Rule};
use proptest::prelude::*;

use crate::disks::MIB;

/// The smallest partition that holds a FAT32, almost.
const SIZE: u64 = 34 * MIB;

fn volume(files: &BTreeMap<String, Vec<u8>>) -> Result<Fat32, Error> {
    let mut volume = Fat32::new(0..SIZE, 512);
    files.iter().try_for_each(|(path, bytes)| volume.add_file(path, bytes.clone()))?;
    Ok(volume)
}

/// The partition, which held nothing but FF.
fn bytes(volume: &Fat32) -> Vec<u8> {
    let mut bytes = vec![0xff; SIZE as usize];
    for patch in volume.clone().into_patches().expect("fits") {
        let start = patch.offset as usize;
        bytes[start..start + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    bytes
}

type Folder<'a> = fatfs::Dir<'a, Cursor<Vec<u8>>>;

fn collect(folder: &Folder<'_>, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    let mut shorts = Vec::new();
    for entry in folder.iter() {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        shorts.push(entry.short_file_name().to_lowercase());
        let path = format!("{prefix}{name}");
        if entry.is_dir() {
            collect(&entry.to_dir(), &format!("{path}/"), found);
        } else {
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content).expect("reads");
            assert_eq!(content.len() as u64, entry.len());
            assert!(found.insert(path, content).is_none());
        }
    }
    let count = shorts.len();
    shorts.sort();
    shorts.dedup();
    assert_eq!(shorts.len(), count, "short names are different");
}

/// Names that begin alike, differ in case or in what FAT allows, and others.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-cA-C]{1,3}\\.[a-c]{1,4}",
        "long name [0-9]{1,3}\\.t(xt|ext)",
        "LONGNA~[0-9]\\.(TXT|TEX)",
        "[!-~]{1,30}",
        "\\PC{1,40}",
        "\\.{0,2}[a-z]{1,20}",
    ]
}

fn trees() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let path = proptest::collection::vec(names(), 1..4).prop_map(|parts| parts.join("/"));
    let content = (0..5000_usize, any::<u8>()).prop_map(|(len, salt)| vec![salt; len]);
    proptest::collection::btree_map(path, content, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_are_read_back(tree in trees()) {
        // What is refused is left out; what is taken must be there.
        let (mut volume, mut expected) = (Fat32::new(0..SIZE, 512), BTreeMap::new());
        for (path, content) in tree {
            match volume.add_file(&path, content.clone()) {
                Ok(()) => {
                    expected.insert(path.replace('\\', "/"), content);
                }
                Err(error) => prop_assert_eq!(error.class(), ErrorClass::Usage),
            }
        }
        let disk = fatfs::FileSystem::new(Cursor::new(bytes(&volume)), fatfs::FsOptions::new()).expect("a volume");
        let mut found = BTreeMap::new();
        collect(&disk.root_dir(), "", &mut found);
        // A folder has the case in which it was named first.
        let folded = |files: BTreeMap<String, Vec<u8>>| -> BTreeMap<_, _> {
            files.into_iter().map(|(path, content)| (path.to_uppercase(), content)).collect()
        };
        prop_assert_eq!(folded(found), folded(expected));
        let used = disk.stats().expect("counts");
        prop_assert!(used.total_clusters() >= 65_525);
    }
}

#[test]
fn what_fat_does_not_allow_is_refused() {
    let mut volume = Fat32::new(0..SIZE, 512);
    volume.add_file("Folder/File.txt", vec![1]).expect("fits");
    volume.add_file("folder\\other", vec![2]).expect("the same folder");
    let long = "n".repeat(256);
    let deep = "d/".repeat(200) + "f";
    let refused = [
        "",
        "/",
        "/file",
        "a//b",
        "a/",
        ".",
        "a/../b",
        "dot.",
        "space ",
        "a:b",
        "a*b",
        "tab\t",
        &long,
        &deep,
        "FOLDER/FILE.TXT",
        "folder",
        "folder/file.txt/below",
    ];
    for path in refused {
        let error = volume.add_file(path, Vec::new()).expect_err(path);
        assert_eq!(error.class(), ErrorClass::Usage, "{path:?}: {error}");
    }
    // What was there before is still there.
    let disk =
        fatfs::FileSystem::new(Cursor::new(bytes(&volume)), fatfs::FsOptions::new()).expect("a volume");
    let mut found = BTreeMap::new();
    collect(&disk.root_dir(), "", &mut found);
    let kept = [("Folder/File.txt".to_owned(), vec![1]), ("Folder/other".to_owned(), vec![2])];
    assert_eq!(found, BTreeMap::from(kept));
    for label in ["", "lower", "TWELVE LETTR", " FIRST", "A+B"] {
        assert!(Fat32::new(0..SIZE, 512).label(label).is_err(), "{label:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let no_room = |volume: &Fat32| {
        let refused = volume.clone().into_patches();
        assert!(
            matches!(refused, Err(Error::NotConvertible { rule: Rule::SystemPartitionRoom, .. })),
            "{refused:?}"
        );
    };
    // Fewer clusters than a FAT32 has; more sectors than it counts.
    no_room(&Fat32::new(0..32 * MIB, 512));
    no_room(&Fat32::new(0..256 * MIB, 4096));
    no_room(&Fat32::new(0..0, 512));
    no_room(&Fat32::new(0..3 << 40, 512));
    #[expect(clippy::reversed_empty_ranges)]
    let backwards = 5..1;
    no_room(&Fat32::new(backwards, 512));
    // To the last cluster, and one byte more.
    let files = |len| BTreeMap::from([("file".to_owned(), vec![7; len])]);
    let empty = fatfs::FileSystem::new(
        Cursor::new(bytes(&volume(&files(0)).expect("fits"))),
        fatfs::FsOptions::new(),
    );
    let free = empty.expect("a volume").stats().expect("counts").free_clusters() as usize * 512;
    let full = volume(&files(free)).expect("a name");
    let disk = fatfs::FileSystem::new(Cursor::new(bytes(&full)), fatfs::FsOptions::new()).expect("a volume");
    assert_eq!(disk.stats().expect("counts").free_clusters(), 0);
    no_room(&volume(&files(free + 1)).expect("a name"));
    // More entries than a folder has.
    let mut crowded = Fat32::new(0..500 * MIB, 512);
    for number in 0..33_000 {
        crowded.add_file(&format!("a long name {number}"), Vec::new()).expect("a name");
    }
    assert!(matches!(crowded.into_patches(), Err(Error::Unsupported { .. })));
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let made = || {
        let mut volume = Fat32::new(MIB..MIB + SIZE, 512).serial(5);
        volume.add_file("b/c", vec![1; 700]).expect("fits");
        volume.add_file("a", vec![2; 70]).expect("fits");
        let mut patches = volume.into_patches().expect("fits");
        patches.sort_by_key(|patch| patch.offset);
        patches
    };
    assert_eq!(made(), made());
    assert!(made().windows(2).all(|pair| pair[0].offset + pair[0].bytes.len() as u64 == pair[1].offset));
}
