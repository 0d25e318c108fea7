//! Registry hives that were not closed, with the logs of what was under way, as Windows leaves them behind.

use std::sync::Arc;

use diskport::storage::{MemoryStorage, ReadAt};
use diskport::windows::registry::{Hive, Tree, kind};

/// A hive and its logs.
#[derive(Clone)]
pub struct Dirty {
    pub hive: Vec<u8>,
    pub logs: Vec<Vec<u8>>,
}

impl Dirty {
    pub fn open(&self) -> diskport::Result<Hive> {
        let memory = |bytes: &Vec<u8>| Arc::new(MemoryStorage::new(bytes.clone())) as Arc<dyn ReadAt>;
        let logs: Vec<_> = self.logs.iter().map(memory).collect();
        Hive::open_with_logs(memory(&self.hive), &logs)
    }
}

/// A hive in which `State` is `state`, beside enough keys for several bins.
pub fn hive(state: &str) -> Vec<u8> {
    numbered(state, 0)
}

fn numbered(state: &str, first: u32) -> Vec<u8> {
    let mut root = Tree::new("ROOT");
    for number in first..first + 100 {
        root.entry(&format!("Key{:03}", number - first)).set("Number", kind::DWORD, u32::to_le_bytes(number));
    }
    let text: Vec<u8> = state.encode_utf16().flat_map(u16::to_le_bytes).collect();
    root.entry("State").set("State", kind::SZ, text);
    root.to_hive("HIVE").expect("a hive")
}

/// What `State` says.
pub fn state(hive: &Hive) -> String {
    let key = hive.key("State").expect("no damage").expect("the key");
    let value = key.value("State").expect("no damage").expect("the value");
    value.text().expect("no damage").expect("a string")
}

/// Written up to "before", then to "middle" and to "after" by the entries of one log, with remnants behind them.
pub fn one_log() -> Dirty {
    let mut log = new_log(8);
    log.extend(entry(8, &hive("before"), &hive("middle")));
    log.extend(entry(9, &hive("middle"), &hive("after.")));
    log.extend(entry(4, &hive("before"), &hive("remain")));
    Dirty { hive: opened(hive("before"), 8, 7), logs: vec![log, new_log(3)] }
}

/// The later of two logs comes first. The first entry has the number that was written last, and is needed all the same:
/// seen in the logs of real systems.
pub fn two_logs() -> Dirty {
    let older = numbered("before", 1000);
    let mut first = new_log(9);
    first.extend(entry(9, &hive("middle"), &hive("after.")));
    let mut second = new_log(7);
    second.extend(entry(7, &older, &hive("before")));
    second.extend(entry(8, &hive("before"), &hive("middle")));
    Dirty { hive: opened(older, 8, 7), logs: vec![first, second] }
}

/// A log of Windows 7: pages after a bitmap.
pub fn old_log() -> Dirty {
    let (before, after) = (hive("before"), hive("after."));
    let mut log = log_base(7, 1);
    let mut bitmap = vec![0u8; (before.len() - 0x1000) / 512 / 8];
    let mut content: Vec<u8> = Vec::new();
    let pages = before[0x1000..].chunks(512).zip(after[0x1000..].chunks(512));
    for (index, (_, page)) in pages.enumerate().filter(|(_, (old, new))| old != new) {
        bitmap[index / 8] |= 1 << (index % 8);
        content.extend(page);
    }
    log.extend(b"DIRT");
    log.extend(bitmap);
    log.resize(log.len().next_multiple_of(512), 0);
    log.extend(content);
    Dirty { hive: opened(before, 8, 7), logs: vec![log, Vec::new()] }
}

/// Gives a base block other sequence numbers.
pub fn opened(mut hive: Vec<u8>, primary: u32, secondary: u32) -> Vec<u8> {
    hive[4..8].copy_from_slice(&primary.to_le_bytes());
    hive[8..12].copy_from_slice(&secondary.to_le_bytes());
    checksum(&mut hive);
    hive
}

pub fn checksum(hive: &mut [u8]) {
    let words = hive[..508].chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let sum = words.fold(0, |sum, word| sum ^ word);
    hive[508..512].copy_from_slice(&sum.to_le_bytes());
}

fn new_log(sequence: u32) -> Vec<u8> {
    log_base(sequence, 6)
}

fn log_base(sequence: u32, kind: u32) -> Vec<u8> {
    let mut base = hive("before")[..512].to_vec();
    base[28..32].copy_from_slice(&kind.to_le_bytes());
    opened(base, sequence, sequence)
}

/// A log entry with the pages of 4 KiB that changed.
fn entry(sequence: u32, before: &[u8], after: &[u8]) -> Vec<u8> {
    let pages = before[0x1000..].chunks(4096).zip(after[0x1000..].chunks(4096)).enumerate();
    let changed: Vec<_> = pages.filter(|(_, (old, new))| old != new).map(|(n, (_, new))| (n, new)).collect();
    let mut body = Vec::new();
    for &(index, page) in &changed {
        body.extend((index as u32 * 4096).to_le_bytes());
        body.extend((page.len() as u32).to_le_bytes());
    }
    changed.iter().for_each(|(_, page)| body.extend(*page));
    body.resize((40 + body.len()).next_multiple_of(512) - 40, 0);
    let mut entry = b"HvLE".to_vec();
    let bins_size = (after.len() - 0x1000) as u32;
    for field in [40 + body.len() as u32, 0, sequence, bins_size, changed.len() as u32] {
        entry.extend(field.to_le_bytes());
    }
    entry.extend(marvin32(&body).to_le_bytes());
    entry.extend(marvin32(&entry).to_le_bytes());
    entry.extend(body);
    entry
}

/// The hash over whole words, as everything hashed here is.
fn marvin32(bytes: &[u8]) -> u64 {
    let (mut a, mut b) = (0x7a4e_55c5_u32, 0x82ef_4d88_u32);
    let words = bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    for word in words.chain([0x80, 0]) {
        a = a.wrapping_add(word);
        b ^= a;
        a = a.rotate_left(20).wrapping_add(b);
        b = b.rotate_left(9) ^ a;
        a = a.rotate_left(27).wrapping_add(b);
        b = b.rotate_left(19);
    }
    u64::from(b) << 32 | u64::from(a)
}
