//! Any tree written as a hive reads back the same, as a whole and key by key.

use std::sync::Arc;

use diskport::windows::registry::{Tree, TreeValue, kind};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{edited, open};

fn name() -> impl Strategy<Value = String> {
    // Latin, beyond Latin, and beyond 16 bits.
    prop_oneof!["[ -\\[\\]-~]{1,20}", "[a-zÀ-ÿ]{1,12}", "[a-zа-я日本😀]{1,8}"]
}

/// By names in upper case, so that none is there twice.
fn values() -> impl Strategy<Value = Vec<TreeValue>> {
    let data = prop_oneof![vec(any::<u8>(), 0..12), vec(any::<u8>(), 0..20_000)];
    btree_map(name().prop_map(|name| name.to_uppercase()), (0..12u32, data), 0..6).prop_map(|values| {
        values.into_iter().map(|(name, (kind, data))| TreeValue { name, kind, data }).collect()
    })
}

fn key(subkeys: impl Strategy<Value = Vec<Tree>>) -> impl Strategy<Value = Tree> {
    (values(), subkeys, any::<u64>(), 0..3u8, "[a-z]{0,5}").prop_map(
        |(values, subkeys, time, descriptor, class)| {
            let security = Some(Arc::from(vec![descriptor; 20 + usize::from(descriptor)]));
            let class = class.into_bytes();
            Tree { name: String::new(), values, subkeys, flags: 0, last_written: time, class, security }
        },
    )
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = key(Just(Vec::new()));
    let tree = leaf.prop_recursive(5, 60, 8, |below| {
        key(btree_map(name().prop_map(|name| name.to_uppercase()), below, 0..8)
            .prop_map(|keys| keys.into_iter().map(|(name, key)| Tree { name, ..key }).collect()))
    });
    tree.prop_map(|tree| Tree { name: "ROOT".into(), flags: 0x0c, ..tree })
}

fn sort(tree: &mut Tree) {
    tree.subkeys.sort_by_cached_key(|key| key.name.encode_utf16().collect::<Vec<_>>());
    tree.subkeys.iter_mut().for_each(sort);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(mut tree in trees()) {
        let file = tree.to_hive("C:\\hive").unwrap();
        sort(&mut tree);
        let hive = open(&file).unwrap();
        prop_assert!(hive.tree().unwrap() == tree);
        prop_assert_eq!(hive.edits().unwrap(), []);
        for key in &tree.subkeys {
            let found = hive.root().unwrap().subkey(&key.name.to_lowercase()).unwrap().unwrap();
            prop_assert_eq!(found.name(), &key.name);
            for value in &key.values {
                let found = found.value(&value.name.to_lowercase()).unwrap().unwrap();
                prop_assert_eq!(found.kind(), value.kind);
                prop_assert_eq!(&found.data().unwrap(), &value.data);
            }
        }
    }

    /// Values change in place: the file keeps its length, and every other value and key stays.
    #[test]
    fn replaced_in_place(mut tree in trees(), changes in vec((any::<prop::sample::Index>(), vec(any::<u8>(), 0..300)), 1..8)) {
        sort(&mut tree);
        let file = tree.to_hive("hive").unwrap();
        let mut hive = open(&file).unwrap();
        let places: Vec<(usize, usize)> = tree.subkeys.iter().enumerate()
            .flat_map(|(at, key)| (0..key.values.len()).map(move |value| (at, value))).collect();
        prop_assume!(!places.is_empty());
        for (index, data) in changes {
            let &(at, value) = index.get(&places);
            let key = &mut tree.subkeys[at];
            let Some(value) = key.values.get_mut(value) else { continue };
            // A path takes the name apart.
            prop_assume!(!key.name.contains('\\'));
            if hive.replace_value(&key.name, &value.name, &data).unwrap() {
                value.data = data;
            } else {
                let name = value.name.clone();
                prop_assert!(hive.remove_value(&key.name, &name).unwrap());
                key.values.retain(|value| value.name != name);
            }
            let now = edited(file.clone(), &hive.edits().unwrap());
            prop_assert_eq!(now.len(), file.len());
            prop_assert!(open(&now).unwrap().tree().unwrap() == tree);
            whole(&now);
        }
    }
}

/// The cells of every bin fill it, one after the other.
fn whole(file: &[u8]) {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let end = 0x1000 + word(40) as usize;
    let mut bin = 0x1000;
    while bin < end {
        let next = bin + word(bin + 8) as usize;
        let mut cell = bin + 32;
        while cell < next {
            let size = (word(cell) as i32).unsigned_abs() as usize;
            assert!(size >= 8 && size.is_multiple_of(8));
            cell += size;
        }
        assert_eq!(cell, next);
        bin = next;
    }
}

/// A value of 24 bytes in place of one of 12, in a hive as full as it gets: the room is taken, then gone.
#[test]
fn room_runs_out() {
    let mut root = Tree::new("ROOT");
    for number in 0..200 {
        root.entry("Key").set(&format!("{number:03}"), kind::BINARY, [1; 12]);
    }
    let mut hive = open(&root.to_hive("").unwrap()).unwrap();
    let replaced = (0..200).take_while(|n| hive.replace_value("Key", &format!("{n:03}"), &[2; 24]).unwrap());
    let replaced = replaced.count();
    assert!((1..199).contains(&replaced), "{replaced}");
    assert!(hive.remove_value("Key", &format!("{replaced:03}")).unwrap());
    let mut expected = root.subkeys[0].clone();
    expected.values.remove(replaced);
    expected.values[..replaced].iter_mut().for_each(|value| value.data = vec![2; 24]);
    assert_eq!(hive.tree().unwrap().subkeys[0].values, expected.values);
    assert!(!hive.remove_value("Key", "absent").unwrap());
    assert!(!hive.replace_value("Absent", "000", &[]).unwrap());
}

#[test]
fn large_trees_are_refused() {
    let mut root = Tree::new("ROOT");
    for number in 0..1013 {
        root.entry(&number.to_string());
    }
    assert!(matches!(root.to_hive(""), Err(diskport::Error::Unsupported { .. })));
    let mut root = Tree::new("ROOT");
    root.set("", kind::BINARY, vec![0; 16 << 20]);
    assert!(matches!(root.to_hive(""), Err(diskport::Error::Unsupported { .. })));
    assert!(matches!(Tree::new("x".repeat(1 << 16)).to_hive(""), Err(diskport::Error::Unsupported { .. })));
}
