//! The names and sizes of a FAT32's files: any path is refused or has its place in the partition.
#![no_main]

use diskport::partition::Fat32;
use libfuzzer_sys::fuzz_target;

const START: u64 = 1 << 20;
const SIZE: u64 = 34 << 20;

fuzz_target!(|text: &str| {
    let mut volume = Fat32::new(START..START + SIZE, 512);
    for (len, path) in text.lines().enumerate() {
        let _ = volume.add_file(path, vec![0xee; len * 37 % 3000]);
    }
    let _ = volume.clone().label(text);
    let Ok(mut patches) = volume.into_patches() else { return };
    patches.sort_by_key(|patch| patch.offset);
    let mut at = START;
    for patch in patches {
        assert_eq!(patch.offset, at, "no byte of what was there is left");
        at += patch.bytes.len() as u64;
    }
    assert!(at <= START + SIZE);
});
