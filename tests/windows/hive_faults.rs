//! Faults planted in a hive, one at a time: the checker names each.

use std::sync::Arc;

use diskport::storage::{MemoryStorage, ReadAt};
use diskport::windows::registry::check::{self, HiveFault};
use diskport::windows::registry::{Hive, Tree, kind};

use super::hive_logs::checksum;
use super::{change, open};

/// A hive of version 1.5 with a target for each fault, to be changed byte by byte.
struct Sample(Vec<u8>);

impl Sample {
    fn new() -> Self {
        let mut root = Tree { flags: 0x0c, ..Tree::new("ROOT") };
        let services = root.entry("Services");
        for name in ["Alpha", "Beta", "Delta", "Gamma"] {
            services.entry(name).set("Image", kind::SZ, [b'i'; 40]).set("Start", kind::DWORD, [1; 4]).set(
                "",
                kind::SZ,
                [],
            );
        }
        let mut file = root.to_hive("SYSTEM").unwrap();
        file[24] = 5;
        checksum(&mut file);
        let mut hive = open(&file).unwrap();
        change(&mut hive, |editor| {
            editor.set_value("Values", "Big", kind::BINARY, &[7; 50_000])?;
            editor.set_value("Ümlaut\\µ", "Empty", kind::BINARY, &[])?;
            editor.create_key("Ümlaut\\Ähre")?;
            (0..1500).try_for_each(|number| editor.create_key(&format!("Many\\{number:04}")).map(drop))
        })
        .unwrap();
        Self(hive.to_bytes().unwrap())
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn put(&mut self, at: usize, word: u32) {
        self.0[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// Where the data of a cell lies.
    fn at(&self, cell: u32) -> usize {
        0x1004 + cell as usize
    }

    /// Where a key's node lies, found by its name, and where the record of a value.
    fn key(&self, name: &str) -> usize {
        let bytes: Vec<u8> = name.chars().map(|c| c as u8).collect();
        let here = |at: &usize| {
            self.0[*at..].starts_with(b"nk")
                && self.word(*at + 72) & 0xffff == bytes.len() as u32
                && self.0[*at + 76..].starts_with(&bytes)
        };
        (0x1004..self.0.len()).step_by(8).find(here).unwrap()
    }

    fn list(&self, name: &str) -> usize {
        self.at(self.word(self.key(name) + 28))
    }

    fn value(&self, key: &str, index: usize) -> usize {
        let list = self.at(self.word(self.key(key) + 40));
        self.at(self.word(list + 4 * index))
    }

    fn security(&self) -> usize {
        self.at(self.word(self.key("Alpha") + 44))
    }

    /// Frees the cell whose data begins at `at`.
    fn free(&mut self, at: usize) {
        let size = self.word(at - 4).wrapping_neg();
        self.put(at - 4, size);
    }

    fn swap(&mut self, one: usize, other: usize, len: usize) {
        for at in 0..len {
            self.0.swap(one + at, other + at);
        }
    }
}

/// The faults that are found, each once.
fn faults(file: &[u8]) -> Vec<HiveFault> {
    let file: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new(file));
    let mut found: Vec<_> =
        check::check(file, &[]).unwrap().findings.iter().map(|finding| finding.fault).collect();
    found.sort();
    found.dedup();
    found
}

/// Plants a fault, makes the checksum right again, and looks.
fn planted(expected: &[HiveFault], plant: impl FnOnce(&mut Sample)) {
    let mut sample = Sample::new();
    plant(&mut sample);
    checksum(&mut sample.0);
    assert_eq!(faults(&sample.0), expected);
}

#[test]
fn nothing_is_planted() {
    planted(&[], |_| ());
}

#[test]
fn of_the_base_block() {
    planted(&[HiveFault::NotClosed], |s| s.0[4] ^= 1);
    planted(&[HiveFault::FileType], |s| s.0[28] = 1);
    planted(&[HiveFault::BinsSize], |s| s.put(40, s.0.len() as u32));
    planted(&[HiveFault::BaseBlock], |s| s.0[24] = 9);
    planted(&[HiveFault::BaseBlock], |s| s.0[0] = b'R');
    planted(&[HiveFault::Transactions], |s| s.0[144] = 1);
    let mut sample = Sample::new();
    sample.0[508] ^= 1;
    assert_eq!(faults(&sample.0), [HiveFault::Checksum]);
    assert_eq!(faults(&sample.0[..100]), [HiveFault::BaseBlock]);
}

#[test]
fn of_bins_and_cells() {
    planted(&[HiveFault::Bin], |s| s.put(0x1004, 0x5000));
    let mut sample = Sample::new();
    // It runs into the next cell, in whose middle another is looked for.
    let list = sample.at(sample.word(sample.key("Alpha") + 40)) - 4;
    sample.put(list, sample.word(list).wrapping_sub(8));
    assert!(faults(&sample.0).contains(&HiveFault::CellTiling));
    planted(&[HiveFault::CellFree, HiveFault::SecurityCount], |s| s.free(s.key("Alpha")));
    planted(&[HiveFault::CellFree], |s| s.free(s.value("Alpha", 0)));
    planted(&[HiveFault::CellShared], |s| {
        let list = s.word(s.key("Alpha") + 40);
        s.put(s.key("Beta") + 40, list);
    });
    // A list that counts one value less leaves the value behind, and its data.
    planted(&[HiveFault::CellLeak], |s| s.put(s.key("Alpha") + 36, 2));
}

#[test]
fn of_keys() {
    planted(&[HiveFault::RootFlags], |s| s.0[0x1026] = 0x20);
    planted(&[HiveFault::Parent], |s| s.put(s.key("Alpha") + 16, 0x20));
    planted(&[HiveFault::SubkeyCount], |s| s.put(s.key("Services") + 20, 3));
    planted(&[HiveFault::VolatileSubkeys], |s| s.put(s.key("Alpha") + 24, 3));
    planted(&[HiveFault::MaxName], |s| s.put(s.key("Services") + 52, 2));
    planted(&[HiveFault::MaxData], |s| s.put(s.key("Alpha") + 64, 1));
    planted(&[HiveFault::MaxName], |s| s.put(s.key("Alpha") + 60, 1));
    planted(&[HiveFault::Unreadable, HiveFault::SecurityCount], |s| {
        let at = s.key("Alpha");
        s.0[at] = b'N';
    });
}

#[test]
fn of_lists() {
    planted(&[HiveFault::Order], |s| {
        let list = s.list("Services");
        s.swap(list + 4, list + 12, 8);
    });
    planted(&[HiveFault::Order], |s| {
        let root = s.list("Many");
        assert_eq!(&s.0[root..root + 2], b"ri");
        s.swap(root + 4, root + 8, 4);
    });
    planted(&[HiveFault::CaseTwin, HiveFault::Hash], |s| {
        let at = s.key("Delta") + 76;
        s.0[at..at + 5].copy_from_slice(b"GAMMA");
    });
    planted(&[HiveFault::Unreadable, HiveFault::SecurityCount], |s| {
        let list = s.list("Services");
        s.0[list..list + 2].copy_from_slice(b"lx");
    });
}

/// Hashes of names beyond ASCII are those of UTF-16 in Windows' upper case.
#[test]
fn of_hashes() {
    planted(&[HiveFault::Hash], |s| {
        let list = s.list("Services");
        s.0[list + 8] ^= 0x55;
    });
    let sample = Sample::new();
    let list = sample.list("\u{dc}mlaut");
    let hash =
        |units: &[u32]| units.iter().fold(0u32, |hash, unit| hash.wrapping_mul(37).wrapping_add(*unit));
    let expected = [hash(&[0xb5]), hash(&[0xc4, 0x48, 0x52, 0x45])];
    assert_eq!([8, 16].map(|at| sample.word(list + at)), expected, "µ stays, Ähre becomes ÄHRE");
    // As one that hashes UTF-8 bytes has it.
    planted(&[HiveFault::Hash], |s| s.put(s.list("\u{dc}mlaut") + 8, hash(&[0xc2, 0xb5])));
}

#[test]
fn of_values() {
    planted(&[HiveFault::MaxData, HiveFault::DataLong], |s| s.put(s.value("Alpha", 0) + 4, 4000));
    planted(&[HiveFault::DataLong], |s| s.put(s.value("Alpha", 1) + 4, 0x8000_0005));
    planted(&[HiveFault::DataNil], |s| {
        let value = s.value("Alpha", 2);
        s.put(value + 4, 0);
        s.put(value + 8, 0x20);
    });
    planted(&[HiveFault::BigCount], |s| {
        let big = s.at(s.word(s.value("Values", 0) + 8));
        assert_eq!(&s.0[big..big + 2], b"db");
        s.0[big + 2] -= 1;
    });
    planted(&[HiveFault::ValueTwin], |s| {
        let (one, other) = (s.value("Alpha", 0) + 20, s.value("Alpha", 1) + 20);
        s.0[other..other + 5].copy_from_slice(b"IMAGE");
        assert!(s.0[one..].starts_with(b"Image"));
    });
}

#[test]
fn of_security() {
    planted(&[HiveFault::SecurityCount], |s| s.put(s.security() + 12, 1));
    planted(&[HiveFault::SecurityRing], |s| s.put(s.security() + 4, 0x20));
    planted(&[HiveFault::SecurityNone, HiveFault::SecurityCount], |s| s.put(s.key("Alpha") + 44, u32::MAX));
    planted(&[HiveFault::Descriptor], |s| {
        let at = s.security() + 20;
        s.0[at] = 2;
    });
}

/// What is found says where.
#[test]
fn places() {
    let mut sample = Sample::new();
    let value = sample.value("Alpha", 0);
    sample.free(value);
    let hive = Hive::open(MemoryStorage::new(sample.0)).unwrap();
    let checked = hive.check().unwrap();
    assert!(!checked.is_clean());
    let finding = &checked.findings[0];
    assert_eq!(finding.key.as_deref(), Some("Services\\Alpha"));
    assert_eq!((finding.structure, finding.offset), ("registry key value", value as u64 - 4));
    assert_eq!((finding.fault.name(), finding.severity.name()), ("cell-free", "error"));
}
