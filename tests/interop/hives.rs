//! Registry hives and boot stores: real ones, read alike by us and by others; and what we write, read by others.

use std::fs;
use std::path::{Path, PathBuf};

use diskport::storage::FileStorage;
use diskport::windows::GptIds;
use diskport::windows::bcd::{Element, Installation, Object, Store, element_type, object};
use diskport::windows::mounted_devices::{self, Outcome};
use diskport::windows::registry::{Hive, HiveState, Key};
use libtest_mimic::Trial;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::common::corpus;
use crate::common::digest;
use crate::common::hive_logs;
use crate::common::tools::{Finish, Missing, Trouble, python, trial};

const STORES: [&str; 5] = [
    "regipy/BCD",
    "windeploy/BCD",
    "public-bcd/yuorlife_tuff-Boot_BCD",
    "public-bcd/yuorlife_tuff-Boot_BCDTemplate",
    "public-bcd/yuorlife_tuff-EFI_Microsoft_Boot_BCD",
];
const LARGE: [&str; 2] = ["regipy/SYSTEM", "regipy/SYSTEM_WIN_10_1709"];

const READERS: [&str; 2] = ["hivex", "Registry"];

pub fn trials(folder: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in STORES {
        for reader in READERS {
            let folder = folder.to_owned();
            trials
                .push(trial(format!("{file} read as {reader} reads it"), move || same(&real(file)?, reader)));
            trials.push(trial(format!("{file} written anew, read by {reader}"), move || {
                let written = folder.join(format!("{}-{reader}", file.replace('/', "-")));
                let store = store(&real(file)?)?;
                fs::write(&written, store.to_hive("\\EFI\\Microsoft\\Boot\\BCD")?)?;
                assert_eq!(keys(&real(file)?)?, keys(&written)?, "nothing is lost");
                same(&written, reader)
            }));
        }
    }
    for file in LARGE {
        trials.push(trial(format!("{file} read as hivex reads it"), move || same(&real(file)?, "hivex")));
    }
    // Not a log with remnants behind its entries: regipy replays those too.
    trials.extend(["two logs", "an old log"].map(|logs| {
        let folder = folder.join(logs);
        trial(format!("a dirty hive with {logs}, replayed by regipy"), move || replayed(logs, &folder))
    }));
    let system = folder.join("SYSTEM");
    trials.push(trial("drive letters changed in place, read by hivex".into(), move || letters(&system)));
    trials.push(trial("a set-up medium's store converted is its other one".into(), set_up_medium));
    for reader in READERS {
        let made = folder.join(format!("made-{reader}"));
        trials.push(trial(format!("a boot store made from nothing, read by {reader}"), move || {
            let [disk, esp, windows] = [1, 2, 3].map(Uuid::from_u128);
            let (description, locale) = ("Windows 10".to_owned(), "de-DE".to_owned());
            let installation = Installation { description, locale, disk, esp, windows };
            let mut ids = (0x10..).map(Uuid::from_u128);
            let store = installation.store(|| ids.next().expect("they do not end"));
            fs::write(&made, store.to_hive("\\EFI\\Microsoft\\Boot\\BCD")?)?;
            same(&made, reader)
        }));
        let converted = folder.join(format!("converted-{reader}"));
        trials.push(trial(format!("a boot store of a BIOS disk converted, read by {reader}"), move || {
            let mut store = store(&real("windeploy/BCD")?)?;
            let partitions = vec![(1 << 20, Uuid::from_u128(3))];
            let ids = GptIds { signature: 0xddba_6bbb, disk: Uuid::from_u128(1), partitions };
            let unresolved = store.to_uefi(&ids, Uuid::from_u128(2), 1 << 20);
            assert_eq!(unresolved, []);
            fs::write(&converted, store.to_hive("\\EFI\\Microsoft\\Boot\\BCD")?)?;
            same(&converted, reader)
        }));
    }
    trials
}

/// Our replay in memory and regipy's into a file read alike.
fn replayed(logs: &str, folder: &Path) -> Result<(), Trouble> {
    fs::create_dir(folder)?;
    let dirty = if logs == "two logs" { hive_logs::two_logs() } else { hive_logs::old_log() };
    let path = folder.join("HIVE");
    fs::write(&path, &dirty.hive)?;
    let mut command = python("interop/read_hive.py", "regipy")?;
    command.arg("regipy").arg(&path);
    // regipy expects something in each log that it is given.
    for (index, log) in dirty.logs.iter().enumerate().filter(|(_, log)| log.len() > 512) {
        let log_path = folder.join(format!("HIVE.LOG{}", index + 1));
        fs::write(&log_path, log)?;
        command.arg(log_path);
    }
    let hive = dirty.open()?;
    assert_eq!(hive.state(), &HiveState::Replayed);
    if keys_of(&hive)? == command.first_line()? { Ok(()) } else { Err("regipy reads other keys".into()) }
}

