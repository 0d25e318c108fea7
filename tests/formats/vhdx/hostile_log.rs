//! Logs that must be refused by name.

use diskport::{Defect, Open, Problem};

use super::builder::{
    BAT, Block, Change, Entry, Image, LOG, LOG_GUID, MIB, SECTION, patch_headers, put, put_log, seal,
    set_dirty,
};
use super::model::noise;
use crate::support::{defect, read_all};

fn image() -> Vec<u8> {
    let mut image = Image::empty(2 * MIB, MIB, 512);
    image.blocks[0] = Block::Full(noise(1 << 20, 1));
    image.build()
}

fn entry(changes: Vec<Change>) -> Entry {
    Entry { sequence: 5, tail: 0, guid: LOG_GUID, flushed: MIB, last: 5 * MIB, changes }
}

/// The image with one log entry, as bytes.
fn with_bytes(entry: &[u8]) -> Vec<u8> {
    let mut file = image();
    put_log(&mut file, 0, entry);
    set_dirty(&mut file);
    file
}

fn with(entry: &Entry) -> Vec<u8> {
    with_bytes(&entry.bytes())
}

/// The same with some of the entry's bytes replaced, and its checksum right again.
fn patched(entry: &Entry, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut entry = entry.bytes();
    put(&mut entry, at, bytes);
    seal(&mut entry);
    with_bytes(&entry)
}

#[track_caller]
fn refused(file: Vec<u8>, problem: Problem, structure: &str) -> Defect {
    let defect = defect(file);
    assert_eq!((defect.problem, defect.structure), (problem, structure), "{defect}");
    defect
}

#[track_caller]
fn bad_log(file: Vec<u8>) -> Defect {
    let defect = refused(file, Problem::Log, "log");
    assert!(defect.hint.is_some());
    defect
}

fn data() -> Change {
    Change::Data(BAT as u64 + 8192, vec![0; 4096])
}

#[test]
fn the_log_itself_is_accepted() {
    for sequence in [1, u64::MAX] {
        let file = with(&Entry { sequence, ..entry(vec![data(), Change::Zero(BAT as u64 + 4096, 4096)]) });
        read_all(&Open::new(), file).expect("nothing is wrong with it");
    }
}

#[test]
fn no_valid_sequence() {
    let good = entry(vec![data()]);
    let mut empty = image();
    set_dirty(&mut empty);
    bad_log(empty);
    bad_log(with(&Entry { guid: [1; 16], ..good.clone() }));
    bad_log(with(&Entry { sequence: 0, ..good.clone() }));
    for tail in [4096, 8192, 100, SECTION as u32, u32::MAX] {
        bad_log(with(&Entry { tail, ..good.clone() }));
    }
    for at in [0, 5, 40, 64, 4096, 8191] {
        let mut entry = good.bytes();
        entry[at] ^= 1;
        bad_log(with_bytes(&entry));
    }
    // Lengths that are no lengths.
    for len in [0_u32, 64, 4097, 8191, SECTION as u32 + 4096, u32::MAX, u32::MAX - 4095] {
        let mut entry = good.bytes();
        put(&mut entry, 8, &len.to_le_bytes());
        bad_log(with_bytes(&entry));
    }
}

#[test]
fn descriptors_that_do_not_fit_their_entry() {
    let good = entry(vec![data()]);
    for count in [0_u32, 2, 126, 127, 128, 100_000, u32::MAX] {
        bad_log(patched(&good, 24, &count.to_le_bytes()));
    }
    // An entry that is longer than its descriptors say, and one that lacks the data of one.
    bad_log(patched(&entry(vec![data(), data()]), 96, b"zero"));
    bad_log(patched(&entry(vec![Change::Zero(BAT as u64, 4096)]), 64, b"desc"));
    bad_log(patched(&good, 64, b"what"));
    bad_log(patched(&good, 4096, b"date"));
}

#[test]
fn sequence_numbers_of_another_entry() {
    let good = entry(vec![data()]);
    bad_log(patched(&good, 64 + 24, &6u64.to_le_bytes()));
    bad_log(patched(&good, 4096 + 4, &1u32.to_le_bytes()));
    bad_log(patched(&good, 8188, &6u32.to_le_bytes()));
}

#[test]
fn targets_that_may_not_be_written() {
    let headers = [0, 65_536, 131_072, 192 * 1024 - 4096];
    let log = [LOG as u64, LOG as u64 + 8192, METADATA - 4096];
    let far = [1 << 47, 1 << 63, u64::MAX - 4095, u64::MAX - 8191];
    let crooked = [BAT as u64 + 1, BAT as u64 + 512];
    for target in [&headers[..], &log, &far, &crooked].concat() {
        bad_log(patched(&entry(vec![data()]), 64 + 16, &target.to_le_bytes()));
        bad_log(with(&entry(vec![Change::Zero(target, 4096)])));
    }
    // Into the headers and the log from before, and over all of the log.
    for (target, len) in [(0, METADATA), (SECTION as u64 - 4096, 8192), (192 << 10, 4 * MIB)] {
        bad_log(with(&entry(vec![Change::Zero(target, len)])));
    }
}

