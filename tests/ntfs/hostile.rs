//! Volumes that were tampered with: nothing panics, loops or takes memory without measure.

use std::time::{Duration, Instant};

use diskport::disk::Patch;
use diskport::storage::MemoryStorage;
use diskport::windows::ntfs::{Check, Tail, Volume};
use diskport::{Disk, Error, Format, Open, Result};
use libtest_mimic::Trial;

use crate::common::tools::{Trouble, trial};
use crate::volume::noise;

const CASES: u64 = 1500;
const SECTOR: u64 = 512;
/// Values that are worth a try in any field.
const VALUES: [u64; 12] =
    [0, 1, 2, 0x7f, 0xff, 511, 4096, 0xffff, 1 << 20, u32::MAX as u64, i64::MAX as u64, u64::MAX];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("the volume of testdata is read".into(), untouched),
        trial("volumes that were tampered with".into(), tampered),
    ]
}

/// The volume, in memory.
fn base() -> Result<Disk> {
    let disk = diskport::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs.vmdk"))?;
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0)?;
    Open::new().format(Format::Raw).open(MemoryStorage::new(bytes))
}

fn untouched() -> Result<(), Trouble> {
    let disk = base()?;
    let volume = Volume::open(&disk, 0..disk.size())?;
    let file = volume.find("FRAGMENTS")?.ok_or("no file")?;
    let bytes = file.read(1 << 20)?;
    assert!(bytes == b"in fragments ".iter().copied().cycle().take(165_000).collect::<Vec<_>>());
    assert!(file.overwrite(0, &bytes)?.len() > 1, "it is in fragments");
    assert_eq!(exercise(&disk)?, volume.root()?.tree()?.len());
    Ok(())
}

fn tampered() -> Result<(), Trouble> {
    let disk = base()?;
    let sectors = used_sectors(&disk)?;
    let (mut opened, mut failed, mut slowest) = (0, 0, Duration::ZERO);
    for case in 0..CASES {
        let random = noise(case + 1, 8 * 24);
        let mut random = random.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().unwrap()));
        let mut below = |end: usize| (random.next().unwrap_or(0) % end as u64) as usize;
        let mut patches = Vec::new();
        for _ in 0..=below(3) {
            // A field of a sector, but for the two bytes at its end, which protect it.
            let width = [1, 2, 4, 8][below(4)];
            let field = below(510 / width) * width;
            // Every other one in the boot sector and the first records, on which all depends.
            let sector = match below(2) {
                0 => sectors[below(48)],
                _ => sectors[below(sectors.len())],
            };
            let offset = sector * SECTOR + field as u64;
            let mut bytes = vec![0; width];
            disk.read_at(&mut bytes, offset)?;
            match below(3) {
                0 => bytes.copy_from_slice(&VALUES[below(VALUES.len())].to_le_bytes()[..width]),
                1 => bytes[0] = bytes[0].wrapping_add(below(17) as u8).wrapping_sub(8),
                _ => bytes[below(width)] ^= 1 << below(8),
            }
            patches.push(Patch { offset, bytes });
        }
        let Ok(tampered) = disk.patched(disk.size(), patches) else { continue };
        let begin = Instant::now();
        match exercise(&tampered) {
            Ok(files) => opened += usize::from(files > 0),
            Err(_) => failed += 1,
        }
        slowest = slowest.max(begin.elapsed());
    }
    assert!(
        opened > CASES as usize / 2 && failed > 20,
        "{opened} opened, {failed} refused: tampered in vain"
    );
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    Ok(())
}

/// Sectors that hold anything, without what is the same all over.
fn used_sectors(disk: &Disk) -> Result<Vec<u64>> {
    let mut sectors = Vec::new();
    let mut bytes = [0; SECTOR as usize];
    for sector in 0..disk.size() / SECTOR {
        disk.read_at(&mut bytes, sector * SECTOR)?;
        let plain = bytes.iter().all(|byte| *byte == bytes[0]) || bytes.starts_with(b"zeros");
        if !plain {
            sectors.push(sector);
        }
    }
    Ok(sectors)
}

/// Does with a volume all that can be done; how many files it has.
fn exercise(disk: &Disk) -> Result<usize> {
    let volume = Volume::open(disk, 0..disk.size())?;
    let _ = volume.state();
    let _ = volume.has_shadow_copies();
    if let Err(error) = Check::new(&volume).every_link(true).run() {
        panic!("a check finds what is wrong, and does not fail with it: {error}");
    }
    let tree = volume.root()?.tree()?;
    for (path, _) in &tree {
        if let Ok(Some(file)) = volume.find(path) {
            let _ = file.read(1 << 20);
            let _ = file.overwrite(0, &[1; 5000]);
        }
    }
    for (size, tail) in [(4 << 20, Tail::MustBeFree), (4190208, Tail::MustBeFree), (3 << 20, Tail::Move)] {
        let plan = match volume.shrink(size, tail) {
            Ok(plan) => plan,
            Err(Error::OutOfRange { .. }) => panic!("something beyond the volume was read"),
            Err(_) => continue,
        };
        match disk.patched(disk.size(), plan) {
            Ok(changed) => changed.read_at(&mut vec![0; disk.size() as usize], 0)?,
            Err(Error::OutOfRange { .. }) => panic!("something beyond the volume would be written"),
            Err(_) => {}
        }
    }
    Ok(tree.len())
}
