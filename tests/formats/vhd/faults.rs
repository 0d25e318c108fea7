//! Storage calls that fail: each of them once, at every place.

use std::io;

use diskport::check::Repairs;
use diskport::storage::{Explicit, Fault, FaultyStorage};
use diskport::{Error, Open, Result, WritableDisk};

use super::builder::{SECTOR, Vhd};
use crate::support::{Shared, storage};

const BLOCK: usize = 4096;
const SIZE: usize = 6 * BLOCK + 512;

type Step = fn(&WritableDisk, &mut Model) -> Result<()>;

/// What the disk may read as: what it was made last, and what it was since the last flush.
struct Model {
    after: Vec<u8>,
    since: Vec<Vec<u8>>,
}

impl Model {
    fn put(&mut self, at: usize, data: &[u8]) {
        self.after[at..at + data.len()].copy_from_slice(data);
    }
}

const STEPS: [Step; 7] = [
    |disk, model| {
        model.put(0, &[0x11; BLOCK]);
        disk.write_at(&[0x11; BLOCK], 0)
    },
    |disk, model| {
        model.put(BLOCK - 512, &[0x22; 2 * BLOCK]);
        disk.write_at(&[0x22; 2 * BLOCK], BLOCK as u64 - 512)
    },
    |disk, model| disk.flush().map(|()| model.since.clear()),
    |disk, model| {
        model.put(BLOCK, &[0; BLOCK]);
        disk.write_zeroes(BLOCK as u64, BLOCK as u64)
    },
    |disk, model| {
        model.put(3 * BLOCK + 512, &[0x33; 512]);
        disk.write_at(&[0x33; 512], 3 * BLOCK as u64 + 512)
    },
    |disk, model| disk.flush().map(|()| model.since.clear()),
    |disk, model| {
        model.put(BLOCK + 100, &[0x44; 1000]);
        disk.write_at(&[0x44; 1000], BLOCK as u64 + 100)
    },
];

fn options(parent: Option<&[u8]>) -> Open {
    let mut resolver = Explicit::default();
    if let Some(parent) = parent {
        resolver.insert("parent.vhd", storage(parent.to_vec()));
    }
    Open::new().resolver(resolver).format(diskport::Format::Vhd)
}

fn read(file: &Shared, parent: Option<&[u8]>) -> Vec<u8> {
    let disk = options(parent).open(file.clone()).expect("opens");
    let mut content = vec![0; disk.size() as usize];
    disk.read_at(&mut content, 0).expect("reads");
    content
}

/// Each step is tried twice; the image is whole whatever failed, and complete when all steps went through in the end.
#[test]
fn every_call_fails_once() {
    let below: Vec<u8> = (0..SIZE).map(|i| 0x80 | (i / SECTOR) as u8).collect();
    for child in [false, true] {
        let parent = child.then(|| Vhd::fixed(&below).bytes());
        let mut image = Vhd::dynamic(SIZE as u64, BLOCK);
        if child {
            image = Vhd::differencing(SIZE as u64, BLOCK, image.id);
        }
        let start = if child { below.clone() } else { vec![0; SIZE] };
        for fault in [Fault::Error(io::ErrorKind::StorageFull), Fault::Short] {
            let mut whole = 0;
            for at in 1.. {
                let file = Shared::new(image.bytes());
                let faulty = FaultyStorage::new(file.clone(), at, fault);
                let opened = options(parent.as_deref()).open_writable(faulty);
                let mut model = Model { after: start.clone(), since: Vec::new() };
                let Ok(disk) = opened else {
                    assert!(read(&file, parent.as_deref()) == start, "nothing was written");
                    continue;
                };
                let mut failed = 0;
                let mut poisoned = false;
                for step in STEPS {
                    model.since.push(model.after.clone());
                    if step(&disk, &mut model).is_err() {
                        failed += 1;
                        match step(&disk, &mut model) {
                            Ok(()) => {}
                            Err(Error::Poisoned { .. }) => {
                                poisoned = true;
                                break;
                            }
                            Err(other) => panic!("the second try fails: {other}"),
                        }
                    }
                }
                let closed = disk.close();
                let content = read(&file, parent.as_deref());
                if poisoned || closed.is_err() {
                    for (at, byte) in content.iter().enumerate() {
                        let mut allowed = model.since.iter().chain([&model.after]);
                        assert!(allowed.any(|content| content[at] == *byte), "byte {at} is {byte:#x}");
                    }
                    let repaired =
                        options(parent.as_deref()).repair(file.clone(), Repairs::Lossless).expect("repairs");
                    assert!(repaired.is_clean(), "{repaired:?}");
                    assert!(read(&file, parent.as_deref()) == content);
                    continue;
                }
                assert!(content == model.after, "call {at}, {fault:?}");
                if failed == 0 {
                    whole += 1;
                    // Reads that are short are read on; the last calls are those that never come.
                    if whole > 200 {
                        break;
                    }
                }
            }
        }
    }
}

/// A change of the size that fails leaves the old size or the new one, and the bytes that both have.
#[test]
fn every_call_of_a_resize_fails() {
    for fixed in [false, true] {
        let content: Vec<u8> = (0..SIZE).map(|i| 1 | (i / SECTOR) as u8).collect();
        let mut image = if fixed { Vhd::fixed(&content) } else { Vhd::dynamic(SIZE as u64, BLOCK) };
        image.cut = true;
        image.write(0, &content);
        for size in [SECTOR, 3 * BLOCK, SIZE + SECTOR, 200 * BLOCK] {
            for fault in [Fault::Error(io::ErrorKind::StorageFull), Fault::Short] {
                for at in 1.. {
                    let file = Shared::new(image.bytes());
                    let faulty = FaultyStorage::new(file.clone(), at, fault);
                    let Ok(disk) = options(None).open_writable(faulty) else { continue };
                    let resized = disk.resize(size as u64, true);
                    if options(None).open(file.clone()).is_err() {
                        options(None).repair(file.clone(), Repairs::Lossless).expect("repairs");
                    }
                    let found = read(&file, None);
                    assert!([size, SIZE].contains(&found.len()));
                    let mut model = content.clone();
                    model.resize(found.len(), 0);
                    assert!(found == model, "call {at}, {fault:?}");
                    let repaired = options(None).repair(file.clone(), Repairs::Lossless);
                    assert!(repaired.expect("repairs").is_clean());
                    assert!(read(&file, None) == model);
                    if resized.is_ok() {
                        assert_eq!(found.len(), size);
                        // Short reads are read on: they change nothing.
                        if at > 100 {
                            break;
                        }
                    }
                }
            }
        }
    }
}