/// In a hive of 11 MB, few sectors change; hivex reads what we do.
fn letters(changed: &Path) -> Result<(), Trouble> {
    let original = real("regipy/SYSTEM")?;
    let mut hive = Hive::open(FileStorage::open(&original)?)?;
    let letter = "\\DosDevices\\C:";
    let value = |hive: &Hive| -> diskport::Result<Vec<u8>> {
        hive.key("MountedDevices")?.and_then(|key| key.value(letter).transpose()).expect("the letter")?.data()
    };
    let before = value(&hive)?;
    let (signature, offset) = before.split_first_chunk::<4>().ok_or("no signature")?;
    let ids = GptIds {
        signature: u32::from_le_bytes(*signature),
        disk: Uuid::from_u128(1),
        partitions: vec![(u64::from_le_bytes(offset.try_into()?), Uuid::from_u128(3))],
    };
    let renamed = mounted_devices::rename(&mut hive, &ids)?;
    assert!(renamed.iter().any(|one| one.name == letter && one.outcome == Outcome::Kept), "{renamed:?}");
    assert_eq!(hive.file_size(), fs::metadata(&original)?.len(), "the file keeps its length");
    let edits = hive.edits()?;
    let bytes: usize = edits.iter().map(|edit| edit.bytes.len()).sum();
    assert!(bytes <= 16 * 512, "{bytes} bytes change");
    let mut file = fs::read(original)?;
    for edit in edits {
        file[edit.offset as usize..][..edit.bytes.len()].copy_from_slice(&edit.bytes);
    }
    fs::write(changed, file)?;
    assert!(value(&Hive::open(FileStorage::open(changed)?)?)?.starts_with(b"DMIO:ID:"));
    same(changed, "hivex")
}

/// Microsoft's own two stores of a set-up medium, for the BIOS and for UEFI, say what our conversion makes of one.
fn set_up_medium() -> Result<(), Trouble> {
    let mut bios = store(&real("public-bcd/yuorlife_tuff-Boot_BCD")?)?;
    let uefi = store(&real("public-bcd/yuorlife_tuff-EFI_Microsoft_Boot_BCD")?)?;
    let boot = (1 << 20, Uuid::from_u128(3));
    let ids = GptIds { signature: 0, disk: Uuid::from_u128(1), partitions: vec![boot] };
    assert_eq!(bios.to_uefi(&ids, Uuid::from_u128(2), boot.0), []);
    let mut compared = 0;
    for object in uefi.objects().filter(|object| object.id != object::BOOT_MANAGER) {
        let ours = bios.object(object.id).ok_or("an object is missing")?;
        // Where things are differs, and set-up has no context of its own to isolate.
        let devices =
            [element_type::DEVICE, element_type::OS_DEVICE, 0x3100_0003, element_type::ISOLATED_CONTEXT];
        for number in object.elements().filter(|number| !devices.contains(number)) {
            let element = |object: &Object<'_>| match object.get(number) {
                Some(Element::Text(text)) => Some(Element::Text(text.to_lowercase())),
                other => other,
            };
            assert_eq!(element(&ours), element(&object), "{} {number:x}", object.id);
            compared += 1;
        }
    }
    if compared > 20 { Ok(()) } else { Err(format!("only {compared} elements").into()) }
}

/// A hive of the corpus.
fn real(file: &str) -> Result<PathBuf, Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    Ok(corpus.path("hives").join(file))
}

fn store(path: &Path) -> Result<Store, Trouble> {
    Ok(Store::read(&Hive::open(FileStorage::open(path)?)?)?)
}

fn same(hive: &Path, reader: &str) -> Result<(), Trouble> {
    let theirs = python("interop/read_hive.py", reader)?.arg(reader).arg(hive).first_line()?;
    if keys(hive)? == theirs { Ok(()) } else { Err(format!("{reader} reads other keys or values").into()) }
}

/// The digest of all keys and values, as `read_hive.py` makes it.
fn keys(hive: &Path) -> Result<String, Trouble> {
    keys_of(&Hive::open(FileStorage::open(hive)?)?)
}

fn keys_of(hive: &Hive) -> Result<String, Trouble> {
    let mut hash = Sha256::new();
    walk(&hive.root()?, 0, &mut hash)?;
    Ok(digest::hex(hash))
}

fn walk(key: &Key<'_>, depth: u32, hash: &mut Sha256) -> diskport::Result<()> {
    let mut put = |field: &[u8]| {
        hash.update((field.len() as u32).to_le_bytes());
        hash.update(field);
    };
    put(depth.to_string().as_bytes());
    put(if depth == 0 { "" } else { key.name() }.as_bytes());
    for value in key.values()? {
        let value = value?;
        put(value.name().as_bytes());
        put(value.kind().to_string().as_bytes());
        put(&value.data()?);
    }
    key.subkeys()?.try_for_each(|subkey| walk(&subkey?, depth + 1, hash))
}
