//! An NTFS volume with bytes changed: read, made smaller, and read again; or edited, and checked again.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use diskport::disk::Patch;
use diskport::storage::MemoryStorage;
use diskport::windows::ntfs::check::NtfsFault;
use diskport::windows::ntfs::{Check, Edit, Tail, Volume};
use diskport::{Disk, Format, Open, Result};

/// Bytes of the input for one change: four of an offset, and two that are put there.
const CHANGE: usize = 6;

static VOLUME: LazyLock<Disk> = LazyLock::new(|| {
    let image = MemoryStorage::new(&include_bytes!("../../testdata/ntfs.vmdk")[..]);
    let disk = diskport::Open::new().open(image).expect("the volume of testdata");
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).expect("the volume of testdata");
    Open::new().format(Format::Raw).open(MemoryStorage::new(bytes)).expect("a raw disk")
});

/// Bytes of the input for one operation: which, on what, and how much.
const OPERATION: usize = 4;

/// What operations are on, below whatever the volume has.
const PATHS: [&str; 12] = [
    "a",
    "A long name.text",
    "d",
    "d/a",
    "d/Another long name",
    "d/e/f",
    "a:stream",
    "d/a:Another stream",
    "FRAGMENTS",
    "ÄÖ_µ",
    "d/a*b",
    "e",
];

/// The volume of testdata with the changes that `input` tells.
fn tampered(input: &[u8]) -> Result<Disk> {
    let mut patches: Vec<Patch> = Vec::new();
    for change in input.chunks_exact(CHANGE).take(64) {
        let [a, b, c, d, ..] = change else { continue };
        let offset = u64::from(u32::from_le_bytes([*a, *b, *c, *d])) % (VOLUME.size() - 2);
        if patches.iter().all(|patch| patch.offset.abs_diff(offset) >= 2) {
            patches.push(Patch { offset, bytes: change[4..].to_vec() });
        }
    }
    VOLUME.patched(VOLUME.size(), patches)
}

/// Edits the volume of testdata with a few changes. When the checker finds nothing wrong before, it finds nothing wrong after, and
/// what was written is there.
pub fn exercise_ntfs_edit(input: &[u8]) {
    let Some((&changes, input)) = input.split_first() else { return };
    let (changes, operations) = input.split_at((usize::from(changes) % 8 * CHANGE).min(input.len()));
    let Ok(disk) = tampered(changes) else { return };
    let Ok(volume) = Volume::open(&disk, 0..disk.size()) else { return };
    let sound = Check::new(&volume).every_link(true).run().is_ok_and(|checked| checked.is_clean());
    let Ok(mut edit) = Edit::new(volume) else { return };
    let written = edit_volume(&mut edit, operations);
    let Ok(edited) = edit.finish().and_then(|changes| disk.patched(disk.size(), changes)) else {
        assert!(!sound, "a sound volume is edited to the end");
        return;
    };
    if sound {
        let volume = Volume::open(&edited, 0..edited.size()).expect("an edited volume");
        let checked = Check::new(&volume).every_link(true).run().expect("a check");
        assert!(checked.is_clean(), "{:#?}", checked.findings);
        for (path, bytes) in written {
            let file = volume.find(path).expect("a directory").expect("a file that was written");
            assert!(file.read(1 << 20).expect("what was written") == bytes, "{path}");
        }
    } else {
        let _ = read(&edited, 0..edited.size());
    }
}

/// Does what the input tells; what whole files then hold.
fn edit_volume(edit: &mut Edit, operations: &[u8]) -> BTreeMap<&'static str, Vec<u8>> {
    let mut written = BTreeMap::new();
    for operation in operations.chunks_exact(OPERATION).take(32) {
        let (&[what, on, low, high], _) = operation.split_first_chunk().expect("four bytes");
        let path = PATHS[usize::from(on & 15) % PATHS.len()];
        let other = PATHS[usize::from(on >> 4) % PATHS.len()];
        let len = usize::from(u16::from_le_bytes([low, high]));
        let bytes: Vec<u8> = (0..len).map(|at| (at / 3) as u8 ^ low).collect();
        // Of other names for the same file nothing is known here.
        let is_below = |one: &str, of: &str| {
            one == of || one.starts_with(of) && !one[of.len()..].starts_with(char::is_alphanumeric)
        };
        match what % 7 {
            0 | 1 => {
                if edit.write(path, Arc::new(bytes.clone())).is_ok() && !path.contains(':') {
                    written.insert(path, bytes);
                }
            }
            2 => {
                let _ = edit.create_directory(path);
            }
            3 => {
                if edit.remove(path).is_ok() {
                    written.retain(|one, _| !is_below(one, path));
                }
            }
            4 => {
                if edit.rename(path, other).is_ok() {
                    written.retain(|one, _| !is_below(one, path) && !is_below(one, other));
                }
            }
            5 => {
                if edit.set_len(path, len as u64).is_ok()
                    && let Some(bytes) = written.get_mut(path)
                {
                    bytes.resize(len, 0);
                }
            }
            _ => {
                if edit.write_at(path, u64::from(low) * 64, &bytes[..len.min(5000)]).is_ok() {
                    written.remove(path);
                }
            }
        }
    }
    written
}

/// The volume with changes, checked: what is found is kept within bounds.
pub fn exercise_ntfs_check(input: &[u8]) {
    let Ok(disk) = tampered(input) else { return };
    let Ok(volume) = Volume::open(&disk, 0..disk.size()) else { return };
    if let Ok(checked) = Check::new(&volume).every_link(true).run() {
        assert!(checked.findings.len() <= 100 * NtfsFault::ALL.len());
    }
}

/// The volume of testdata with the changes that `input` tells, read and made smaller.
pub fn exercise_ntfs(input: &[u8]) {
    if let Ok(disk) = tampered(input) {
        let _ = read(&disk, 0..disk.size());
        for (size, tail) in [(3 << 20, Tail::Move), (3_500_032, Tail::MustBeFree)] {
            let _ = shrink(&disk, size, tail);
        }
    }
}

fn read(disk: &Disk, range: std::ops::Range<u64>) -> Result<()> {
    let volume = Volume::open(disk, range)?;
    let _ = (volume.state(), volume.free(), volume.has_shadow_copies());
    for (path, _) in volume.root()?.tree()? {
        if let Ok(Some(file)) = volume.find(&path) {
            let _ = file.read(1 << 20);
            let _ = file.overwrite(0, &[1; 5000]);
        }
    }
    Ok(())
}

/// What makes a volume smaller must fit on the disk, and the smaller volume can be read or is refused.
fn shrink(disk: &Disk, size: u64, tail: Tail) -> Result<()> {
    let shrunk = Volume::open(disk, 0..disk.size())?.shrink(size, tail)?;
    read(&disk.patched(disk.size(), shrunk)?, 0..size)
}
