//! Registry hives, with two logs, and the boot stores in them.

use std::sync::Arc;

use diskport::storage::ReadAt;
use diskport::windows::GptIds;
use diskport::windows::bcd::Store;
use diskport::windows::registry::{Hive, Key};
use diskport::{Error, Result};

use crate::{Input, Sparse, checksum};

/// Keys that are looked at.
const KEYS: u32 = 2_000;

/// The hive of an input's first file, with its second and third as logs.
fn open(input: Input) -> Result<Hive> {
    let keep = input.has(Input::KEEP_CHECKSUMS);
    let [hive, one, two, _] = input.files.map(|mut file| {
        if !keep {
            checksum::mend_hive(&mut file);
        }
        file
    });
    let logs: Vec<Arc<dyn ReadAt>> =
        [one, two].into_iter().filter(|log| !log.is_empty()).map(shared).collect();
    Hive::open_with_logs(Arc::new(hive), &logs)
}

fn shared(file: Sparse) -> Arc<dyn ReadAt> {
    Arc::new(file)
}

/// Opens a hive, looks at its keys, and changes it: keys and values made, replaced and removed. What the checker finds
/// nothing wrong with stays so.
pub fn exercise_hive(input: Input) {
    let Ok(mut hive) = open(input).inspect_err(look_at) else { return };
    let _ = hive.tree().inspect_err(look_at);
    let mut places = Vec::new();
    let _ =
        hive.root().and_then(|root| visit(&root, "", &mut places, &mut KEYS.clone())).inspect_err(look_at);
    let before = hive.check().expect("memory can be read");
    let size = hive.file_size();
    for (at, (key, value)) in places.iter().take(40).enumerate() {
        let _ = change(&mut hive, at, key, value).inspect_err(look_at);
    }
    let edits = hive.edits().expect("memory can be read");
    assert!(edits.iter().all(|edit| edit.offset < hive.file_size()));
    // 40 values of 256 KiB at most.
    assert!(hive.file_size() <= size + (16 << 20));
    if before.is_clean() {
        let after = hive.check().expect("memory can be read");
        assert!(after.is_clean(), "{:?}", after.findings);
        assert!(after.findings.len() <= before.findings.len(), "{:?}", after.findings);
    }
}

/// One change, of a kind that the number says, at a value that was there.
fn change(hive: &mut Hive, number: usize, key: &str, value: &str) -> Result<()> {
    let mut editor = hive.edit()?;
    match number % 6 {
        0 => drop(editor.remove_value(key, value)?),
        1 => drop(editor.create_key(&format!("{key}\\\u{b5}{number}"))?),
        2 if !key.is_empty() => drop(editor.remove_key(key)?),
        3 => editor.set_value(&format!("New\\{number}"), value, 1, b"new")?,
        size => editor.set_value(key, value, 3, &vec![number as u8; 4 << (3 * size)])?,
    }
    editor.commit()
}

fn visit(key: &Key<'_>, path: &str, places: &mut Vec<(String, String)>, left: &mut u32) -> Result<()> {
    for value in key.values()?.take(50) {
        let value = value?;
        let _ = (value.data().map(drop), value.text().map(drop), value.integer().map(drop));
        places.push((path.to_owned(), value.name().to_owned()));
    }
    for subkey in key.subkeys()? {
        *left = left.saturating_sub(1);
        let subkey = subkey?;
        // A hive may be a loop.
        if *left == 0 || path.len() > 300 {
            return Ok(());
        }
        let path =
            if path.is_empty() { subkey.name().to_owned() } else { format!("{path}\\{}", subkey.name()) };
        visit(&subkey, &path, places, left)?;
    }
    Ok(())
}

/// Reads a boot store, converts it, and writes it; what is written reads the same.
pub fn exercise_store(input: Input) {
    let Ok(mut store) = open(input).and_then(|hive| Store::read(&hive)).inspect_err(look_at) else { return };
    let [disk, esp, windows] = [1, 2, 3].map(uuid::Uuid::from_u128);
    let first = store.objects().count();
    let ids = GptIds { signature: 0xddba_6bbb, disk, partitions: vec![(1 << 20, windows)] };
    store.to_uefi(&ids, esp, 1 << 20).iter().for_each(|one| assert!(!one.to_string().is_empty()));
    assert_eq!(store.objects().count(), first, "no entry is lost");
    for object in store.objects() {
        object.elements().for_each(|number| drop(object.get(number)));
    }
    let Ok(file) = store.to_hive("BCD").inspect_err(look_at) else { return };
    let mut written = Sparse::default();
    written.set_len(file.len() as u64);
    written.set(0, &file);
    let again = Hive::open(written).and_then(|hive| Store::read(&hive)).expect("what we write");
    assert!(again.to_hive("BCD").expect("what we wrote") == file);
}

fn look_at(error: &Error) {
    assert!(!error.to_string().is_empty());
    let _ = (error.class(), error.hint());
}
