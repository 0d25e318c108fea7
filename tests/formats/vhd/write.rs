//! Writing in place, against a plain model of what the disk reads as.

use diskport::storage::{Explicit, MemoryStorage};
use diskport::{Error, Open, WritableDisk};
use proptest::prelude::*;

use super::builder::{SECTOR, Vhd};
use crate::support::{Shared, assert_reads_as, storage};

const BLOCK: usize = 16 << 10;

/// What is done to a disk.
#[derive(Clone, Debug)]
enum Op {
    Write { at: u64, len: u64, seed: u8 },
    Zero { at: u64, len: u64 },
    Discard { at: u64, len: u64 },
    Flush,
    Reopen,
    Compact,
    Resize { size: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let blocks = (0..12_u64, 1..4_u64).prop_map(|(at, n)| (at * BLOCK as u64, n * BLOCK as u64));
    let sectors = (0..400_u64, 1..80_u64).prop_map(|(at, n)| (at * 512, n * 512));
    let bytes = (0..200_000_u64, 1..3000_u64);
    let range = prop_oneof![2 => blocks, 3 => sectors, 1 => bytes];
    prop_oneof![
        6 => (range.clone(), any::<u8>()).prop_map(|((at, len), seed)| Op::Write { at, len, seed }),
        2 => range.clone().prop_map(|(at, len)| Op::Zero { at, len }),
        2 => range.prop_map(|(at, len)| Op::Discard { at, len }),
        2 => Just(Op::Flush),
        1 => Just(Op::Reopen),
        1 => Just(Op::Compact),
        1 => (1..400_u64).prop_map(|sectors| Op::Resize { size: sectors * 512 }),
    ]
}

/// The kinds of images that are written to.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Fixed,
    Dynamic,
    Child,
}

/// An image with something in it, and what it lies over.
struct Image {
    file: Shared,
    parent: Option<Vec<u8>>,
    /// What the disk reads as.
    model: Vec<u8>,
}

impl Image {
    fn new(kind: Kind, sectors: usize, change: impl FnOnce(&mut Vhd)) -> Self {
        let size = sectors * SECTOR;
        let below: Vec<u8> = (0..size).map(|i| 0x40 | (i / SECTOR) as u8).collect();
        let mut model = vec![0; size];
        let mut parent = None;
        let mut image = match kind {
            Kind::Fixed => Vhd::fixed(&model),
            Kind::Dynamic => Vhd::dynamic(size as u64, BLOCK),
            Kind::Child => {
                parent = Some(Vhd::fixed(&below).bytes());
                model = below;
                Vhd::differencing(size as u64, BLOCK, Vhd::fixed(&[]).id)
            }
        };
        // Parts of two blocks, one of them the last.
        for sector in [1, 2, 5, sectors as u64 - 1] {
            let content = [sector as u8 | 0x80; SECTOR];
            image.write(sector, &content);
            model[sector as usize * SECTOR..][..SECTOR].copy_from_slice(&content);
        }
        change(&mut image);
        Self { file: Shared::new(image.bytes()), parent, model }
    }

    fn options(&self) -> Open {
        let mut resolver = Explicit::default();
        if let Some(parent) = &self.parent {
            resolver.insert("parent.vhd", storage(parent.clone()));
        }
        Open::new().resolver(resolver)
    }

    fn write(&self) -> WritableDisk {
        self.options().open_writable(self.file.clone()).expect("opens for writing")
    }

    #[track_caller]
    fn check(&self) {
        let disk = self.options().open(MemoryStorage::new(self.file.to_vec())).expect("opens");
        assert_reads_as(&disk, &self.model);
        // Geometries seldom meet the size.
        let odd: Vec<_> = disk.warnings().filter(|warning| !warning.message.contains("geometry")).collect();
        assert!(odd.is_empty(), "{odd:?}");
    }
}

fn pattern(seed: u8, len: u64) -> Vec<u8> {
    (0..len).map(|i| (i / 3) as u8 ^ seed | 1).collect()
}

