//! An NTFS volume with bytes changed: read, made smaller, and read again.

use std::sync::LazyLock;

use diskport::disk::Patch;
use diskport::storage::MemoryStorage;
use diskport::windows::ntfs::check::NtfsFault;
use diskport::windows::ntfs::{Check, Tail, Volume};
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

/// The changes that `input` tells.
fn changes(input: &[u8]) -> Vec<Patch> {
    let mut patches: Vec<Patch> = Vec::new();
    for change in input.chunks_exact(CHANGE).take(64) {
        let [a, b, c, d, ..] = change else { continue };
        let offset = u64::from(u32::from_le_bytes([*a, *b, *c, *d])) % (VOLUME.size() - 2);
        if patches.iter().all(|patch| patch.offset.abs_diff(offset) >= 2) {
            patches.push(Patch { offset, bytes: change[4..].to_vec() });
        }
    }
    patches
}

/// The volume with changes, checked: what is found is kept within bounds.
pub fn exercise_ntfs_check(input: &[u8]) {
    let Ok(disk) = VOLUME.patched(VOLUME.size(), changes(input)) else { return };
    let Ok(volume) = Volume::open(&disk, 0..disk.size()) else { return };
    if let Ok(checked) = Check::new(&volume).every_link(true).run() {
        assert!(checked.findings.len() <= 100 * NtfsFault::ALL.len());
    }
}

/// The volume of testdata with the changes that `input` tells.
pub fn exercise_ntfs(input: &[u8]) {
    if let Ok(disk) = VOLUME.patched(VOLUME.size(), changes(input)) {
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
