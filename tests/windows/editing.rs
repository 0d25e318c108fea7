//! Changes of hives against a plain model: after each, the hive reads as the model says, and the checker finds nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use diskport::Error;
use diskport::storage::MemoryStorage;
use diskport::windows::registry::{Hive, Key, Tree, kind};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{change, edited, open};

/// Values by their names, in the order in which they were made.
type Values = Vec<(String, u32, Vec<u8>)>;
/// Keys by their paths; those above a key are there, too.
type Model = BTreeMap<String, Values>;

#[derive(Debug, Clone)]
enum Change {
    Create(String),
    Remove(String),
    Set(String, String, u32, Vec<u8>),
    Unset(String, String),
    Secure(String, u8),
}

/// Few names, so that changes meet: of one byte and two, with upper cases of Windows' own, and beyond 16 bits.
fn name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] =
        &["a", "B", "_", "Z", "µ", "ÿ", "Ä", "ß", "Ω", "日本", "😀", "\u{fffd}", "a long name of a key"];
    let numbered = (0..40u32).prop_map(|number| format!("key {number}"));
    prop_oneof![prop::sample::select(NAMES).prop_map(str::to_owned), numbered, Just("x".repeat(255))]
}

fn path() -> impl Strategy<Value = String> {
    vec(name(), 1..4).prop_map(|parts| parts.join("\\"))
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![0..12usize, 0..300usize, 16_340..16_350usize, 20_000..60_000usize];
    (len, any::<u8>())
        .prop_map(|(len, first)| (0..len).map(|at| (at as u8).wrapping_mul(7) ^ first).collect())
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let value = prop_oneof![Just(String::new()), name()];
    let change = prop_oneof![
        3 => path().prop_map(Change::Create),
        2 => path().prop_map(Change::Remove),
        6 => (path(), value.clone(), 0..12u32, data()).prop_map(|(key, name, kind, data)| Change::Set(key, name, kind, data)),
        2 => (path(), value).prop_map(|(key, name)| Change::Unset(key, name)),
        1 => (path(), 0..4u8).prop_map(|(key, number)| Change::Secure(key, number)),
    ];
    vec(change, 1..40)
}

/// Owned by SYSTEM, whose group is another one each time.
fn descriptor(number: u8) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0x80, 20, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]);
    bytes.extend([1, 1, 0, 0, 0, 0, 0, 5, number, 0, 0, 0]);
    bytes
}

/// By upper cases of these names, as Windows has them.
fn same(a: &str, b: &str) -> bool {
    let upper = |name: &str| -> String {
        name.chars()
            .map(|c| {
                if c == 'ÿ' {
                    'Ÿ'
                } else if "µß".contains(c) {
                    c
                } else {
                    c.to_uppercase().next().unwrap_or(c)
                }
            })
            .collect()
    };
    upper(a) == upper(b)
}

fn find(model: &Model, path: &str) -> Option<String> {
    model.keys().find(|key| same(key, path)).cloned()
}

/// The path as it is there, made where it is missing.
fn make(model: &mut Model, path: &str) -> String {
    let mut made = String::new();
    for part in path.split('\\') {
        let longer = if made.is_empty() { part.to_owned() } else { format!("{made}\\{part}") };
        made = find(model, &longer).unwrap_or(longer);
        if let Entry::Vacant(vacant) = model.entry(made.clone()) {
            vacant.insert(Vec::new());
        }
    }
    made
}

fn apply(hive: &mut Hive, model: &mut Model, one: &Change) {
    change(hive, |editor| {
        match one {
            Change::Create(path) => {
                let is_new = find(model, path).is_none();
                assert_eq!(editor.create_key(path)?, is_new);
                make(model, path);
            }
            Change::Remove(path) => {
                let found = find(model, path);
                assert_eq!(editor.remove_key(path)?, found.is_some());
                if let Some(found) = found {
                    let below = format!("{found}\\");
                    model.retain(|key, _| *key != found && !key.starts_with(&below));
                }
            }
            Change::Set(path, name, kind, data) => {
                editor.set_value(path, name, *kind, data)?;
                let values = make(model, path);
                let values = model.get_mut(&values).unwrap();
                match values.iter_mut().find(|value| same(&value.0, name)) {
                    Some(value) => (value.1, value.2) = (*kind, data.clone()),
                    None => values.push((name.clone(), *kind, data.clone())),
                }
            }
            Change::Unset(path, name) => {
                let found = find(model, path);
                let values = found.as_ref().and_then(|path| model.get_mut(path));
                let place =
                    values.as_ref().and_then(|values| values.iter().position(|value| same(&value.0, name)));
                assert_eq!(editor.remove_value(path, name)?, place.is_some());
                if let (Some(values), Some(place)) = (values, place) {
                    values.remove(place);
                }
            }
            Change::Secure(path, number) => {
                assert_eq!(editor.set_security(path, &descriptor(*number))?, find(model, path).is_some());
            }
        }
        Ok(())
    })
    .unwrap();
}

