//! Drive letters of partitions that are called otherwise.

use diskport::windows::GptIds;
use diskport::windows::mounted_devices::{Outcome, Renamed, rename};
use diskport::windows::registry::{Tree, kind};
use uuid::Uuid;

use super::{edited, open};

const SIGNATURE: u32 = 0x1234_5678;

fn mbr(signature: u32, offset: u64) -> Vec<u8> {
    [&signature.to_le_bytes()[..], &offset.to_le_bytes()].concat()
}

#[test]
fn of_this_disk_alone() {
    let mut root = Tree::new("ROOT");
    let devices = root.entry("MountedDevices");
    let drive: Vec<u8> = "\\??\\IDE#CdRom".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gpt = [&b"DMIO:ID:"[..], &[5; 16]].concat();
    devices.set("\\DosDevices\\C:", kind::BINARY, mbr(SIGNATURE, 500 << 20));
    devices.set("\\??\\Volume{a}", kind::BINARY, mbr(SIGNATURE, 500 << 20));
    devices.set("\\DosDevices\\D:", kind::BINARY, drive.clone());
    devices.set("\\DosDevices\\E:", kind::BINARY, mbr(0x9999, 500 << 20));
    devices.set("\\DosDevices\\F:", kind::BINARY, mbr(SIGNATURE, 1 << 40));
    devices.set("\\DosDevices\\G:", kind::BINARY, gpt.clone());
    let file = root.to_hive("SYSTEM").unwrap();
    let windows = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    let ids = GptIds { signature: SIGNATURE, disk: Uuid::nil(), partitions: vec![(500 << 20, windows)] };
    let mut hive = open(&file).unwrap();
    let renamed = rename(&mut hive, &ids).unwrap();
    let outcome = |name: &str, outcome| Renamed { name: name.into(), outcome };
    assert_eq!(
        renamed,
        [outcome("\\DosDevices\\C:", Outcome::Kept), outcome("\\??\\Volume{a}", Outcome::Kept)]
    );
    let now = edited(file.clone(), &hive);
    assert_eq!(now.len(), file.len());
    let now = open(&now).unwrap().tree().unwrap();
    let devices = now.get("MountedDevices").unwrap();
    let data = |name: &str| devices.value(name).map(|value| value.data.clone());
    let new = b"DMIO:ID:\x04\x03\x02\x01\x06\x05\x08\x07\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10".to_vec();
    assert_eq!(data("\\DosDevices\\C:"), Some(new.clone()));
    assert_eq!(data("\\??\\Volume{a}"), Some(new));
    assert_eq!(data("\\DosDevices\\D:"), Some(drive));
    assert_eq!(data("\\DosDevices\\E:"), Some(mbr(0x9999, 500 << 20)));
    assert_eq!(data("\\DosDevices\\F:"), Some(mbr(SIGNATURE, 1 << 40)));
    assert_eq!(data("\\DosDevices\\G:"), Some(gpt));
}

/// A hive in which every cell is taken: the letter goes.
#[test]
fn without_room() {
    let mut root = Tree::new("ROOT");
    let volume = |n: usize| format!("\\??\\Volume{{{n:03}}}");
    for n in 0..300 {
        root.entry("MountedDevices").set(&volume(n), kind::BINARY, mbr(SIGNATURE, 1 << 20));
    }
    let partitions = vec![(1 << 20, Uuid::from_u128(1))];
    let ids = GptIds { signature: SIGNATURE, disk: Uuid::nil(), partitions };
    let file = root.to_hive("SYSTEM").unwrap();
    let mut hive = open(&file).unwrap();
    let renamed = rename(&mut hive, &ids).unwrap();
    let kept: Vec<_> =
        renamed.iter().filter(|one| one.outcome == Outcome::Kept).map(|one| &one.name).collect();
    assert_eq!(renamed.len(), 300);
    assert!((1..300).contains(&kept.len()), "{}", kept.len());
    let tree = hive.tree().unwrap();
    let values = &tree.subkeys[0].values;
    assert!(values.iter().map(|value| &value.name).eq(kept));
    assert!(values.iter().all(|value| value.data.starts_with(b"DMIO:ID:")));
    assert_eq!(hive.file_size() as usize, file.len(), "the file keeps its length");
    assert_eq!(hive.check().unwrap().findings, []);
}
