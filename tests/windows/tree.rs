//! Any tree written as a hive reads back the same, as a whole and key by key.

use std::sync::Arc;

use diskport::windows::registry::check::HiveFault;
use diskport::windows::registry::{Hive, Tree, TreeValue, kind};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::open;

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

/// What the checker finds; the descriptors of these trees are none.
fn faults(hive: &Hive) -> Vec<HiveFault> {
    let found = hive.check().unwrap().findings.into_iter().map(|finding| finding.fault);
    found.filter(|&fault| fault != HiveFault::Descriptor).collect()
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
        prop_assert_eq!(faults(&hive), Vec::<HiveFault>::new());
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
}

#[test]
fn large_trees_are_refused() {
    let mut root = Tree::new("ROOT");
    root.set("", kind::BINARY, vec![0; 16 << 20]);
    assert!(matches!(root.to_hive(""), Err(diskport::Error::Layout { .. })));
    root.set("", kind::BINARY, vec![0; (16 << 20) + 1]);
    assert!(matches!(root.to_hive(""), Err(diskport::Error::Unsupported { .. })));
    assert!(matches!(Tree::new("x".repeat(1 << 16)).to_hive(""), Err(diskport::Error::Unsupported { .. })));
}

/// Twice as many subkeys as one list holds: they lie under an index root.
#[test]
fn many_subkeys() {
    let mut root = Tree { flags: 0x0c, ..Tree::new("ROOT") };
    for number in 0..2100 {
        root.subkeys.push(Tree::new(format!("{number:04}")));
    }
    let hive = open(&root.to_hive("").unwrap()).unwrap();
    assert_eq!(hive.check().unwrap().findings, []);
    let found = hive.tree().unwrap();
    assert!(found.subkeys.iter().map(|key| &key.name).eq(root.subkeys.iter().map(|key| &key.name)));
    root.subkeys.push(Tree::new("0000"));
    assert!(matches!(root.to_hive(""), Err(diskport::Error::Unsupported { .. })), "a name that is there");
}