/// Runs `ops` on the disk and on the model; after each, both read the same.
fn run(image: &mut Image, ops: &[Op]) {
    let mut disk = image.write();
    for op in ops {
        let size = image.model.len() as u64;
        let clip = |at: u64, len: u64| (at.min(size - 1), len.min(size - at.min(size - 1)));
        match *op {
            Op::Write { at, len, seed } => {
                let (at, len) = clip(at, len);
                let data = pattern(seed, len);
                disk.write_at(&data, at).expect("writes");
                image.model[at as usize..][..len as usize].copy_from_slice(&data);
            }
            Op::Zero { at, len } => {
                let (at, len) = clip(at, len);
                disk.write_zeroes(at, len).expect("zeroes");
                image.model[at as usize..][..len as usize].fill(0);
            }
            Op::Discard { at, len } => {
                let (at, len) = clip(at, len);
                disk.discard(at, len).expect("discards");
                let mut now = vec![0; len as usize];
                disk.read_at(&mut now, at).expect("reads");
                let model = &mut image.model[at as usize..][..len as usize];
                assert!(now.iter().zip(&*model).all(|(now, before)| now == before || *now == 0));
                model.copy_from_slice(&now);
            }
            Op::Flush => {
                disk.flush().expect("flushes");
                // Another reader sees what is durable.
                let seen = image.options().open(MemoryStorage::new(image.file.to_vec())).expect("opens");
                let mut whole = vec![0; image.model.len()];
                seen.read_at(&mut whole, 0).expect("reads");
                assert!(whole == image.model);
            }
            Op::Reopen => {
                disk.close().expect("closes");
                image.check();
                disk = image.write();
            }
            Op::Compact => {
                let compaction = disk.compact().expect("compacts");
                assert!(compaction.after <= compaction.before);
                assert_eq!(compaction.after, image.file.to_vec().len() as u64);
                image.check();
                disk = image.write();
            }
            Op::Resize { size } => {
                let result = disk.resize(size, true);
                if image.parent.is_some() && size != image.model.len() as u64 {
                    assert!(matches!(result, Err(Error::SizeLimit { .. })), "{result:?}");
                } else {
                    result.expect("resizes");
                    image.model.resize(size as usize, 0);
                }
                image.check();
                disk = image.write();
            }
        }
        let mut whole = vec![0; image.model.len()];
        disk.read_at(&mut whole, 0).expect("reads");
        if let Some(at) = whole.iter().zip(&image.model).position(|(a, b)| a != b) {
            panic!("after {op:?}: byte {at} is {:#x}, not {:#x}", whole[at], image.model[at]);
        }
    }
    disk.close().expect("closes");
    image.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn does_what_a_plain_array_does(
        kind in prop_oneof![1 => Just(Kind::Fixed), 2 => Just(Kind::Dynamic), 2 => Just(Kind::Child)],
        sectors in 32..400_usize,
        shuffle in 0..100_u64,
        bat_last: bool,
        gap in 0..3_usize,
        cut: bool,
        spare_entries in prop_oneof![Just(0), 1..300_u32],
        ops in proptest::collection::vec(op(), 1..24),
    ) {
        let change = |image: &mut Vhd| {
            *image = Vhd { shuffle, bat_last, gap, cut, spare_entries, ..image.clone() };
        };
        run(&mut Image::new(kind, sectors, change), &ops);
    }
}

/// Blocks that one thread allocates are written by others at the same time, and so are single sectors of a child's.
#[test]
fn many_threads_write_one_disk() {
    for kind in [Kind::Fixed, Kind::Dynamic, Kind::Child] {
        let mut image = Image::new(kind, 1024, |_| ());
        let disk = image.write();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let disk = &disk;
                scope.spawn(move || {
                    for sector in (thread..1024).step_by(4) {
                        disk.write_at(&[sector as u8 ^ 0x5A; SECTOR], sector * 512).expect("writes");
                        if sector % 100 == 0 {
                            disk.flush().expect("flushes");
                        }
                        let mut back = [0; SECTOR];
                        disk.read_at(&mut back, sector * 512).expect("reads");
                        assert_eq!(back, [sector as u8 ^ 0x5A; SECTOR]);
                    }
                });
            }
        });
        disk.close().expect("closes");
        image.model = (0..1024 * SECTOR).map(|i| (i / SECTOR) as u8 ^ 0x5A).collect();
        image.check();
    }
}