/// All keys and values below one.
fn collect(key: &Key<'_>, path: &str, model: &mut Model) {
    for subkey in key.subkeys().unwrap() {
        let subkey = subkey.unwrap();
        let path =
            if path.is_empty() { subkey.name().to_owned() } else { format!("{path}\\{}", subkey.name()) };
        let values = subkey.values().unwrap().map(|value| value.unwrap());
        let values =
            values.map(|value| (value.name().to_owned(), value.kind(), value.data().unwrap())).collect();
        assert!(model.insert(path.clone(), values).is_none(), "{path} is there twice");
        collect(&subkey, &path, model);
    }
}

fn holds(hive: &Hive, model: &Model) {
    assert_eq!(hive.check().unwrap().findings, []);
    let mut found = Model::new();
    collect(&hive.root().unwrap(), "", &mut found);
    assert!(found == *model, "{:?} for {:?}", found.keys(), model.keys());
}

/// An empty hive of a minor version.
fn empty(minor: u8) -> Vec<u8> {
    let root = Tree { flags: 0x0c, security: Some(Arc::from(descriptor(0))), ..Tree::new("ROOT") };
    let mut file = root.to_hive("HIVE").unwrap();
    file[24] = minor;
    super::hive_logs::checksum(&mut file);
    file
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_the_model_says(changes in changes(), minor in 3..=6u8) {
        let file = empty(minor);
        let (mut hive, mut model) = (open(&file).unwrap(), Model::new());
        for one in &changes {
            apply(&mut hive, &mut model, one);
            holds(&hive, &model);
        }
        let now = edited(file, &hive);
        prop_assert!(now == hive.to_bytes().unwrap());
        let again = open(&now).unwrap();
        holds(&again, &model);
        // All that was taken is given back: nothing but the root and its security is left.
        let mut again = again;
        let tops: Vec<_> = again.root().unwrap().subkeys().unwrap().map(|key| key.unwrap().name().to_owned()).collect();
        change(&mut again, |editor| tops.iter().try_for_each(|name| editor.remove_key(name).map(|was| assert!(was)))).unwrap();
        holds(&again, &Model::new());
        prop_assert_eq!(used(&again.to_bytes().unwrap()), used(&empty(minor)));
    }
}

/// Bytes of the cells in use.
fn used(file: &[u8]) -> usize {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut used, mut bin) = (0, 0x1000);
    while bin < 0x1000 + word(40) as usize {
        let (mut cell, end) = (bin + 32, bin + word(bin + 8) as usize);
        while cell < end {
            let size = word(cell) as i32;
            used += if size < 0 { size.unsigned_abs() as usize } else { 0 };
            cell += size.unsigned_abs() as usize;
        }
        bin = end;
    }
    used
}