const METADATA: u64 = super::builder::METADATA as u64;

#[test]
fn zeros_of_no_length_or_of_any() {
    for len in [0, 1, 4095, 4097, 1 << 47, 1 << 63, u64::MAX, u64::MAX - 4095] {
        bad_log(with(&entry(vec![Change::Zero(BAT as u64, len)])));
    }
}

#[test]
fn a_file_shorter_than_what_was_flushed() {
    let len = image().len() as u64;
    for flushed in [len + 1, 1 << 63, u64::MAX] {
        let defect =
            refused(with(&Entry { flushed, ..entry(vec![data()]) }), Problem::Truncated, "log entry");
        assert!(defect.hint.is_some());
    }
    read_all(&Open::new(), with(&Entry { flushed: len, ..entry(vec![data()]) })).expect("all is there");
}

#[test]
fn a_file_that_would_grow_without_end() {
    for last in [(1 << 47) + 1, 1 << 63, u64::MAX] {
        bad_log(with(&Entry { last, ..entry(vec![data()]) }));
    }
    // As large as the largest disk: it costs nothing.
    read_all(&Open::new(), with(&Entry { last: 65 << 40, ..entry(vec![data()]) })).expect("accepted");
}

#[test]
fn the_place_of_a_log_to_replay() {
    let good = with(&entry(vec![data()]));
    let place = |offset: u64, len: u32| {
        let mut file = good.clone();
        patch_headers(&mut file, 68, &len.to_le_bytes());
        patch_headers(&mut file, 72, &offset.to_le_bytes());
        file
    };
    for (offset, len) in [(MIB + 4096, SECTION as u32), (MIB, SECTION as u32 + 4096), (MIB, 0)] {
        refused(place(offset, len), Problem::Misaligned, "header");
    }
    refused(place(0, SECTION as u32), Problem::Overlap, "header");
    refused(place(u64::MAX - MIB + 1, SECTION as u32), Problem::OutOfFile, "header");
    for (offset, len) in [(64 * MIB, SECTION as u32), (MIB, 4095 << 20), (1 << 62, SECTION as u32)] {
        refused(place(offset, len), Problem::OutOfFile, "log");
    }
    // The log over the metadata.
    refused(place(MIB, 2 << 20), Problem::Overlap, "region table entry");
    let mut version = good.clone();
    patch_headers(&mut version, 64, &1u16.to_le_bytes());
    refused(version, Problem::Unsupported, "header");
}

/// Moves the log to the end of the file and fills it.
fn with_log(log: &[u8]) -> Vec<u8> {
    let mut file = image();
    patch_headers(&mut file, 68, &(log.len() as u32).to_le_bytes());
    let place = file.len() as u64;
    patch_headers(&mut file, 72, &place.to_le_bytes());
    file.extend(log);
    set_dirty(&mut file);
    file
}

#[test]
fn a_log_that_claims_much_work() {
    // Each sector claims to begin an entry that takes the whole log.
    let len = 32 << 20;
    let mut sector = entry(Vec::new()).bytes();
    put(&mut sector, 8, &(len as u32).to_le_bytes());
    bad_log(with_log(&sector.repeat(len / 4096)));
    // A chain of all entries there is room for, whose tail is not among them: each could begin a sequence.
    let entries = (0..len as u64 / 4096 - 1)
        .flat_map(|n| Entry { sequence: n + 1, tail: len as u32 - 4096, ..entry(Vec::new()) }.bytes());
    let mut log: Vec<u8> = entries.collect();
    log.resize(len, 0);
    bad_log(with_log(&log));
}

#[test]
fn a_log_that_claims_much_memory() {
    // More zero descriptors than are accepted, none like the other.
    let changes = |n: u64| (0..n).map(|i| Change::Zero((64 << 20) + i * 8192, 4096)).collect();
    let mut log = entry(changes((1 << 17) + 1)).bytes();
    log.resize(log.len().next_multiple_of(SECTION), 0);
    bad_log(with_log(&log));
    let mut log = entry(changes(1 << 17)).bytes();
    log.resize(log.len().next_multiple_of(SECTION), 0);
    read_all(&Open::new(), with_log(&log)).expect("as many are accepted");
    // A log longer than any, though there is little in it.
    let mut log = entry(vec![data()]).bytes();
    log.resize(257 << 20, 0);
    bad_log(with_log(&log));
}