/// Images that other software wrote, and those of its that may not be written.
#[test]
fn oddities() {
    let ops = [
        Op::Write { at: 3 * 512, len: 1024, seed: 3 },
        Op::Flush,
        Op::Zero { at: 0, len: 2 * BLOCK as u64 },
        Op::Write { at: 40 << 10, len: 30 << 10, seed: 9 },
    ];
    // Without a footer at the end, or with one of 511 bytes: the first change restores it.
    for footer_len in [0, 511] {
        for kind in [Kind::Dynamic, Kind::Child] {
            let mut image = Image::new(kind, 300, |image| image.footer_len = footer_len);
            run(&mut image, &ops);
        }
    }
    let image = Image::new(Kind::Dynamic, 300, |_| ());
    let mut bytes = image.file.to_vec();
    let footer = bytes.len() - SECTOR;
    for at in [0, footer] {
        bytes[at + 84] = 1;
        let sum: u32 = bytes[at..at + SECTOR].iter().map(|&byte| u32::from(byte)).sum();
        let old: u32 = bytes[at + 64..at + 68].iter().map(|&byte| u32::from(byte)).sum();
        bytes[at + 64..at + 68].copy_from_slice(&(!(sum - old)).to_be_bytes());
    }
    let suspended = Open::new().open_writable(Shared::new(bytes));
    assert!(matches!(suspended, Err(Error::NotWritable { .. })), "{suspended:?}");
}

/// XenServer's batmap names blocks that are wholly written: none of them may leave the file.
#[test]
fn blocks_under_a_batmap_stay() {
    let image = Image::new(Kind::Dynamic, 300, |image| image.batmap = true);
    let before = image.file.to_vec();
    let disk = image.write();
    disk.write_zeroes(0, 300 * 512).expect("zeroes");
    disk.flush().expect("flushes");
    let after = image.file.to_vec();
    assert_eq!(before[..3072], after[..3072], "no entry of the BAT changes");
    let mut whole = vec![1; 300 * 512];
    disk.read_at(&mut whole, 0).expect("reads");
    assert!(diskport::disk::is_zero(&whole));
    assert!(matches!(disk.resize(512, true), Err(Error::NotWritable { .. })));
}

/// The file does not grow when blocks leave and others come; a flush lies between.
#[test]
fn space_is_used_again() {
    let image = Image::new(Kind::Dynamic, 320, |_| ());
    let disk = image.write();
    disk.write_at(&[1; 4 * BLOCK], 0).expect("writes");
    disk.flush().expect("flushes");
    let size = image.file.to_vec().len();
    for round in 0..10 {
        let (from, to) = (round % 2 * 4, (round + 1) % 2 * 4);
        disk.discard(from * BLOCK as u64, 4 * BLOCK as u64).expect("discards");
        disk.flush().expect("flushes");
        disk.write_at(&[round as u8; 4 * BLOCK - 512], to * BLOCK as u64).expect("writes");
        disk.flush().expect("flushes");
        // What is reused holds nothing of what was there.
        let mut rest = [1; 512];
        disk.read_at(&mut rest, (to + 4) * BLOCK as u64 - 512).expect("reads");
        assert_eq!(rest, [0; 512]);
    }
    assert_eq!(image.file.to_vec().len(), size);
}

/// Blocks smaller than what they are aligned to: no footer that lay in between shows in one of them.
#[test]
fn small_blocks() {
    for block_size in [1024, 2048, 8192] {
        let image = Vhd::dynamic(1 << 20, block_size);
        let file = Shared::new(image.bytes());
        let disk = Open::new().open_writable(file.clone()).expect("opens");
        let mut model = vec![0; 1 << 20];
        for at in (0..1 << 20).step_by(block_size) {
            disk.write_at(&[7; SECTOR], at as u64).expect("writes");
            model[at..at + SECTOR].fill(7);
        }
        disk.close().expect("closes");
        let disk = Open::new().open(MemoryStorage::new(file.to_vec())).expect("opens");
        assert_reads_as(&disk, &model);
    }
}

/// A disk consists of whole sectors, also a fixed one.
#[test]
fn sizes_of_no_whole_sectors_are_refused() {
    for kind in [Kind::Fixed, Kind::Dynamic] {
        let image = Image::new(kind, 8, |_| ());
        let disk = Open::new().open_writable(image.file.clone()).expect("opens");
        let before = image.file.to_vec();
        assert!(disk.resize(1000, true).is_err());
        assert!(image.file.to_vec() == before);
    }
}
