//! Hives with lists that lead back, and with any byte changed: an error or other data, never a panic or a hang.

use std::sync::LazyLock;

use diskport::Error;
use diskport::windows::registry::{Key, Tree, kind};
use proptest::prelude::*;

use super::hive_logs::{Dirty, checksum, hive, one_log};
use super::{change, open};

/// Where the record with this signature and text lies in the file.
fn find(file: &[u8], bytes: &[u8]) -> usize {
    file.windows(bytes.len()).position(|window| window == bytes).unwrap()
}

fn damaged(file: &[u8]) {
    let found = open(file).and_then(|hive| hive.tree().map(drop)).unwrap_err();
    assert!(matches!(found, Error::Damaged { .. }), "{found}");
}

fn put(file: &mut [u8], at: usize, word: u32) {
    file[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

fn small() -> Vec<u8> {
    let mut root = Tree::new("ROOT");
    root.entry("A").entry("B").set("Value", kind::BINARY, [1; 100]);
    root.to_hive("").unwrap()
}

#[test]
fn a_key_below_itself() {
    let mut file = small();
    // The list of A's subkeys leads to A.
    let list = find(&file, b"lf\x01\x00");
    let second = list + 4 + find(&file[list + 4..], b"lf\x01\x00");
    let a = u32::from_le_bytes(file[list + 4..list + 8].try_into().unwrap());
    put(&mut file, second + 4, a);
    damaged(&file);
}

#[test]
fn a_list_of_itself() {
    let mut file = small();
    let list = find(&file, b"lf\x01\x00");
    file[list..list + 2].copy_from_slice(b"ri");
    put(&mut file, list + 4, (list - 0x1004) as u32);
    damaged(&file);
}

#[test]
fn lengths_and_places() {
    let file = small();
    let (node, value) = (find(&file, b"nk\x2c\x00"), find(&file, b"vk"));
    // The root's subkeys and list, its security; the value's name, its data's size and place.
    for (at, word) in [
        (node + 28, 0x0fff_fff8),
        (node + 28, 4),
        (node + 44, 0x20),
        (node + 72, 0xffff),
        (value + 2, 0xffff),
        (value + 4, 0x7fff_ffff),
        (value + 4, 0x8000_0005),
        (value + 4, 200),
        (value + 8, 0xffff_fff8),
        // The cell of the node is free, or beyond its bin.
        (node - 4, 0x58),
        (node - 4, 0x8000_0000),
    ] {
        let mut file = file.clone();
        put(&mut file, at, word);
        damaged(&file);
    }
}

#[test]
fn base_blocks() {
    let file = small();
    // Major, minor, type, format, root, size.
    for (at, word) in
        [(20, 2), (24, 2), (24, 7), (28, 1), (32, 0), (36, 0x30), (40, 0), (40, 0x1800), (40, 0x2000)]
    {
        let mut file = file.clone();
        put(&mut file, at, word);
        damaged(&file);
        checksum(&mut file);
        damaged(&file);
    }
    damaged(&[]);
    damaged(&file[..4095]);
}

fn visit(key: &Key<'_>, left: &mut u32) -> diskport::Result<()> {
    for value in key.values()?.take(100) {
        let value = value?;
        value.data()?;
        value.text()?;
        value.integer()?;
    }
    for subkey in key.subkeys()? {
        *left = left.saturating_sub(1);
        if *left == 0 {
            break;
        }
        visit(&subkey?, left)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_byte(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| hive("state."));
        let mut file = FILE.clone();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        checksum(&mut file);
        if let Ok(mut hive) = open(&file) {
            let _ = hive.tree();
            let _ = hive.root().and_then(|root| visit(&root, &mut 1000));
            let _ = change(&mut hive, |editor| editor.set_value("State", "State", kind::BINARY, &[1; 40]));
            let _ = change(&mut hive, |editor| editor.remove_value("Key000", "Number").map(drop));
            let _ = change(&mut hive, |editor| editor.remove_key("Key001").map(drop));
            let _ = change(&mut hive, |editor| editor.create_key("Key002\\New").map(drop));
            prop_assert!(hive.edits().is_ok());
            prop_assert!(hive.check().is_ok());
        }
    }

    #[test]
    fn any_byte_of_a_log(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        static ONE: LazyLock<Dirty> = LazyLock::new(one_log);
        let mut dirty = ONE.clone();
        for (at, byte) in changes {
            let at = at.index(512);
            dirty.logs[0][at] = byte;
        }
        checksum(&mut dirty.logs[0]);
        let _ = dirty.open().and_then(|hive| hive.tree());
    }
}