/// Leaves are split and leave their index root again; each name is found by halves and by its hash.
#[test]
fn a_hundred_thousand_keys() {
    let mut hive = open(&empty(5)).unwrap();
    let names = (0..100_000u64).map(|number| format!("Many\\{:05}", number * 77_777 % 100_000));
    change(&mut hive, |editor| {
        for name in names {
            assert!(editor.create_key(&name)?);
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(hive.check().unwrap().findings, []);
    let count = |hive: &Hive| hive.key("Many").unwrap().unwrap().subkeys().unwrap().count();
    assert_eq!(count(&hive), 100_000);
    // Whole leaves are emptied, and leave the index root.
    change(&mut hive, |editor| {
        (0..20_000).try_for_each(|number| editor.remove_key(&format!("Many\\{number:05}")).map(drop))
    })
    .unwrap();
    assert_eq!(hive.check().unwrap().findings, []);
    assert_eq!(count(&hive), 80_000);
    let size = hive.file_size();
    change(&mut hive, |editor| editor.remove_key("Many").map(drop)).unwrap();
    assert_eq!(hive.check().unwrap().findings, []);
    change(&mut hive, |editor| editor.create_key("Many").map(drop)).unwrap();
    assert_eq!(hive.file_size(), size, "room that was given back is used");
}

/// Few sectors change with one value, whatever the hive's size.
#[test]
fn one_value_of_many() {
    let mut hive = open(&empty(5)).unwrap();
    change(&mut hive, |editor| {
        (0..3000).try_for_each(|number| {
            editor.set_value(&format!("Key {number}"), "Value", kind::BINARY, &[1; 500])
        })
    })
    .unwrap();
    let file = hive.to_bytes().unwrap();
    let mut hive = open(&file).unwrap();
    change(&mut hive, |editor| editor.set_value("key 1500", "value", kind::BINARY, &[2; 500])).unwrap();
    let edits = hive.edits().unwrap();
    let bytes: usize = edits.iter().map(|edit| edit.bytes.len()).sum();
    assert!(bytes <= 8 * 512, "{bytes} bytes in {} places", edits.len());
    assert!(edited(file, &hive) == hive.to_bytes().unwrap());
}

/// Nothing counts without a commit, nor after a change that failed.
#[test]
fn all_or_nothing() {
    let file = empty(5);
    let mut hive = open(&file).unwrap();
    hive.edit().unwrap().create_key("New").unwrap();
    assert_eq!(hive.edits().unwrap(), []);
    hive.edit().unwrap().commit().unwrap();
    assert_eq!(hive.edits().unwrap(), [], "a commit of nothing");
    let mut editor = hive.edit().unwrap();
    editor.limit(file.len() as u32);
    editor.create_key("New").unwrap();
    let refused = editor.set_value("New", "Value", kind::BINARY, &[1; 5000]).unwrap_err();
    assert!(matches!(refused, Error::Layout { .. }), "{refused}");
    assert!(editor.create_key("Other").is_err());
    assert!(editor.commit().is_err());
    assert_eq!(hive.edits().unwrap(), []);
}

/// What is refused without further ado, and stops nothing else.
#[test]
fn names_and_data() {
    let mut hive = open(&empty(5)).unwrap();
    let mut editor = hive.edit().unwrap();
    let deep = vec!["a"; 512].join("\\");
    for path in ["a\\\\b", "\\a", "a\\", "a\0b", &"x".repeat(256), &deep] {
        let refused = editor.create_key(path).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{path:?}: {refused}");
    }
    assert!(matches!(editor.remove_key(""), Err(Error::Unsupported { .. })));
    assert!(matches!(editor.set_value("a", &"x".repeat(16_384), 1, b""), Err(Error::Unsupported { .. })));
    assert!(matches!(editor.set_value("a", "", 3, &vec![0; (16 << 20) + 1]), Err(Error::Unsupported { .. })));
    assert!(matches!(editor.set_security("", b"none"), Err(Error::Unsupported { .. })));
    editor.create_key(&deep[2..]).unwrap();
    editor.set_value("", &"y".repeat(16_383), kind::BINARY, &vec![5; 1 << 20]).unwrap();
    editor.commit().unwrap();
    assert_eq!(hive.check().unwrap().findings, []);
    let value = hive.root().unwrap().value(&"Y".repeat(16_383)).unwrap().unwrap();
    assert_eq!(value.data().unwrap(), vec![5; 1 << 20]);
}

/// Class names, which the keys of SAM and the boot key have, stay; so do the lists of old.
#[test]
fn what_is_there_stays() {
    let mut root = Tree { flags: 0x0c, ..Tree::new("ROOT") };
    root.entry("Lsa").entry("JD").class = b"0\x001\x00".to_vec();
    let mut file = root.to_hive("SYSTEM").unwrap();
    // "li" has no hints: half of the items that a fast leaf has.
    let at = file.windows(4).rposition(|bytes| bytes == b"lf\x01\x00").unwrap();
    file[at..at + 2].copy_from_slice(b"li");
    let mut hive = Hive::open(MemoryStorage::new(file)).unwrap();
    change(&mut hive, |editor| {
        editor.create_key("Lsa\\GBG")?;
        editor.set_value("Lsa\\JD", "Lookup", kind::BINARY, &[1; 6])
    })
    .unwrap();
    assert_eq!(hive.check().unwrap().findings, []);
    let tree = hive.tree().unwrap();
    assert_eq!(tree.subkeys[0].subkeys[1].class, b"0\x001\x00");
    assert!(
        hive.to_bytes().unwrap().windows(4).any(|bytes| bytes == b"li\x02\x00"),
        "the kind of a list is kept"
    );
}
